//! Markdown tables that are readable as plain text.

use std::fmt::Write as _;

/// A Markdown table with aligned columns; all but the first are right-aligned.
pub fn markdown(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rule = (0..head.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned());
    let lines = [vec![head.clone(), rule.collect()], rows].concat();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            let width = width(column);
            let _ = if column == 0 { write!(text, "| {cell:width$} |") } else { write!(text, " {cell:>width$} |") };
        }
        text.push('\n');
    }
    text
}
