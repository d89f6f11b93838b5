//! A folder for one test.

use std::fs;
use std::path::{Path, PathBuf};

use slotflow::prelude::*;

/// A folder of a test's own, which goes when the test is over.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("slotflow-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it, as text.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), text).unwrap();
        self.file(name)
    }

    /// What is in the files whose names end so, in the order of the names; hidden ones with a dot in front.
    pub fn files(&self, suffix: &str) -> Vec<(String, String)> {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let named = entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path));
        let mut files: Vec<_> = named
            .filter(|(name, _)| name.ends_with(suffix))
            .map(|(name, path)| (name, fs::read_to_string(path).unwrap()))
            .collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn environment() -> Environment {
    Environment::with(Config::default())
}
