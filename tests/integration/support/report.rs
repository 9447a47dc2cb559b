//! What a passing test has to show. Cargo keeps to itself what such a test prints; this goes past it, whole, when the
//! test ends, so that no other test's lines come in between.

use std::fmt::Display;
use std::io::Write as _;

pub struct Report {
    lines: Vec<String>,
}

impl Report {
    pub fn new(title: impl Display) -> Self {
        Self { lines: vec![String::new(), title.to_string()] }
    }

    pub fn line(&mut self, line: impl Display) {
        self.lines.push(format!("    {line}"));
    }
}

/// Also when the test fails half-way: what it saw by then says why.
impl Drop for Report {
    fn drop(&mut self) {
        let text = self.lines.join("\n") + "\n\n";
        // Nobody may be reading, which is no reason to fail.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }
}
