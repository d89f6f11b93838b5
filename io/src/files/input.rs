//! How a thread reads its files: ahead through io_uring, or a block when it is wanted.
//!
//! Both give the same bytes. Where one goes over to the other, nothing is lost or read twice, since each read says
//! where it begins.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::uring::Uring;
use crate::frames::Cutter;

/// What a thread reads its files with.
pub(super) struct Input {
    /// None any more after a read that it refused.
    uring: Option<Uring>,
}

impl Input {
    /// Reads whatever is wanted when it is wanted.
    pub fn plain() -> Input {
        Input { uring: None }
    }

    /// Reads ahead through io_uring where that is allowed.
    pub fn ahead() -> Input {
        let uring = Uring::new();
        if let Err(error) = &uring {
            tracing::debug!("files are read without io_uring, which gives no ring: {error}");
        }
        Input { uring: uring.ok() }
    }

    /// A file of which more may be wanted, up to about `to`.
    pub fn open(&mut self, file: File, to: u64) -> Opened<'_> {
        let settled = self.uring.as_mut().map_or(Ok(()), Uring::settle);
        let mut opened = Opened { file, to, uring: &mut self.uring };
        if let Err(error) = settled {
            opened.go_without(&error);
        }
        opened
    }
}

/// A file while it is read.
pub(super) struct Opened<'i> {
    file: File,
    to: u64,
    uring: &'i mut Option<Uring>,
}

impl Opened<'_> {
    /// Gives a cutter what comes next of its split, at most a block, and says how much that was: 0 at the end.
    pub fn read(&mut self, cutter: &mut Cutter) -> io::Result<usize> {
        let at = cutter.read_to();
        let uring = self.uring.as_mut().filter(|_| at < self.to);
        match uring.map(|uring| uring.read(&self.file, at, self.to)) {
            // What was the end when it was read ahead need not be it any more.
            None | Some(Ok([])) => {}
            Some(Ok(bytes)) => {
                cutter.append(bytes);
                return Ok(bytes.len());
            }
            Some(Err(error)) => self.go_without(&error),
        }
        cutter.read(&mut Rest(&self.file, at))
    }

    /// A plain read follows, and either works or says why not.
    fn go_without(&mut self, error: &io::Error) {
        tracing::debug!("files are read without io_uring from here on, which refused a read: {error}");
        *self.uring = None;
    }
}

/// A file from there on.
struct Rest<'f>(&'f File, u64);

impl Read for Rest<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(into, self.1)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::frames::{BLOCK_BYTES, Framing, Range};

    /// A file of a test's own.
    struct Text(PathBuf);

    impl Text {
        fn new(bytes: &[u8]) -> Text {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("slotflow-input-{}-{number}", std::process::id()));
            fs::write(&path, bytes).unwrap();
            Text(path)
        }

        fn open(&self) -> File {
            File::open(&self.0).unwrap()
        }

        fn append(&self, bytes: &[u8]) {
            OpenOptions::new().append(true).open(&self.0).unwrap().write_all(bytes).unwrap();
        }
    }

    impl Drop for Text {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// Bytes of which no two stretches are alike, in lines, at most nine blocks of them.
    fn bytes(length: usize) -> Vec<u8> {
        static ALL: LazyLock<Vec<u8>> =
            LazyLock::new(|| (100_000..190_000).flat_map(|line| format!("{line}\n").into_bytes()).collect());
        ALL[..length].to_vec()
    }

    fn cutter(begin: u64) -> Cutter {
        Cutter::new(Framing::lines(), 0, "text".into(), Range { begin, ..Range::ALL })
    }

    /// Takes what there is of so many reads, or all of it.
    fn take(opened: &mut Opened<'_>, cutter: &mut Cutter, reads: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        for _ in 0..reads {
            if opened.read(cutter).unwrap() == 0 {
                break;
            }
            taken.extend(std::iter::from_fn(|| cutter.take().unwrap()).flat_map(|block| block.bytes));
        }
        taken
    }

    /// Everything behind `begin` of a file that grows by `more` when `reads` have been made of what it was.
    fn read(
        input: &mut Input,
        (length, more): (usize, usize),
        begin: usize,
        to: u64,
        reads: usize,
    ) -> Vec<u8> {
        let all = bytes(length + more);
        let text = Text::new(&all[..length]);
        let (mut opened, mut cutter) = (input.open(text.open(), to), cutter(begin as u64));
        let mut taken = take(&mut opened, &mut cutter, reads);
        text.append(&all[length..]);
        taken.extend(take(&mut opened, &mut cutter, usize::MAX));
        taken.extend(cutter.take_half().into_iter().flat_map(|block| block.bytes));
        taken
    }

    /// Everything that can read a file: the last also reads ahead what is cached, as all that a test has written is.
    fn inputs() -> [Input; 3] {
        let eager = Input { uring: Uring::new().ok().map(Uring::eager) };
        [Input::plain(), Input::ahead(), eager]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_file_is_the_same_whatever_reads_it_and_however_it_grows_meanwhile(
            files in prop::collection::vec((0..6 * BLOCK_BYTES, 0..2 * BLOCK_BYTES, 0..9usize, 0..8u64), 1..4),
        ) {
            let mut inputs = inputs();
            for (length, more, reads, blocks) in files {
                let (sizes, begin, to) = ((length, more), length / 3, blocks * BLOCK_BYTES as u64);
                let mut expected = bytes(length + more).split_off(begin);
                if expected.last().is_some_and(|last| *last != b'\n') {
                    expected.push(b'\n');
                }
                for input in &mut inputs {
                    prop_assert!(read(input, sizes, begin, to, reads) == expected, "{sizes:?} {to} {reads}");
                }
            }
        }
    }

    #[test]
    fn what_io_uring_refuses_is_read_without_it_or_named_in_the_same_words() {
        let text = Text::new(&bytes(9 * BLOCK_BYTES));
        let folder = std::env::temp_dir();
        let error = |input: &mut Input| {
            let mut opened = input.open(File::open(&folder).unwrap(), u64::MAX);
            opened.read(&mut cutter(0)).unwrap_err().to_string()
        };
        let [mut plain, mut ahead, _] = inputs();
        assert_eq!(error(&mut plain), error(&mut ahead));
        assert!(ahead.uring.is_none(), "it is not asked again and again");
        let all = take(&mut ahead.open(text.open(), u64::MAX), &mut cutter(0), usize::MAX);
        let whole = bytes(9 * BLOCK_BYTES);
        let last = whole.iter().rposition(|byte| *byte == b'\n').unwrap();
        assert!(all == whole[..=last]);
    }

    #[test]
    fn a_file_that_is_left_in_its_midst_is_not_taken_for_the_next() {
        let [first, second] = [b"a\n", b"b\n"].map(|line| Text::new(&line.repeat(4 * BLOCK_BYTES)));
        for mut input in inputs() {
            let mut of =
                |text: &Text, begin| take(&mut input.open(text.open(), u64::MAX), &mut cutter(begin), 1);
            assert!(of(&first, 0).starts_with(b"a\n"));
            // Where the first would be read on.
            let block = of(&second, BLOCK_BYTES as u64);
            assert!(block.starts_with(b"b\n") && !block.contains(&b'a'));
        }
        let mut ahead = Input::ahead();
        assert!(take(&mut ahead.open(first.open(), u64::MAX), &mut cutter(0), 99).len() > BLOCK_BYTES);
        assert_eq!(ahead.uring.is_some(), Uring::new().is_ok(), "it is used where it is allowed");
    }

    #[test]
    fn what_comes_to_a_file_behind_an_end_that_was_read_ahead_is_there() {
        for mut input in inputs() {
            // The second is where a block of more than what was there is read ahead behind one of less.
            for length in [BLOCK_BYTES, 3 * BLOCK_BYTES / 2] {
                let (all, whole) = (bytes(9 * BLOCK_BYTES), 9 * BLOCK_BYTES / 7 * 7);
                let text = Text::new(&all[..length]);
                let (mut opened, mut cutter) = (input.open(text.open(), u64::MAX), cutter(0));
                let mut taken = take(&mut opened, &mut cutter, 1);
                text.append(&all[length..]);
                taken.extend(take(&mut opened, &mut cutter, usize::MAX));
                assert!(taken == all[..whole]);
            }
        }
    }
}
