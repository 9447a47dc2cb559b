//! What the schema has instead of a name that it does not have, in the errors of documents and variables. Only for
//! those who may look at the schema anyway.

use juniper::meta::MetaType;
use serde_json::Value;

use super::Schema;
use super::scalar::Scalar;

/// How many names are suggested.
const MOST: usize = 3;

/// Directives that the schema has for itself, not for documents.
const OF_THE_SCHEMA: [&str; 3] = ["deprecated", "specifiedBy", "oneOf"];

/// The variables of an operation: name, name of the type, and how many lists the type is in.
pub type Variables = [(String, String, usize)];

/// Adds suggestions to the messages of errors.
pub fn add(errors: &mut Value, schema: &Schema, variables: &Variables) {
    for error in errors.as_array_mut().into_iter().flatten() {
        let Some(Value::String(message)) = error.get_mut("message") else { continue };
        if let Some(hint) = hint(message, schema, variables) {
            let end = message.trim_end_matches('.').len();
            message.truncate(end);
            message.push_str(&hint);
        }
    }
}

/// What to add to a message of juniper's.
fn hint(message: &str, schema: &Schema, variables: &Variables) -> Option<String> {
    if let Some((wrong, known)) = in_variable(message, schema, variables) {
        return suggestion(wrong, known);
    }
    let quoted: Vec<&str> = message.split('"').skip(1).step_by(2).collect();
    let last = *quoted.last()?;
    if message.contains(" for enum \"") || message.contains("reason: Invalid value \"") {
        return Some(format!(". Allowed are {}.", values(schema, last)?.join(", ")));
    }
    let (wrong, known) = match (message, quoted.as_slice()) {
        (text, [wrong, of]) if text.starts_with("Unknown field") => (*wrong, fields(schema, of)),
        (text, [wrong, of]) if text.starts_with("Unknown argument") => (*wrong, arguments_of_directive(schema, of)),
        (text, [wrong]) if text.starts_with("Unknown directive") => (*wrong, directives(schema)),
        (text, [wrong, field, of]) if text.starts_with("Unknown argument") => (*wrong, arguments(schema, of, field)),
        (text, [wrong]) if text.starts_with("Unknown type") => (*wrong, types(schema)),
        (text, [.., wrong, of]) if text.contains("does not exist on type") => {
            (*wrong, fields(schema, of.trim_end_matches('!')))
        }
        _ => return None,
    };
    suggestion(wrong, known)
}

fn suggestion(wrong: &str, known: Vec<&str>) -> Option<String> {
    let near = nearest(wrong, known);
    (!near.is_empty()).then(|| format!(". Did you mean {}?", near.join(" or ")))
}

/// An unknown field in the value of a variable, and the fields that its object has: the message has the path to it.
fn in_variable<'m, 's>(message: &'m str, schema: &'s Schema, variables: &Variables) -> Option<(&'m str, Vec<&'s str>)> {
    let (name, mut rest) = message.strip_prefix("Variable \"$")?.split_once("\" got invalid value. ")?;
    let mut of = variables.iter().find(|(known, ..)| known == name)?.1.as_str();
    loop {
        if let Some((_, behind)) = rest.strip_prefix("In element #").and_then(|rest| rest.split_once(": ")) {
            rest = behind;
            continue;
        }
        let (field, behind) = rest.strip_prefix("In field \"")?.split_once("\": ")?;
        if behind.starts_with("Unknown field") {
            return Some((field, fields(schema, of)));
        }
        let Some(MetaType::InputObject(object)) = schema.schema.concrete_type_by_name(of) else { return None };
        of = object.input_fields.iter().find(|known| known.name == *field)?.arg_type.innermost_name();
        rest = behind;
    }
}

/// The names that differ from a wrong one in few letters, nearest first.
fn nearest(wrong: &str, known: Vec<&str>) -> Vec<String> {
    let most = wrong.chars().count() / 3 + 1;
    let lower = wrong.to_lowercase();
    let distance = |name: &&str| strsim::damerau_levenshtein(&lower, &name.to_lowercase());
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter(|name| !name.starts_with("__") && name.len().abs_diff(wrong.len()) <= most)
        .map(|name| (distance(&name), name))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    near.sort_unstable();
    near.into_iter().take(MOST).map(|(_, name)| format!("\"{name}\"")).collect()
}

fn fields<'s>(schema: &'s Schema, of: &str) -> Vec<&'s str> {
    match schema.schema.concrete_type_by_name(of) {
        Some(MetaType::Object(object)) => object.fields.iter().map(|field| &*field.name).collect(),
        Some(MetaType::Interface(interface)) => interface.fields.iter().map(|field| &*field.name).collect(),
        Some(MetaType::InputObject(object)) => object.input_fields.iter().map(|field| &*field.name).collect(),
        _ => Vec::new(),
    }
}

fn arguments<'s>(schema: &'s Schema, of: &str, field: &str) -> Vec<&'s str> {
    let field = schema.schema.concrete_type_by_name(of).and_then(|of| of.field_by_name(field));
    let arguments = field.and_then(|field| field.arguments.as_deref()).unwrap_or_default();
    arguments.iter().map(|argument| &*argument.name).collect()
}

fn directives(schema: &Schema) -> Vec<&str> {
    let names = schema.schema.directive_list().into_iter().map(|directive| &*directive.name);
    names.filter(|name| !OF_THE_SCHEMA.contains(name)).collect()
}

fn arguments_of_directive<'s>(schema: &'s Schema, directive: &str) -> Vec<&'s str> {
    let directive = schema.schema.directive_by_name(directive);
    directive.iter().flat_map(|directive| &directive.arguments).map(|argument| &*argument.name).collect()
}

fn types(schema: &Schema) -> Vec<&str> {
    schema.schema.concrete_type_list().into_iter().filter_map(MetaType::<Scalar>::name).map(|name| &**name).collect()
}

fn values(schema: &Schema, of: &str) -> Option<Vec<String>> {
    match schema.schema.concrete_type_by_name(of.trim_end_matches('!')) {
        Some(MetaType::Enum(of)) => Some(of.values.iter().map(|value| value.name.to_string()).collect()),
        _ => None,
    }
}
