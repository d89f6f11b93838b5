//! Entries by number, for numbers that are near each other.
//!
//! 1. A page is for 64 numbers that follow each other. It has a bit for each number, which says whether there is an
//!    entry, and the entries side by side in the order of their numbers: in front of one lie as many as there are bits
//!    below its own. So it is found by counting bits, and little but entries is in memory. (So are the nodes of
//!    Bagwell's "Ideal Hash Trees", EPFL 2001.)
//! 2. A chunk is 64 pages. The chunks from the first number to the last are listed, and each is made when its first
//!    entry comes. So an entry that comes pays for a page or a chunk at most, and for a list that grows, of one pointer
//!    for each 4,096 numbers.
#![allow(unsafe_code)]

use std::ptr::NonNull;

/// How many numbers a page has: the bits of a word.
const PAGE: u64 = u64::BITS as u64;

/// How many pages a chunk has (a guess: one takes 2 KiB, and the list of them stays in the core's first cache for a
/// million numbers).
const PAGES: usize = 64;

/// How many numbers a chunk has.
pub const CHUNK: u64 = PAGE * PAGES as u64;

/// 64 numbers.
struct Page<E> {
    known: u64,
    entries: Vec<E>,
}

impl<E> Page<E> {
    /// How many of its entries lie in front of that of a bit.
    #[inline(always)]
    fn before(&self, bit: u64) -> usize {
        (self.known & (bit - 1)).count_ones() as usize
    }

    /// Adds the entry of a bit that has none, and says where it lies.
    fn insert(&mut self, bit: u64, entry: E) -> usize {
        if self.entries.len() == self.entries.capacity() {
            // Twice as many would leave a quarter of the memory unused.
            let (len, most) = (self.entries.len(), PAGE as usize);
            self.entries.reserve_exact((len / 4).clamp(1, most - len));
        }
        let at = self.before(bit);
        self.entries.insert(at, entry);
        self.known |= bit;
        at
    }

    fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<E>()
    }
}

/// 64 pages.
struct Chunk<E>([Page<E>; PAGES]);

impl<E> Chunk<E> {
    #[cold]
    fn boxed() -> Box<Self> {
        Box::new(Chunk(std::array::from_fn(|_| Page { known: 0, entries: Vec::new() })))
    }

    /// The page of a number, and its bit there.
    #[inline(always)]
    fn page(&self, number: u64) -> (&Page<E>, u64) {
        (&self.0[(number / PAGE) as usize % PAGES], 1 << (number % PAGE))
    }

    #[inline(always)]
    fn page_mut(&mut self, number: u64) -> (&mut Page<E>, u64) {
        (&mut self.0[(number / PAGE) as usize % PAGES], 1 << (number % PAGE))
    }
}

/// The entries.
pub struct Pages<E> {
    chunks: Vec<Option<Box<Chunk<E>>>>,
    /// The first number of the first chunk.
    first: u64,
    len: usize,
    /// What chunks and pages take.
    bytes: usize,
}

impl<E> Pages<E> {
    /// None, which cover no number.
    pub fn new() -> Self {
        Pages { chunks: Vec::new(), first: 0, len: 0, bytes: 0 }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// What it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes + self.chunks.capacity() * size_of::<Option<Box<Chunk<E>>>>()
    }

    /// Whether there may be an entry of this number.
    #[inline(always)]
    pub fn covers(&self, number: u64) -> bool {
        self.chunk_of(number) < self.chunks.len()
    }

    #[inline(always)]
    fn chunk_of(&self, number: u64) -> usize {
        (number.wrapping_sub(self.first) / CHUNK) as usize
    }

    /// Covers the chunks of these two numbers and all between, and no others, if there is no entry yet.
    pub fn begin(&mut self, [one, other]: [u64; 2]) {
        if self.len == 0 {
            let (from, to) = (one.min(other) / CHUNK, one.max(other) / CHUNK);
            (self.chunks, self.first) = ((from..=to).map(|_| None).collect(), from * CHUNK);
            // One may have been made for an entry that never came.
            self.bytes = 0;
        }
    }

    /// Covers the chunk of this number and all between it and the others, if no more than so many are listed then.
    #[inline]
    pub fn reach(&mut self, number: u64, most: usize) {
        if !self.covers(number) {
            self.extend(number / CHUNK, most);
        }
    }

    fn extend(&mut self, chunk: u64, most: usize) {
        let first = self.first / CHUNK;
        let (from, to) = (chunk.min(first), (chunk + 1).max(first + self.chunks.len() as u64));
        if !self.chunks.is_empty() && to - from <= most as u64 {
            self.chunks.splice(0..0, (from..first).map(|_| None));
            self.chunks.resize_with((to - from) as usize, || None);
            self.first = from * CHUNK;
        }
    }

    /// How many chunks are listed, whether they are made or not.
    #[cfg(test)]
    pub fn listed(&self) -> usize {
        self.chunks.len()
    }

    /// Whether no number is covered.
    pub fn is_bare(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Where the entry of a number is, if there is one; for guesses.
    #[inline(always)]
    pub fn place(&self, number: u64) -> Option<*const E> {
        let (page, bit) = self.chunks.get(self.chunk_of(number))?.as_ref()?.page(number);
        Some(page.entries.as_ptr().wrapping_add(page.before(bit)))
    }

    #[inline(always)]
    fn find_mut(&mut self, number: u64) -> Option<&mut E> {
        let chunk = self.chunk_of(number);
        let (page, bit) = self.chunks.get_mut(chunk)?.as_mut()?.page_mut(number);
        let at = page.before(bit);
        if page.known & bit == 0 { None } else { page.entries.get_mut(at) }
    }

    /// The entry of a number, if it `is` the one for `asked`; what `otherwise` finds if not.
    #[inline(always)]
    pub fn known_or<'a, Q>(
        &'a mut self,
        number: u64,
        asked: Q,
        is: impl Fn(&E, &Q) -> bool,
        otherwise: impl FnOnce(&'a mut Self, Q) -> &'a mut E,
    ) -> &'a mut E {
        if let Some(mut entry) = self.find_mut(number).map(NonNull::from_mut)
            // SAFETY: it is one of these, which are borrowed for as long as it is.
            && let entry = unsafe { entry.as_mut() }
            && is(entry, &asked)
        {
            return entry;
        }
        otherwise(self, asked)
    }

    /// Takes the entries of the last page out; `None` if there are none. What is behind the last entry is covered no
    /// more then.
    pub fn shed(&mut self) -> Option<Vec<E>> {
        self.trim();
        let chunk = self.chunks.last_mut()?.as_mut()?;
        let page = chunk.0.iter_mut().rev().find(|page| page.known != 0)?;
        self.bytes -= page.bytes();
        self.len -= page.entries.len();
        page.known = 0;
        let entries = std::mem::take(&mut page.entries);
        self.trim();
        Some(entries)
    }

    /// Forgets the last chunks, as long as they have no entry.
    fn trim(&mut self) {
        let has_none = |chunk: &Chunk<E>| chunk.0.iter().all(|page| page.known == 0);
        while self.chunks.last().is_some_and(|last| last.as_ref().is_none_or(|chunk| has_none(chunk))) {
            let made = self.chunks.pop().flatten();
            self.bytes -= made.map_or(0, |_| size_of::<Chunk<E>>());
        }
    }

    /// Where an entry of this number may be added; `None` if it is not covered, or has one.
    pub fn vacancy(&mut self, number: u64) -> Option<Vacancy<'_, E>> {
        let chunk = self.chunk_of(number);
        let Pages { chunks, bytes, len, .. } = self;
        let chunk = chunks.get_mut(chunk)?.get_or_insert_with(|| {
            *bytes += size_of::<Chunk<E>>();
            Chunk::boxed()
        });
        let (page, bit) = chunk.page_mut(number);
        (page.known & bit == 0).then_some(Vacancy { page, bit, len, bytes })
    }
}

/// Room for an entry.
pub struct Vacancy<'a, E> {
    page: &'a mut Page<E>,
    bit: u64,
    len: &'a mut usize,
    bytes: &'a mut usize,
}

impl<'a, E> Vacancy<'a, E> {
    /// Adds it.
    pub fn insert(self, entry: E) -> &'a mut E {
        let Vacancy { page, bit, len, bytes } = self;
        *bytes -= page.bytes();
        let at = page.insert(bit, entry);
        *bytes += page.bytes();
        *len += 1;
        &mut page.entries[at]
    }
}

/// The entries in the order of their numbers; the pages go with them.
pub struct IntoEntries<E> {
    chunks: std::vec::IntoIter<Option<Box<Chunk<E>>>>,
    chunk: Option<Box<Chunk<E>>>,
    /// The next page of the chunk.
    page: usize,
    entries: std::vec::IntoIter<E>,
}

impl<E> Iterator for IntoEntries<E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Some(entry);
            }
            match self.chunk.as_mut().and_then(|chunk| chunk.0.get_mut(self.page)) {
                Some(page) => {
                    self.entries = std::mem::take(&mut page.entries).into_iter();
                    self.page += 1;
                }
                None => (self.chunk, self.page) = (self.chunks.next()?, 0),
            }
        }
    }
}

impl<E> IntoIterator for Pages<E> {
    type Item = E;
    type IntoIter = IntoEntries<E>;

    fn into_iter(self) -> IntoEntries<E> {
        IntoEntries { chunks: self.chunks.into_iter(), chunk: None, page: 0, entries: Vec::new().into_iter() }
    }
}
