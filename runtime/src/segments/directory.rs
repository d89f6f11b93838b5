//! Which segment the keys of a hash are in.

use std::ops::Range;

/// The directory may be this many times as long as there are segments. A hash that spreads keys badly
/// would make it longer and longer; past this, segments outgrow their size instead.
const SPARSE: usize = 8;

/// The number of the segment of each stretch of hashes.
pub struct Directory {
    stretches: Vec<u32>,
    /// The first hash there is; the first stretch begins here.
    first: u64,
    /// How many more there are.
    more: u64,
    /// How many hashes a stretch has, as a power of two.
    shift: u32,
}

impl Directory {
    /// Of one segment, for hashes from `first` on, of which there are `more` besides.
    pub fn new((first, more): (u64, u64)) -> Self {
        let shift = more.checked_ilog2().unwrap_or(0).clamp(1, 63);
        Directory { stretches: vec![0; (more >> shift) as usize + 1], first, more, shift }
    }

    /// The segment of a hash. One outside is taken for the first or the last.
    pub fn segment_of(&self, hash: u64) -> usize {
        self.stretches[self.stretch_of(hash)] as usize
    }

    fn stretch_of(&self, hash: u64) -> usize {
        self.place()(hash).min(self.stretches.len() - 1)
    }

    /// Tells in which stretch a hash would be if there were as many as it takes.
    #[inline(always)]
    pub fn place(&self) -> impl Fn(u64) -> usize + use<> {
        // Not `self`: the compiler cannot know that its fields stay what they are while something else is written.
        let (first, shift) = (self.first, self.shift);
        move |hash| (hash.wrapping_sub(first) >> shift) as usize
    }

    /// The segment of each stretch.
    pub fn stretches(&self) -> &[u32] {
        &self.stretches
    }

    /// The segments that have hashes from `first` to `last`, in the order of their hashes.
    pub fn segments(&self, first: u64, last: u64) -> Vec<u32> {
        let mut segments = self.stretches[self.stretch_of(first)..=self.stretch_of(last)].to_vec();
        segments.dedup();
        segments
    }

    /// Gives the second half of the hashes of the segment of `hash` to segment `to`. `false` if the directory would be
    /// too long for that.
    pub fn split(&mut self, hash: u64, to: usize) -> bool {
        let mut stretches = self.stretches_of(hash);
        // The last stretch has fewer hashes than the others: half of it may be all of it.
        while stretches.len() == 1 {
            if !self.double(to) {
                return false;
            }
            stretches = self.stretches_of(hash);
        }
        let middle = stretches.start + stretches.len() / 2;
        self.stretches[middle..stretches.end].fill(to as u32);
        true
    }

    /// The stretches of the segment of `hash`, which lie side by side.
    pub fn stretches_of(&self, hash: u64) -> Range<usize> {
        self.alike(self.stretch_of(hash))
    }

    /// The stretches of a segment by its number.
    pub fn stretches_with(&self, segment: usize) -> Range<usize> {
        let first = self.stretches.iter().position(|known| *known as usize == segment);
        first.map_or(0..0, |first| self.alike(first))
    }

    /// The stretches of the segment that this one is of.
    fn alike(&self, stretch: usize) -> Range<usize> {
        let others = |other: &u32| *other != self.stretches[stretch];
        let start = self.stretches[..stretch].iter().rposition(others).map_or(0, |other| other + 1);
        let more = self.stretches[stretch..].iter().position(others);
        start..more.map_or(self.stretches.len(), |more| stretch + more)
    }

    /// Halves the stretches of so many segments. `false` if there are too many already.
    fn double(&mut self, segments: usize) -> bool {
        if self.shift == 0 || self.stretches.len() > SPARSE * segments {
            return false;
        }
        self.shift -= 1;
        self.stretches = self.stretches.iter().flat_map(|segment| [*segment; 2]).collect();
        self.stretches.truncate((self.more >> self.shift) as usize + 1);
        true
    }

    /// What it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.stretches.capacity() * size_of::<u32>()
    }
}
