use serde_json::json;

use super::module;
use crate::model::{EventType, Timestamp};

/// The module for one type of events, without the part that is always the same.
fn declarations(schema: &serde_json::Value) -> String {
    let made = module(&[event_type("order.paid", schema)]);
    made.split_once("}[T];\n").expect("the common part").1.trim().to_owned()
}

fn event_type(name: &str, schema: &serde_json::Value) -> EventType {
    let schema = schema.to_string().into();
    EventType { name: name.into(), description: None, schema, updated_at: Timestamp(0) }
}

#[test]
fn an_object_has_its_properties() {
    let made = declarations(&json!({
        "description": "An order was paid. */",
        "type": "object",
        "required": ["id", "free"],
        "properties": {
            "id": {"type": "integer", "description": "The number."},
            "total-gross": {"type": ["number", "null"]},
            "lines": {"type": "array", "items": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}}}
        }
    }));
    assert_eq!(
        made,
        r#"/** An order was paid. * / */
export type OrderPaid = {
  /** The number. */
  "id": number;
  "lines"?: ({
    "sku": string;
  })[];
  "total-gross"?: (number) | (null);
  "free": unknown;
};"#
    );
}

#[test]
fn each_keyword_has_its_type() {
    for (schema, expected) in [
        (json!(true), "unknown"),
        (json!(false), "never"),
        (json!({}), "unknown"),
        (json!({"const": "a\"b"}), r#""a\"b""#),
        (json!({"enum": ["a", 1, null, true, "a"]}), r#"("a") | (1) | (null) | (true)"#),
        (json!({"const": {"a": [1]}}), r#"{ "a": [1] }"#),
        (json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}), "(string) | (number)"),
        (json!({"oneOf": [{"type": "string"}, true]}), "unknown"),
        (
            json!({"allOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            "({\n  \"a\": unknown;\n}) & ({\n  \"b\": unknown;\n})",
        ),
        (json!({"type": "object"}), "{ [name: string]: unknown }"),
        (json!({"type": "object", "additionalProperties": {"type": "string"}}), "{ [name: string]: string }"),
        (json!({"items": {"type": "boolean"}}), "(boolean)[]"),
        (json!({"prefixItems": [{"type": "string"}], "items": false}), "[(string)?]"),
        (json!({"prefixItems": [{"type": "string"}]}), "[(string)?, ...(unknown)[]]"),
        (json!({"minLength": 3}), "unknown"),
    ] {
        let made = declarations(&schema);
        assert_eq!(made, format!("export type OrderPaid = {expected};"), "{schema}");
    }
}

#[test]
fn references_become_declarations() {
    let made = declarations(&json!({
        "$defs": {"line": {"properties": {"parts": {"items": {"$ref": "#/$defs/line"}}}}, "b": {"$anchor": "money", "type": "number"}},
        "properties": {"line": {"$ref": "#/$defs/line"}, "again": {"$ref": "#"}, "total": {"$ref": "#money"}}
    }));
    for part in [
        "\"line\"?: OrderPaidLine;",
        "\"again\"?: OrderPaid;",
        "\"total\"?: OrderPaidMoney;",
        "export type OrderPaidLine = {\n  \"parts\"?: (OrderPaidLine)[];\n};",
        "export type OrderPaidMoney = number;",
    ] {
        assert!(made.contains(part), "{part} is not in {made}");
    }
}

#[test]
fn each_declaration_has_a_name_of_its_own() {
    let names = ["order.paid", "order_paid", "OrderPaid2", "order-paid", "7", "...", "app.event"];
    let made = module(&names.map(|name| event_type(name, &json!(true))));
    let mut declared: Vec<&str> =
        made.lines().filter_map(|line| line.strip_prefix("export type ")?.split([' ', '<']).next()).collect();
    let count = declared.len();
    assert_eq!(count, names.len() + 2, "{made}");
    declared.sort_unstable();
    declared.dedup();
    assert_eq!(declared.len(), count, "{made}");
    assert!(made.contains("\"7\": Event7;") && made.contains("\"...\": Event;"), "{made}");
}
