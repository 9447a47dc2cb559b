//! A report that a passing test prints. Cargo captures `println!` of passing tests; this writes to standard output
//! directly, in one piece when the test ends.

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

/// Prints the report. It is printed for failed tests too, because it helps to explain the failure.
impl Drop for Report {
    fn drop(&mut self) {
        let text = self.lines.join("\n") + "\n\n";
        // A closed standard output must not fail the test.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }
}
