//! A process of a test's own: this test's, started again to be one of its jobs.

use std::process::{Child, Command, ExitStatus, Stdio};

use super::Topics;

/// Ends with the test, however that ends.
pub struct Process(Child);

impl Process {
    /// Starts it as the job that the test of this name is, over these topics.
    pub fn start(job: &str, topics: &Topics) -> Process {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", job]).stdout(Stdio::null());
        process.env("MEMBER_OF_TEST", format!("{} {} {}", topics.brokers, topics.input, topics.output));
        Process(process.spawn().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Ends it at once.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Process {
    /// It may have ended already.
    fn drop(&mut self) {
        drop(self.0.kill());
        self.wait();
    }
}
