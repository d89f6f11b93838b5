//! Which files a path with `*` and `?` means.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use slotflow_runtime::{Error, Result};

use super::failure::unlisted;

/// The files of all these patterns, each once and sorted, each pattern's as `list` finds them.
pub(super) fn all(patterns: &[String], list: impl Fn(&str) -> Result<Vec<PathBuf>>) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for pattern in patterns {
        all.extend(list(pattern)?);
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// The files that fit, perhaps none.
pub(super) fn listed(pattern: &str) -> Result<Vec<PathBuf>> {
    files(pattern).map_err(|error| unlisted(pattern, &error))
}

/// The files that fit, at least one.
pub(super) fn required(pattern: &str, remedy: &str) -> Result<Vec<PathBuf>> {
    let files = listed(pattern)?;
    if files.is_empty() { Err(Error::world(format!("no file is {pattern}"), remedy)) } else { Ok(files) }
}

/// The files that fit, sorted; files whose names begin with a dot only where the pattern says so. A path without a
/// wildcard is that file.
fn files(pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for component in Path::new(pattern).components() {
        found = match component {
            Component::Normal(name) if is_pattern(name) => fitting(&found, &name.to_string_lossy())?,
            component => found.into_iter().map(|path| path.join(component)).collect(),
        };
    }
    found.retain(|path| path.is_file());
    found.sort();
    Ok(found)
}

fn is_pattern(name: &OsStr) -> bool {
    name.to_string_lossy().contains(['*', '?'])
}

/// What is in these folders and fits.
fn fitting(folders: &[PathBuf], pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // In the middle of a path a wildcard fits files, too: nothing lies in them.
        if !here.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(here)? {
            let name = entry?.file_name();
            if fits(pattern.as_bytes(), name.as_encoded_bytes()) {
                found.push(folder.join(name));
            }
        }
    }
    Ok(found)
}

/// Whether a name is what the pattern says. A wildcard does not stand for a dot at the beginning: such files are
/// hidden, as those that are being written.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let is_hidden = name.first() == Some(&b'.') && pattern.first() != Some(&b'.');
    !is_hidden && fits_rest(pattern, name)
}

fn fits_rest(pattern: &[u8], name: &[u8]) -> bool {
    // Where the last `*` stands, and how much of the name it stands for.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, covered)) => {
                    star = Some((at, covered + 1));
                    (p, n) = (at + 1, covered + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By trying everything.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, _) => name.is_empty(),
            (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| naive(rest, &name[skip..])),
            (Some((b'?', pattern)), Some((_, name))) => naive(pattern, name),
            (Some((byte, pattern)), Some((first, name))) => byte == first && naive(pattern, name),
            (Some(_), None) => false,
        }
    }

    #[test]
    fn what_is_hidden_is_named_with_its_dot() {
        assert!(!fits(b"*", b".a") && fits(b".*", b".a") && fits(b"*.txt", b"a.b.txt"));
    }

    proptest! {
        #[test]
        fn a_pattern_fits_what_it_fits_by_trying_everything(pattern in "[ab*?]{0,7}", name in "[ab]{0,7}") {
            prop_assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), naive(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
