use std::fmt::Write as _;

use serde_json::json;

use super::JsonSchema;

fn refusal(schema: &serde_json::Value) -> Option<String> {
    JsonSchema::parse(&schema.to_string()).err()
}

fn fits(schema: &serde_json::Value, data: &str) -> Result<(), String> {
    JsonSchema::parse(&schema.to_string()).expect("a valid schema").check(data)
}

#[test]
fn data_that_does_not_fit_is_named_by_its_place_and_not_repeated() {
    let schema = json!({
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "integer"}, "lines": {"items": {"properties": {"sku": {"type": "string"}}}}}
    });
    assert_eq!(fits(&schema, r#"{"id": 9007199254740993, "lines": [{"sku": "a"}]}"#), Ok(()));
    let error = fits(&schema, r#"{"id": 1, "lines": [{"sku": "a"}, {"sku": 4711}]}"#).unwrap_err();
    assert!(error.starts_with("/lines/1/sku: ") && error.contains("string") && !error.contains("4711"), "{error}");
    let error = fits(&schema, "{}").unwrap_err();
    assert!(error.contains("\"id\""), "{error}");
}

#[test]
fn a_long_message_is_cut() {
    let name = "é".repeat(1_000);
    let error = fits(&json!({"required": [name]}), "{}").unwrap_err();
    assert!(error.chars().count() <= super::MAX_MESSAGE + 1, "{}", error.len());
}

#[test]
fn references_of_a_tree_are_followed() {
    let tree = json!({
        "$defs": {"node": {"properties": {"children": {"items": {"$ref": "#/$defs/node"}}, "name": {"type": "string"}}}},
        "$ref": "#/$defs/node"
    });
    assert_eq!(fits(&tree, r#"{"children": [{"name": "a", "children": []}]}"#), Ok(()));
    assert!(fits(&tree, r#"{"children": [{"children": [{"name": 1}]}]}"#).is_err());
    let anchored = json!({"$defs": {"a b": {"$anchor": "text", "type": "string"}}, "items": {"$ref": "#text"}, "contains": {"$ref": "#/$defs/a%20b"}});
    assert_eq!(fits(&anchored, r#"["x"]"#), Ok(()));
    assert!(fits(&anchored, "[1]").is_err());
}

#[test]
fn deeply_nested_data_does_not_overflow_the_stack() {
    // The deepest schema that is accepted, and the deepest data: each level applies four schemas.
    let mut definitions = json!({});
    definitions["2"] = json!({"allOf": [{"$ref": "#/$defs/3"}]});
    definitions["3"] = json!({"items": {"$ref": "#/$defs/2"}});
    let schema = json!({"$defs": definitions, "$ref": "#/$defs/2"});
    let data = format!("{}{}", "[".repeat(127), "]".repeat(127));
    assert_eq!(fits(&schema, &data), Ok(()));
}

#[test]
fn schemas_that_never_end_or_take_long_are_refused() {
    let endless = [
        json!({"$ref": "#"}),
        json!({"allOf": [{"anyOf": [{"$ref": "#"}]}]}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}),
        json!({"if": true, "then": {"$ref": "#"}}),
        json!({"dependentSchemas": {"a": {"$ref": "#"}}}),
    ];
    for schema in endless {
        let error = refusal(&schema).expect("refused");
        assert!(error.contains("never end"), "{schema}: {error}");
    }
    let mut doubling = json!({});
    for level in 0..30 {
        let next = json!({"$ref": format!("#/$defs/{}", level + 1)});
        doubling[level.to_string()] = json!({"allOf": [next, next]});
    }
    doubling["30"] = json!(true);
    let item = json!({"items": {"$ref": "#"}});
    let property = json!({"properties": {"a": {"$ref": "#"}}});
    let expensive = [
        json!({"$defs": doubling, "$ref": "#/$defs/0"}),
        json!({"oneOf": [item, item]}),
        json!({"anyOf": [property, {"additionalProperties": {"$ref": "#"}}]}),
        json!({"patternProperties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}),
        json!({"items": {"$ref": "#"}, "contains": {"$ref": "#"}}),
        json!({"properties": {"a": {"$ref": "#"}}, "unevaluatedProperties": {"$ref": "#"}}),
    ];
    for schema in expensive {
        let error = refusal(&schema).expect("refused");
        assert!(error.contains("too long"), "{schema}: {error}");
    }
}

/// What a check could do that the cost does not follow.
#[test]
fn parts_that_are_hidden_from_the_cost_are_refused() {
    let twice = |reference: &str| {
        let part = json!({"properties": {"c": {"$ref": reference}}});
        json!([part, part])
    };
    let part = json!({"properties": {"a": {"$ref": "#"}}});
    let links: Vec<_> = (1..3_000).map(|number| json!({"$ref": format!("#/x/{number}")})).collect();
    let mut evaluated = json!({"type": "integer"});
    for _ in 0..20 {
        evaluated = json!({"unevaluatedProperties": {"type": "integer"}, "anyOf": [evaluated]});
    }
    for (schema, why) in [
        (json!({"dependencies": {"a": part, "b": part}}), "dependencies"),
        (json!({"prefixItems": [true], "additionalItems": {"$ref": "#"}}), "additionalItems"),
        // A decoder of forms would read `a&b` as `a`.
        (json!({"$defs": {"a": true, "a&b": {"allOf": twice("#/$defs/a&b")}}, "$ref": "#/$defs/a&b"}), "too long"),
        (json!({"$defs": {"a%b": {"allOf": twice("#/$defs/a%25b")}}, "$ref": "#/$defs/a%25b"}), "too long"),
        (
            json!({"$defs": {"a": {"const": {"$anchor": "x"}}, "b": {"$anchor": "x", "allOf": twice("#x")}}, "$ref": "#x"}),
            "same $anchor",
        ),
        (json!({"properties": {"a": {"$schema": "http://json-schema.org/draft-04/schema#", "id": "b"}}}), "$schema"),
        (evaluated, "too long"),
        (json!({"x": links, "$ref": "#/x/0"}), "within each other"),
        (
            json!({"allOf": (0..40).map(|number| json!({"pattern": format!("a{number}")})).collect::<Vec<_>>()}),
            "too long",
        ),
        (
            json!({"properties": (0..60).map(|number| (number.to_string(), json!({"pattern": "a"}))).collect::<serde_json::Map<_, _>>()}),
            "60 patterns",
        ),
    ] {
        let error = refusal(&schema).unwrap_or_else(|| panic!("{schema} is accepted"));
        assert!(error.contains(why), "{schema}: {error}");
    }
}

#[test]
fn unevaluated_properties_at_the_top_are_accepted() {
    let schema = json!({
        "allOf": [{"properties": {"a": true}}, {"oneOf": [{"required": ["b"]}, {"required": ["c"]}]}],
        "properties": {"b": true, "c": true},
        "unevaluatedProperties": false
    });
    assert_eq!(fits(&schema, r#"{"a": 1, "b": 2}"#), Ok(()));
    assert!(fits(&schema, r#"{"a": 1, "b": 2, "d": 3}"#).is_err());
}

#[test]
fn wide_schemas_are_accepted() {
    let mut properties = json!({});
    for number in 0..500 {
        properties[format!("property{number}")] = json!({"type": ["string", "null"], "maxLength": 100});
    }
    assert_eq!(refusal(&json!({"properties": properties, "additionalProperties": false})), None);
    let kinds: Vec<_> = (0..50).map(|number| json!({"properties": {"kind": {"const": number}}})).collect();
    assert_eq!(refusal(&json!({"oneOf": kinds})), None);
}

#[test]
fn what_is_no_schema_of_this_version_is_refused() {
    for (schema, part) in [
        (json!({"type": "text"}), "/type"),
        (json!({"properties": {"a": {"minimum": "1"}}}), "/properties/a/minimum"),
        (json!("string"), "a JSON object"),
        (json!(null), "a JSON object"),
        (json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "2020-12"),
        (json!({"$ref": "https://example.com/schema"}), "must begin with #"),
        (json!({"$ref": "#/$defs/missing"}), "names no part"),
        (json!({"$ref": "#missing"}), "names no part"),
        (json!({"properties": {"a": {"$id": "https://example.com/a"}}}), "$id"),
        (json!({"$dynamicRef": "#a", "$dynamicAnchor": "a"}), "$dynamicRef"),
        (json!({"pattern": "(?<=a)b"}), "pattern"),
        (json!({"pattern": "("}), ""),
    ] {
        let error = refusal(&schema).unwrap_or_else(|| panic!("{schema} is accepted"));
        assert!(error.contains(part), "{schema}: {error}");
    }
    assert_eq!(refusal(&json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:a"})), None);
    assert_eq!(refusal(&json!(true)), None);
}

#[test]
fn a_pattern_that_would_take_long_for_a_backtracking_engine_is_fast_or_refused() {
    let schema = json!({"pattern": "^(a+)+$"});
    let text = format!("\"{}!\"", "a".repeat(60_000));
    assert!(fits(&schema, &text).is_err());
    let error = refusal(&json!({"pattern": "((a{100}){100}){100}"})).expect("refused");
    assert!(error.contains("pattern") || error.contains("regex"), "{error}");
}

#[test]
fn a_schema_of_the_greatest_length_is_read() {
    let mut text = String::from(r#"{"enum":["#);
    while text.len() < super::MAX_SCHEMA - 100 {
        // Writing to a `String` cannot fail.
        let _: std::fmt::Result = write!(text, "{},", text.len());
    }
    text.push_str("0]}");
    // The list alone is longer than one value may be compared with.
    assert!(JsonSchema::parse(&text).is_err());
    text.push_str(&" ".repeat(super::MAX_SCHEMA));
    assert!(JsonSchema::parse(&text).err().is_some_and(|error| error.contains("bytes")));
}
