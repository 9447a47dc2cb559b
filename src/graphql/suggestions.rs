//! Adds suggestions to error messages about unknown names: similar names of the schema. Used only if introspection is
//! enabled, because suggestions reveal names of the schema.

use juniper::meta::MetaType;
use serde_json::Value;

use super::scalar::Scalar;
use super::schema::Schema;

/// Maximum number of suggested names.
const MAX_SUGGESTIONS: usize = 3;

/// Directives for the definition of a schema. They are not allowed in documents, so they are not suggested.
const SCHEMA_DIRECTIVES: [&str; 3] = ["deprecated", "specifiedBy", "oneOf"];

/// The variables of an operation: the name, the innermost name of the type, and the number of lists around this type.
pub type VariableTypes = [(String, String, usize)];

/// Adds suggestions to the messages of a list of errors.
pub fn add(errors: &mut Value, schema: &Schema, variables: &VariableTypes) {
    for error in errors.as_array_mut().into_iter().flatten() {
        let Some(Value::String(message)) = error.get_mut("message") else { continue };
        if let Some(hint) = hint(message, schema, variables) {
            let end = message.trim_end_matches('.').len();
            message.truncate(end);
            message.push_str(&hint);
        }
    }
}

/// The suggestion for a message of juniper; `None` if the message is about something else, or no name is similar.
fn hint(message: &str, schema: &Schema, variables: &VariableTypes) -> Option<String> {
    if let Some((unknown, candidates)) = in_variable(message, schema, variables) {
        return suggestion(unknown, candidates);
    }
    let quoted: Vec<&str> = message.split('"').skip(1).step_by(2).collect();
    let last = *quoted.last()?;
    if message.contains(" for enum \"") || message.contains("reason: Invalid value \"") {
        return Some(format!(". Allowed are {}.", values(schema, last)?.join(", ")));
    }
    let (unknown, candidates) = match (message, quoted.as_slice()) {
        (text, [unknown, type_name]) if text.starts_with("Unknown field") => (*unknown, fields(schema, type_name)),
        (text, [unknown, directive]) if text.starts_with("Unknown argument") => {
            (*unknown, arguments_of_directive(schema, directive))
        }
        (text, [unknown]) if text.starts_with("Unknown directive") => (*unknown, directives(schema)),
        (text, [unknown, field, type_name]) if text.starts_with("Unknown argument") => {
            (*unknown, arguments(schema, type_name, field))
        }
        (text, [unknown]) if text.starts_with("Unknown type") => (*unknown, types(schema)),
        (text, [.., unknown, type_name]) if text.contains("does not exist on type") => {
            (*unknown, fields(schema, type_name.trim_end_matches('!')))
        }
        _ => return None,
    };
    suggestion(unknown, candidates)
}

fn suggestion(unknown: &str, candidates: Vec<&str>) -> Option<String> {
    let similar = most_similar(unknown, candidates);
    (!similar.is_empty()).then(|| format!(". Did you mean {}?", similar.join(" or ")))
}

/// The unknown field that a message about a variable names, and the fields of its input object. The message contains
/// the path to the field.
fn in_variable<'m, 's>(
    message: &'m str,
    schema: &'s Schema,
    variables: &VariableTypes,
) -> Option<(&'m str, Vec<&'s str>)> {
    let (name, mut rest) = message.strip_prefix("Variable \"$")?.split_once("\" got invalid value. ")?;
    let mut type_name = variables.iter().find(|(declared, ..)| declared == name)?.1.as_str();
    loop {
        if let Some((_, remainder)) = rest.strip_prefix("In element #").and_then(|rest| rest.split_once(": ")) {
            rest = remainder;
            continue;
        }
        let (field, remainder) = rest.strip_prefix("In field \"")?.split_once("\": ")?;
        if remainder.starts_with("Unknown field") {
            return Some((field, fields(schema, type_name)));
        }
        let Some(MetaType::InputObject(object)) = schema.schema.concrete_type_by_name(type_name) else { return None };
        type_name = object.input_fields.iter().find(|input| input.name == *field)?.arg_type.innermost_name();
        rest = remainder;
    }
}

/// The candidates that differ from an unknown name in a few characters, the most similar first.
fn most_similar(unknown: &str, candidates: Vec<&str>) -> Vec<String> {
    let max_distance = unknown.chars().count() / 3 + 1;
    let lower = unknown.to_lowercase();
    let distance = |name: &&str| strsim::damerau_levenshtein(&lower, &name.to_lowercase());
    let mut similar: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|name| !name.starts_with("__") && name.len().abs_diff(unknown.len()) <= max_distance)
        .map(|name| (distance(&name), name))
        .filter(|(distance, _)| *distance <= max_distance)
        .collect();
    similar.sort_unstable();
    similar.into_iter().take(MAX_SUGGESTIONS).map(|(_, name)| format!("\"{name}\"")).collect()
}

fn fields<'s>(schema: &'s Schema, type_name: &str) -> Vec<&'s str> {
    match schema.schema.concrete_type_by_name(type_name) {
        Some(MetaType::Object(object)) => object.fields.iter().map(|field| &*field.name).collect(),
        Some(MetaType::Interface(interface)) => interface.fields.iter().map(|field| &*field.name).collect(),
        Some(MetaType::InputObject(object)) => object.input_fields.iter().map(|field| &*field.name).collect(),
        _ => Vec::new(),
    }
}

fn arguments<'s>(schema: &'s Schema, type_name: &str, field: &str) -> Vec<&'s str> {
    let field = schema.schema.concrete_type_by_name(type_name).and_then(|parent| parent.field_by_name(field));
    let arguments = field.and_then(|field| field.arguments.as_deref()).unwrap_or_default();
    arguments.iter().map(|argument| &*argument.name).collect()
}

fn directives(schema: &Schema) -> Vec<&str> {
    let names = schema.schema.directive_list().into_iter().map(|directive| &*directive.name);
    names.filter(|name| !SCHEMA_DIRECTIVES.contains(name)).collect()
}

fn arguments_of_directive<'s>(schema: &'s Schema, directive: &str) -> Vec<&'s str> {
    let directive = schema.schema.directive_by_name(directive);
    directive.iter().flat_map(|directive| &directive.arguments).map(|argument| &*argument.name).collect()
}

fn types(schema: &Schema) -> Vec<&str> {
    schema.schema.concrete_type_list().into_iter().filter_map(MetaType::<Scalar>::name).map(|name| &**name).collect()
}

fn values(schema: &Schema, type_name: &str) -> Option<Vec<String>> {
    match schema.schema.concrete_type_by_name(type_name.trim_end_matches('!')) {
        Some(MetaType::Enum(definition)) => {
            Some(definition.values.iter().map(|value| value.name.to_string()).collect())
        }
        _ => None,
    }
}
