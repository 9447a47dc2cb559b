//! Unit tests of the check of rows.

use super::*;

fn row(channel: &str, app_type: &str, data: &str, key: Option<&str>) -> OutboxRow {
    OutboxRow {
        id: 1,
        channel: channel.into(),
        app_type: app_type.into(),
        data: Some(data.into()),
        key: key.map(Into::into),
        is_text: true,
    }
}

/// The reason why a row is rejected, and the sentence about it.
fn rejection(row: OutboxRow) -> Option<(&'static str, String)> {
    let channels = HashMap::from([("orders".to_owned(), Some(ChannelId(7))), ("gone".to_owned(), None)]);
    check(row, &channels).err().map(|(reason, detail)| (reason.label(), detail))
}

#[test]
fn a_valid_row_is_accepted() {
    for row in [
        row("orders", "order.paid", "{\"a\": [1, 2.50]}", Some("k")),
        row("7", "t", " \"text\" ", None),
        // Data is measured without the white space between its parts.
        row("orders", "t", &format!("[1,{}2]", " ".repeat(MAX_PAYLOAD)), None),
    ] {
        assert_eq!(rejection(row.clone()), None, "{row:?}");
    }
}

#[test]
fn each_invalid_column_has_a_reason_and_a_sentence() {
    let long = format!("\"{}\"", "x".repeat(MAX_PAYLOAD));
    for (row, reason, detail) in [
        (row("gone", "t", "1", None), "unknown_channel", "no channel has this id or name"),
        (row("", "t", "1", None), "unknown_channel", "no channel has this id or name"),
        (row("orders", "a b", "1", None), "invalid_type", "type must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
        (row("orders", "t", "1", Some("")), "invalid_key", "idempotencyKey must not be empty"),
        (row("orders", "t", "null", None), "invalid_data", "data must not be null"),
        (row("orders", "t", "\"\\u0000\"", None), "nul_character", "data must not contain a NUL character"),
        (row("orders", "t", &long, None), "too_large", "data has 65538 bytes; at most 65536 are allowed"),
        (
            row("orders", "t", "{", None),
            "not_json",
            "data is not a valid JSON value: EOF while parsing an object at line 1 column 1",
        ),
        (
            OutboxRow { data: None, ..row("orders", "t", "", None) },
            "too_large",
            "data has more than 131072 bytes; at most 65536 are allowed",
        ),
        (OutboxRow { is_text: false, ..row("orders", "t", "1", None) }, "not_json", "the row is not UTF-8 text"),
    ] {
        assert_eq!(rejection(row.clone()), Some((reason, detail.to_owned())), "{row:?}");
    }
}
