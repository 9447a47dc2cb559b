//! A wall clock for servers in processes of their own, which a test moves as a machine's does that slept or was set.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A clock that can be moved.
pub struct Clock {
    directory: TempDir,
}

impl Clock {
    /// One that goes right.
    pub fn new() -> Self {
        let clock = Self { directory: tempfile::tempdir().expect("a directory") };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/support/clock.c");
        let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(clock.library()).arg(source).status();
        assert!(made.is_ok_and(|status| status.success()), "the clock cannot be compiled");
        clock.set(0);
        clock
    }

    /// Moves it so many seconds from where it would be.
    pub fn set(&self, seconds: i64) {
        let draft = self.directory.path().join("draft");
        std::fs::write(&draft, seconds.to_string()).expect("a file");
        std::fs::rename(draft, self.file()).expect("a file");
    }

    /// The settings of a program that goes by it.
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
