//! Refuses the character U+0000 in every text that a client sends, because PostgreSQL cannot store it or search for it.
//! The check runs before any resolver and for every operation, so new arguments and input fields are checked, too.

use juniper::Definition;

use super::refusal::Rejection;
use super::scalar::Scalar;
use super::values::{Argument, InputValue, Selection, Variables};
use crate::error::Error;

/// The arguments of a field or a directive. A macro, because juniper does not export their types.
macro_rules! arguments {
    ($node:expr) => {
        $node.arguments.iter().flat_map(|arguments| &arguments.item.items)
    };
}

/// The name of the first argument with U+0000, in the directives of a selection or a definition.
macro_rules! in_directives {
    ($node:expr) => {
        in_arguments($node.directives.iter().flatten().flat_map(|directive| arguments!(directive.item)))
    };
}

/// Checks the variables of a request.
///
/// # Errors
/// `BAD_USER_INPUT` naming the variable with U+0000 in its value, or the input field inside it.
pub fn check_variables(variables: &Variables) -> Result<(), Rejection> {
    let found = variables.iter().find_map(|(name, value)| field_with_nul(name, value));
    found.map_or(Ok(()), |field| Err(nul_error(field)))
}

/// Checks the literals of a document.
///
/// # Errors
/// `BAD_USER_INPUT` naming the argument with U+0000 in its value, or the input field inside it.
pub fn check_document(text: &str, document: &[Definition<'_, Scalar>]) -> Result<(), Rejection> {
    // Without U+0000 and without a Unicode escape, no literal can contain the character.
    if !text.contains('\0') && !text.contains("\\u") {
        return Ok(());
    }
    let found = document.iter().find_map(|definition| match definition {
        Definition::Fragment(fragment) => {
            in_directives!(fragment.item).or_else(|| in_selections(&fragment.item.selection_set))
        }
        Definition::Operation(operation) => {
            let operation = &operation.item;
            let variables = operation.variables_definition.iter().flat_map(|definitions| &definitions.item.items);
            let mut defaults = variables.filter_map(|(name, definition)| {
                definition.default_value.as_ref().and_then(|value| field_with_nul(name.item, &value.item))
            });
            defaults.next().or_else(|| in_directives!(operation)).or_else(|| in_selections(&operation.selection_set))
        }
    });
    found.map_or(Ok(()), |field| Err(nul_error(field)))
}

fn nul_error(field: String) -> Rejection {
    let message = format!("{field} must not contain a NUL character");
    Error::input(field, message).into()
}

fn in_selections(selections: &[Selection<'_>]) -> Option<String> {
    selections.iter().find_map(|selection| match selection {
        Selection::Field(field) => {
            let field = &field.item;
            let inner = || field.selection_set.as_deref().and_then(in_selections);
            in_arguments(arguments!(field)).or_else(|| in_directives!(field)).or_else(inner)
        }
        Selection::FragmentSpread(spread) => in_directives!(spread.item),
        Selection::InlineFragment(inline) => {
            in_directives!(inline.item).or_else(|| in_selections(&inline.item.selection_set))
        }
    })
}

fn in_arguments<'v, 'a: 'v>(mut arguments: impl Iterator<Item = &'v Argument<'a>>) -> Option<String> {
    arguments.find_map(|(name, value)| field_with_nul(name.item, &value.item))
}

/// The name of the argument or input field whose text contains U+0000; `None` if the value contains no U+0000.
fn field_with_nul(name: &str, value: &InputValue) -> Option<String> {
    match value {
        InputValue::Scalar(Scalar::String(text)) => text.contains('\0').then(|| name.to_owned()),
        // A `JSON` value is kept as JSON text, in which the character is written as an escape.
        InputValue::Scalar(_) => None,
        InputValue::List(items) => items.iter().find_map(|item| field_with_nul(name, &item.item)),
        InputValue::Object(fields) => fields.iter().find_map(|(field, value)| {
            if field.item.contains('\0') { Some(name.to_owned()) } else { field_with_nul(&field.item, &value.item) }
        }),
        InputValue::Null | InputValue::Enum(_) | InputValue::Variable(_) => None,
    }
}
