//! No text that a client sends may hold U+0000: PostgreSQL cannot store it, nor look for it. It is refused here, for
//! every operation and before any resolver, so that a new argument or input field cannot forget the check.

use juniper::{Definition, InputValue, Spanning};

use super::document::Refusal;
use super::scalar::Scalar;
use crate::error::Error;

type Value = InputValue<Scalar>;
type Selection<'a> = juniper::Selection<'a, Scalar>;
type Argument<'a> = (Spanning<&'a str>, Spanning<Value>);

/// The arguments of a field or a directive, whose types juniper does not name.
macro_rules! arguments {
    ($of:expr) => {
        $of.arguments.iter().flat_map(|arguments| &arguments.item.items)
    };
}

/// The arguments of directives.
macro_rules! of_directives {
    ($of:expr) => {
        in_arguments($of.directives.iter().flatten().flat_map(|directive| arguments!(directive.item)))
    };
}

/// Refuses variables that hold U+0000.
///
/// # Errors
/// `BAD_USER_INPUT` naming the variable, or the input field inside it.
pub fn check_variables(variables: &super::Variables) -> Result<(), Refusal> {
    let found = variables.iter().find_map(|(name, value)| field_of(name, value));
    found.map_or(Ok(()), |field| Err(refusal(field)))
}

/// Refuses a document with U+0000 in one of its literals.
///
/// # Errors
/// `BAD_USER_INPUT` naming the argument, or the input field inside it.
pub fn check_document(text: &str, document: &[Definition<'_, Scalar>]) -> Result<(), Refusal> {
    // The character itself, or an escape that may mean it.
    if !text.contains('\0') && !text.contains("\\u") {
        return Ok(());
    }
    let found = document.iter().find_map(|definition| match definition {
        Definition::Fragment(fragment) => {
            of_directives!(fragment.item).or_else(|| in_selections(&fragment.item.selection_set))
        }
        Definition::Operation(operation) => {
            let operation = &operation.item;
            let variables = operation.variables_definition.iter().flat_map(|definitions| &definitions.item.items);
            let mut defaults = variables.filter_map(|(name, definition)| {
                definition.default_value.as_ref().and_then(|value| field_of(name.item, &value.item))
            });
            defaults.next().or_else(|| of_directives!(operation)).or_else(|| in_selections(&operation.selection_set))
        }
    });
    found.map_or(Ok(()), |field| Err(refusal(field)))
}

fn refusal(field: String) -> Refusal {
    let message = format!("{field} must not contain a NUL character");
    Error::input(field, message).into()
}

fn in_selections(selections: &[Selection<'_>]) -> Option<String> {
    selections.iter().find_map(|selection| match selection {
        Selection::Field(field) => {
            let field = &field.item;
            let inner = || field.selection_set.as_deref().and_then(in_selections);
            in_arguments(arguments!(field)).or_else(|| of_directives!(field)).or_else(inner)
        }
        Selection::FragmentSpread(spread) => of_directives!(spread.item),
        Selection::InlineFragment(inline) => {
            of_directives!(inline.item).or_else(|| in_selections(&inline.item.selection_set))
        }
    })
}

fn in_arguments<'v, 'a: 'v>(mut arguments: impl Iterator<Item = &'v Argument<'a>>) -> Option<String> {
    arguments.find_map(|(name, value)| field_of(name.item, &value.item))
}

/// The innermost name under which U+0000 stands in this value.
fn field_of(name: &str, value: &Value) -> Option<String> {
    match value {
        InputValue::Scalar(Scalar::String(text)) => text.contains('\0').then(|| name.to_owned()),
        // JSON is kept as its text, in which the character is an escape.
        InputValue::Scalar(_) => None,
        InputValue::List(items) => items.iter().find_map(|item| field_of(name, &item.item)),
        InputValue::Object(fields) => fields.iter().find_map(|(field, value)| {
            if field.item.contains('\0') { Some(name.to_owned()) } else { field_of(&field.item, &value.item) }
        }),
        InputValue::Null | InputValue::Enum(_) | InputValue::Variable(_) => None,
    }
}
