//! What sources and sinks of files are told alike, whatever the format: methods with one text.

/// The methods of a source, whose `patterns` and `positions` they set.
macro_rules! read_alike {
    () => {
        /// More files, by another path or pattern.
        #[must_use]
        pub fn and(mut self, pattern: impl Into<String>) -> Self {
            self.patterns.push(pattern.into());
            self
        }

        /// Stores in this file how far each split is, by the commit rule, and reads on from there at the next start. By
        /// default nothing is stored. One source at a time may use it, and a second one is refused: a lock beside it,
        /// `.NAME.lock`, says so. A file that has taken the name of another meanwhile is a new one, and is read from
        /// its beginning.
        #[must_use]
        pub fn positions(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.positions = Some(path.into());
            self
        }
    };
}
pub(super) use read_alike;

/// The methods of a sink, which set the destination `to`.
macro_rules! rolled_alike {
    () => {
        /// A file that has at least this many bytes is finished (default 128 MiB).
        #[must_use]
        pub fn roll_bytes(mut self, bytes: u64) -> Self {
            self.to.roll_bytes = bytes;
            self
        }

        /// A file that was begun so long ago is finished (default 10 s).
        #[must_use]
        pub fn roll_after(mut self, time: std::time::Duration) -> Self {
            self.to.roll_after = time;
            self
        }

        /// Leaves it to the system when finished files are on the disk: records that were acknowledged can be lost when
        /// the machine fails, and the sink's guarantee is best effort. By default a file and its name are durable
        /// first.
        #[must_use]
        pub fn without_fsync(mut self) -> Self {
            self.to.fsync = false;
            self
        }
    };
}
pub(super) use rolled_alike;
