//! Advice for the operator on errors of the database.

/// Appends advice for the operator to an error message of the database, if the message is a known one. The
/// result is one line.
pub fn with_advice(message: &str) -> String {
    let advice_by_message = [
        ("file is not a database", "the file is not a SQLite database, or its first page is damaged: restore a backup"),
        ("database disk image is malformed", "the database is damaged: restore a backup"),
        ("database or disk is full", "the disk is full: make room"),
        ("No space left on device", "the disk is full: make room"),
        ("could not extend file", "the disk is full: make room"),
        ("disk I/O error", "the disk is full or broken: make room, and check the system log"),
        ("database is locked", "another program has locked the database: stop that program"),
        ("permission denied", "make the user the owner of the database or of its schema"),
        ("too many clients", "raise max_connections, or lower --readers"),
        ("remaining connection slots", "raise max_connections, or lower --readers"),
    ];
    let message = one_line(message);
    match advice_by_message.iter().find(|(part, _)| message.contains(part)) {
        Some((_, advice)) => format!("{message} ({advice})"),
        None => message,
    }
}

/// Joins the lines of a message with `; `, for logs and terminals.
pub fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_error_becomes_one_line_with_advice() {
        let line = with_advice("FATAL:  sorry, too many clients already\n\tHint\n");
        assert_eq!(line, "FATAL:  sorry, too many clients already; Hint (raise max_connections, or lower --readers)");
    }
}
