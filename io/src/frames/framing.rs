//! How frames are told apart in a stream of bytes.

use std::fmt;

use slotflow_runtime::error::Cause;

/// What a length in front of a frame takes.
const LENGTH_BYTES: usize = size_of::<u32>();

/// The longest frame unless it is said otherwise (a guess: a far end that is broken or hostile must not fill the
/// memory, and lines are shorter).
const MAX_BYTES: usize = 1 << 20;

/// How frames are told apart: as lines, or by a length in front of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    kind: Kind,
    max_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lines,
    LengthDelimited,
}

/// Where a frame lies in what was looked at, and where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub begin: usize,
    pub end: usize,
    pub next: usize,
}

impl Framing {
    /// Lines that end in `\n` or `\r\n`, which are no part of the frame. An empty line is an empty frame.
    pub const fn lines() -> Framing {
        Framing { kind: Kind::Lines, max_bytes: MAX_BYTES }
    }

    /// Frames behind their length in bytes, 32 bits, the highest byte first: whatever they hold.
    pub const fn length_delimited() -> Framing {
        Framing { kind: Kind::LengthDelimited, max_bytes: MAX_BYTES }
    }

    /// The longest frame there may be (default 1 MiB, at most 4 GiB): one that is longer is malformed.
    #[must_use]
    pub const fn max_bytes(self, max_bytes: usize) -> Framing {
        Framing { max_bytes, ..self }
    }

    pub(crate) fn are_lines(&self) -> bool {
        self.kind == Kind::Lines
    }

    /// The first whole frame, if there is one.
    #[inline]
    pub(crate) fn first(&self, bytes: &[u8]) -> Result<Option<Cut>, Cause> {
        let cut = match self.kind {
            Kind::Lines => line(bytes),
            Kind::LengthDelimited => self.measured(bytes)?,
        };
        match cut {
            Some(cut) => self.check(cut.end - cut.begin).map(|()| Some(cut)),
            None => self.check(bytes.len().saturating_sub(LENGTH_BYTES)).map(|()| None),
        }
    }

    /// How many bytes of whole frames there are from the beginning.
    pub(crate) fn whole(&self, bytes: &[u8]) -> Result<usize, Cause> {
        // No line is too long where all of them together are not.
        if self.kind == Kind::Lines && bytes.len() <= self.max_bytes {
            return Ok(memchr::memrchr(b'\n', bytes).map_or(0, |last| last + 1));
        }
        let mut whole = 0;
        while let Some(cut) = self.first_behind(whole, bytes)? {
            whole += cut.next;
        }
        Ok(whole)
    }

    /// The first frame behind `whole` bytes of good ones: what is malformed there is told once those are gone.
    fn first_behind(&self, whole: usize, bytes: &[u8]) -> Result<Option<Cut>, Cause> {
        match self.first(&bytes[whole..]) {
            Err(_) if whole > 0 => Ok(None),
            first => first,
        }
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// It cannot be told apart: it is a line with a line break in it, or too long.
    pub(crate) fn write(&self, frame: &[u8], into: &mut Vec<u8>) -> Result<(), Cause> {
        self.check(frame.len())?;
        match self.kind {
            Kind::Lines if memchr::memchr(b'\n', frame).is_some() => {
                return Err("a record with a line break cannot be a line; use length-delimited frames".into());
            }
            Kind::Lines => {
                into.extend_from_slice(frame);
                into.push(b'\n');
            }
            Kind::LengthDelimited => {
                let length = u32::try_from(frame.len())?;
                into.extend_from_slice(&length.to_be_bytes());
                into.extend_from_slice(frame);
            }
        }
        Ok(())
    }

    fn measured(&self, bytes: &[u8]) -> Result<Option<Cut>, Cause> {
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        self.check(length)?;
        let end = LENGTH_BYTES + length;
        Ok((length <= rest.len()).then_some(Cut { begin: LENGTH_BYTES, end, next: end }))
    }

    #[inline]
    fn check(&self, bytes: usize) -> Result<(), Cause> {
        if bytes <= self.max_bytes {
            return Ok(());
        }
        let most = self.max_bytes;
        let what = format!("a frame of {bytes} bytes or more is longer than max_bytes = {most} allows");
        Err(format!("{what}; raise it if such frames are meant").into())
    }
}

#[inline]
fn line(bytes: &[u8]) -> Option<Cut> {
    let end = memchr::memchr(b'\n', bytes)?;
    let next = end + 1;
    let end = if end > 0 && bytes[end - 1] == b'\r' { end - 1 } else { end };
    Some(Cut { begin: 0, end, next })
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Lines => write!(f, "lines of at most {} bytes", self.max_bytes),
            Kind::LengthDelimited => {
                write!(f, "frames behind their length, at most {} bytes", self.max_bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All frames and what is left over.
    fn frames(framing: Framing, mut bytes: &[u8]) -> Result<(Vec<&[u8]>, usize), String> {
        let mut frames = Vec::new();
        while let Some(cut) = framing.first(bytes).map_err(|cause| cause.to_string())? {
            frames.push(&bytes[cut.begin..cut.end]);
            bytes = &bytes[cut.next..];
        }
        Ok((frames, bytes.len()))
    }

    #[test]
    fn lines_end_in_a_line_break_of_either_kind() {
        let (lines, left) = frames(Framing::lines(), b"a\n\r\n\nb\r\r\nhalf").unwrap();
        assert_eq!(lines, [&b"a"[..], b"", b"", b"b\r"]);
        assert_eq!(left, 4);
    }

    #[test]
    fn what_is_too_long_is_told_before_it_has_come() {
        let error = |framing: Framing, bytes: &[u8]| framing.whole(bytes).unwrap_err().to_string();
        let (lines, lengths) = (Framing::lines().max_bytes(4), Framing::length_delimited().max_bytes(4));
        assert!(error(lines, b"123456789").contains("longer than max_bytes = 4"));
        assert!(error(lengths, &[0xff; 4]).contains("a frame of 4294967295 bytes"));
        assert_eq!(lengths.whole(&[0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff]).unwrap(), 5, "good ones go first");
        assert_eq!(lines.whole(b"1\n12345\n").unwrap(), 2);
        assert!(frames(lines, b"12345\n").unwrap_err().contains("a frame of 5 bytes"));
    }

    #[test]
    fn a_line_break_in_a_line_is_refused() {
        let error = Framing::lines().write(b"a\nb", &mut Vec::new()).unwrap_err().to_string();
        assert_eq!(error, "a record with a line break cannot be a line; use length-delimited frames");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(mut frames_in: Vec<Vec<u8>>, lines: bool) {
            let framing = if lines { Framing::lines() } else { Framing::length_delimited() };
            if lines {
                frames_in.iter_mut().for_each(|frame| frame.retain(|byte| !b"\r\n".contains(byte)));
            }
            let mut bytes = Vec::new();
            frames_in.iter().for_each(|frame| framing.write(frame, &mut bytes).unwrap());
            prop_assert_eq!(framing.whole(&bytes).unwrap(), bytes.len());
            let (frames, left) = frames(framing, &bytes).unwrap();
            prop_assert_eq!((frames, left), (frames_in.iter().map(Vec::as_slice).collect(), 0));
        }

        #[test]
        fn random_bytes_never_panic_and_whole_frames_are_whole(bytes: Vec<u8>, lines: bool) {
            let framing = if lines { Framing::lines() } else { Framing::length_delimited().max_bytes(64) };
            if let Ok(whole) = framing.whole(&bytes) {
                prop_assert_eq!(frames(framing, &bytes[..whole]).unwrap().1, 0);
            }
        }
    }
}
