//! A wall clock for servers that run as separate processes. A test can shift it, as suspend or an administrator would.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A wall clock with an adjustable offset, preloaded into a server process as a shared library.
pub struct Clock {
    directory: TempDir,
}

impl Clock {
    /// Compiles the library; the offset is zero.
    pub fn new() -> Self {
        let clock = Self { directory: tempfile::tempdir().expect("a directory") };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/support/clock.c");
        let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(clock.library()).arg(source).status();
        assert!(made.is_ok_and(|status| status.success()), "support/clock.c cannot be compiled");
        clock.set(0);
        clock
    }

    /// Sets the offset from the real time, in seconds.
    pub fn set(&self, seconds: i64) {
        let draft = self.directory.path().join("draft");
        std::fs::write(&draft, seconds.to_string()).expect("a file");
        std::fs::rename(draft, self.file()).expect("a file");
    }

    /// The environment variables that make a process use this clock.
    pub fn settings(&self) -> [(&'static str, String); 2] {
        let [library, file] = [self.library(), self.file()].map(|path| path.display().to_string());
        [("LD_PRELOAD", library), ("TIDINGS_TEST_CLOCK", file)]
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("clock.so")
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("offset")
    }
}
