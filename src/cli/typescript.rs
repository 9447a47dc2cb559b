//! TypeScript types for application events, made from the JSON Schemas of their types.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::board::referenced;
use crate::model::EventType;

/// A module with a type for each type of events.
#[must_use]
pub fn module(types: &[EventType]) -> String {
    let mut module = Module::default();
    let mut table = String::new();
    for event_type in types {
        let schema: Value = serde_json::from_str(&event_type.schema).unwrap_or(Value::Bool(true));
        let name = module.new_name(&event_type.name);
        module.declare_root(&name, event_type.description.as_deref(), &schema);
        push(&mut table, &format!("  {}: {name};\n", quoted(&event_type.name)));
    }
    format!(
        "// Made by `tidings types --ts`. Changes are lost when it runs again.\n\n\
         /** The data of events by their type. */\nexport interface AppEvents {{\n{table}}}\n\n\
         /** The types of events. */\nexport type AppEventType = keyof AppEvents;\n\n\
         /** An event of one of these types, as `appEvent` and `appEvents` return it. */\n\
         export type AppEvent<T extends AppEventType = AppEventType> = {{\n  \
         [K in T]: {{ cursor: string; at: string; actorId: string | null; channelId: string; type: K; data: AppEvents[K]; key: string | null }};\n\
         }}[T];\n{}",
        module.declarations
    )
}

/// The declarations of a module and the names that they use.
#[derive(Default)]
struct Module {
    declarations: String,
    names: HashSet<String>,
}

/// The schema of one type of events.
struct Root<'s> {
    name: &'s str,
    /// The names of the declarations for the schemas that `$ref` names.
    references: BTreeMap<String, String>,
    /// References whose declarations are still to be written.
    open: Vec<String>,
}

impl Module {
    /// A name that begins like this type of events and that no declaration has.
    fn new_name(&mut self, text: &str) -> String {
        let mut base: String = words(text).collect();
        if base.is_empty() || base.starts_with(|first: char| first.is_ascii_digit()) {
            base.insert_str(0, "Event");
        }
        let mut name = base.clone();
        let mut number = 1;
        while RESERVED.contains(&name.as_str()) || !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{base}{number}");
        }
        name
    }

    fn declare_root(&mut self, name: &str, description: Option<&str>, schema: &Value) {
        let references = BTreeMap::from([("#".to_owned(), name.to_owned())]);
        let mut root = Root { name, references, open: Vec::new() };
        self.declare(&mut root, name, description, schema);
        while let Some(reference) = root.open.pop() {
            let name = root.references[&reference].clone();
            let target = referenced(schema, &reference).unwrap_or(&Value::Bool(true));
            self.declare(&mut root, &name, None, target);
        }
    }

    fn declare(&mut self, root: &mut Root<'_>, name: &str, description: Option<&str>, schema: &Value) {
        let description = description.or_else(|| schema.get("description").and_then(Value::as_str));
        let text = self.type_of(root, schema, "");
        push(&mut self.declarations, &format!("\n{}export type {name} = {text};\n", comment(description, "")));
    }

    /// The TypeScript type for a schema.
    fn type_of(&mut self, root: &mut Root<'_>, schema: &Value, indent: &str) -> String {
        let object = match schema {
            Value::Bool(false) => return "never".into(),
            Value::Object(object) => object,
            _ => return "unknown".into(),
        };
        let mut parts = Vec::new();
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            parts.push(self.reference(root, reference));
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(choices) = object.get(keyword).and_then(Value::as_array) {
                let choices = choices.iter().map(|choice| self.type_of(root, choice, indent)).collect();
                parts.push(union(choices));
            }
        }
        for part in object.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            parts.push(self.type_of(root, part, indent));
        }
        parts.push(self.own_type(root, object, indent));
        intersection(parts)
    }

    /// The type that the keywords of a schema describe without those that combine schemas.
    fn own_type(&mut self, root: &mut Root<'_>, object: &Map<String, Value>, indent: &str) -> String {
        if let Some(value) = object.get("const") {
            return literal(value);
        }
        if let Some(values) = object.get("enum").and_then(Value::as_array) {
            return union(values.iter().map(literal).collect());
        }
        let types: Vec<&str> = match object.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            // Without `type`, the keywords restrict only values to which they apply. Authors mean these values.
            _ if object.contains_key("properties") || object.contains_key("required") => vec!["object"],
            _ if object.contains_key("items") || object.contains_key("prefixItems") => vec!["array"],
            _ => return "unknown".into(),
        };
        union(types.into_iter().map(|name| self.simple_type(root, object, name, indent)).collect())
    }

    fn simple_type(&mut self, root: &mut Root<'_>, object: &Map<String, Value>, name: &str, indent: &str) -> String {
        match name {
            "string" => "string".into(),
            "number" | "integer" => "number".into(),
            "boolean" => "boolean".into(),
            "null" => "null".into(),
            "array" => self.array(root, object, indent),
            "object" => self.object(root, object, indent),
            _ => "unknown".into(),
        }
    }

    fn array(&mut self, root: &mut Root<'_>, object: &Map<String, Value>, indent: &str) -> String {
        let items = object.get("items").map_or_else(|| "unknown".into(), |items| self.type_of(root, items, indent));
        let Some(first) = object.get("prefixItems").and_then(Value::as_array) else {
            return format!("({items})[]");
        };
        let mut parts: Vec<String> =
            first.iter().map(|item| format!("({})?", self.type_of(root, item, indent))).collect();
        if items != "never" {
            parts.push(format!("...({items})[]"));
        }
        format!("[{}]", parts.join(", "))
    }

    fn object(&mut self, root: &mut Root<'_>, object: &Map<String, Value>, indent: &str) -> String {
        let inner = format!("{indent}  ");
        let required: HashSet<&str> =
            object.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = object.get("properties").and_then(Value::as_object);
        let mut text = String::from("{\n");
        for (name, schema) in properties.into_iter().flatten() {
            let mark = if required.contains(name.as_str()) { "" } else { "?" };
            let value = self.type_of(root, schema, &inner);
            let note = comment(schema.get("description").and_then(Value::as_str), &inner);
            push(&mut text, &format!("{note}{inner}{}{mark}: {value};\n", quoted(name)));
        }
        let is_listed = |name: &&&str| properties.is_some_and(|listed| listed.contains_key(**name));
        let mut others: Vec<&&str> = required.iter().filter(|name| !is_listed(name)).collect();
        others.sort_unstable();
        for name in others {
            push(&mut text, &format!("{inner}{}: unknown;\n", quoted(name)));
        }
        push(&mut text, &format!("{indent}}}"));
        let rest = match object.get("additionalProperties") {
            Some(rest) => self.type_of(root, rest, indent),
            None if properties.is_none() && required.is_empty() => "unknown".into(),
            None => "never".into(),
        };
        match rest.as_str() {
            "never" => text,
            rest if properties.is_none() && required.is_empty() => format!("{{ [name: string]: {rest} }}"),
            // A property that is listed may have another type than the others, which an index signature does not allow.
            _ => format!("{text} & {{ [name: string]: unknown }}"),
        }
    }

    /// The name of the declaration for the schema that `$ref` names.
    fn reference(&mut self, root: &mut Root<'_>, reference: &str) -> String {
        if let Some(name) = root.references.get(reference) {
            return name.clone();
        }
        let last = reference.rsplit(['/', '#']).next().unwrap_or_default();
        let name = self.new_name(&format!("{}.{last}", root.name));
        root.references.insert(reference.to_owned(), name.clone());
        root.open.push(reference.to_owned());
        name
    }
}

/// Names that the module uses itself, or that TypeScript gives a meaning.
const RESERVED: [&str; 3] = ["AppEvents", "AppEventType", "AppEvent"];

/// The words of a type of events, each with a capital letter.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).map(|word| {
        let (first, rest) = word.split_at(1);
        format!("{}{rest}", first.to_ascii_uppercase())
    })
}

fn union(mut types: Vec<String>) -> String {
    let mut seen = HashSet::new();
    types.retain(|name| name != "never" && seen.insert(name.clone()));
    match types.as_slice() {
        [] => "never".into(),
        _ if types.iter().any(|name| name == "unknown") => "unknown".into(),
        [one] => one.clone(),
        _ => types.iter().map(|name| format!("({name})")).collect::<Vec<_>>().join(" | "),
    }
}

fn intersection(mut types: Vec<String>) -> String {
    types.retain(|name| name != "unknown");
    match types.as_slice() {
        [] => "unknown".into(),
        [one] => one.clone(),
        _ => types.iter().map(|name| format!("({name})")).collect::<Vec<_>>().join(" & "),
    }
}

/// The type that has only this value.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(object) => {
            let fields: Vec<String> =
                object.iter().map(|(name, value)| format!("{}: {}", quoted(name), literal(value))).collect();
            format!("{{ {} }}", fields.join("; "))
        }
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A string literal. JSON strings are valid in TypeScript.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A comment before a declaration; empty without a text.
fn comment(text: Option<&str>, indent: &str) -> String {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return String::new() };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("*/", "* /");
    format!("{indent}/** {line} */\n")
}

fn push(text: &mut String, more: &str) {
    // Writing to a `String` cannot fail.
    let _: std::fmt::Result = text.write_str(more);
}
