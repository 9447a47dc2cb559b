//! Finds nullable variables that a document uses where `null` is not allowed. Such a use is valid if the variable has a
//! default value. But an explicit `null` in the request replaces the default value.
//!
//! juniper does not check for this `null`. An argument then gets a misleading error. A directive panics, possibly after
//! a mutation has written.

use std::collections::{BTreeSet, HashMap, HashSet};

use juniper::meta::{self, MetaType};
use juniper::{Definition, InputValue, OperationType};
use serde_json::Value as Json;

use super::errors;
use super::scalar::Scalar;
use super::schema::Schema;
use super::values::{Argument, ArgumentValue, OperationNode, Selection};

/// The arguments of a field or a directive. A macro, because juniper does not export their types.
macro_rules! arguments {
    ($node:expr) => {
        $node.arguments.iter().flat_map(|arguments| &arguments.item.items)
    };
}

/// Checks the arguments of the directives of a selection.
macro_rules! check_directives {
    ($checker:expr, $selection:expr) => {
        for directive in $selection.directives.iter().flatten() {
            let definition = $checker.schema.schema.directive_by_name(directive.item.name.item);
            let definitions = definition.map(|directive| directive.arguments.as_slice()).unwrap_or_default();
            arguments!(directive.item).for_each(|argument| $checker.argument(definitions, argument));
        }
    };
}

/// The nullable variables that the operation with this name uses where `null` is not allowed.
///
/// # Errors
/// The `errors` of the response, if such a variable has the default value `null`, in any operation of the document.
pub fn non_null_variables(
    document: &[Definition<'_, Scalar>],
    name: Option<&str>,
    schema: &Schema,
) -> Result<BTreeSet<String>, Json> {
    let fragments = document.iter().filter_map(|definition| match definition {
        Definition::Fragment(fragment) => {
            let fragment = &fragment.item;
            Some((fragment.name.item, (fragment.type_condition.item, fragment.selection_set.as_slice())))
        }
        Definition::Operation(_) => None,
    });
    let fragments: Fragments<'_, '_> = fragments.collect();
    let mut selected = BTreeSet::new();
    for definition in document {
        let Definition::Operation(operation) = definition else { continue };
        let found = NullChecker::check(&operation.item, schema, &fragments)?;
        if name.is_none() || operation.item.name.as_ref().map(|name| name.item) == name {
            selected = found;
        }
    }
    Ok(selected)
}

/// The type condition and the selections of each fragment, by name.
type Fragments<'d, 'a> = HashMap<&'a str, (&'a str, &'d [Selection<'a>])>;

/// Visits the values in one operation and in its fragments, and collects the variables that must not be `null`.
struct NullChecker<'w, 'd, 'a> {
    schema: &'w Schema,
    fragments: &'w Fragments<'d, 'a>,
    /// The nullable variables of the operation, and whether their default value is `null`.
    nullable: HashMap<&'a str, bool>,
    /// The fragments that were visited. Each is visited once.
    visited: HashSet<&'a str>,
    /// The nullable variables that are used where `null` is not allowed.
    found: BTreeSet<String>,
    /// The error of the first variable whose default value is `null` where `null` is not allowed.
    error: Option<Json>,
}

impl<'w, 'd, 'a> NullChecker<'w, 'd, 'a> {
    fn check(
        operation: &'d OperationNode<'a>,
        schema: &'w Schema,
        fragments: &'w Fragments<'d, 'a>,
    ) -> Result<BTreeSet<String>, Json> {
        let variables = operation.variables_definition.iter().flat_map(|variables| &variables.item.items);
        let nullable: HashMap<&str, bool> = variables
            .filter(|(_, variable)| !variable.var_type.item.is_non_null())
            .map(|(name, variable)| {
                (name.item, variable.default_value.as_ref().is_some_and(|default| default.item.is_null()))
            })
            .collect();
        if nullable.is_empty() {
            return Ok(BTreeSet::new());
        }
        let (visited, found) = (HashSet::new(), BTreeSet::new());
        let mut checker = Self { schema, fragments, nullable, visited, found, error: None };
        let parent = match operation.operation_type {
            OperationType::Query => Some(schema.schema.concrete_query_type()),
            OperationType::Mutation => schema.schema.concrete_mutation_type(),
            OperationType::Subscription => schema.schema.concrete_subscription_type(),
        };
        checker.selections(&operation.selection_set, parent);
        checker.error.map_or(Ok(checker.found), Err)
    }

    fn selections(&mut self, selections: &'d [Selection<'a>], parent: Option<&'w MetaType<Scalar>>) {
        let named = |schema: &'w Schema, name: &str| schema.schema.concrete_type_by_name(name);
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    let field = &field.item;
                    check_directives!(self, field);
                    let definition = parent.and_then(|parent| parent.field_by_name(field.name.item));
                    let Some(definition) = definition else { continue };
                    let definitions = definition.arguments.as_deref().unwrap_or_default();
                    arguments!(field).for_each(|argument| self.argument(definitions, argument));
                    let inner = named(self.schema, definition.field_type.innermost_name());
                    self.selections(field.selection_set.as_deref().unwrap_or_default(), inner);
                }
                Selection::InlineFragment(inline) => {
                    check_directives!(self, inline.item);
                    let condition = inline.item.type_condition.as_ref();
                    let inner = condition.map_or(parent, |name| named(self.schema, name.item));
                    self.selections(&inline.item.selection_set, inner);
                }
                Selection::FragmentSpread(spread) => {
                    check_directives!(self, spread.item);
                    let name = spread.item.name.item;
                    if let Some((condition, selections)) = self.fragments.get(name)
                        && self.visited.insert(name)
                    {
                        self.selections(selections, named(self.schema, condition));
                    }
                }
            }
        }
    }

    fn argument(&mut self, definitions: &[meta::Argument<Scalar>], (name, value): &Argument<'a>) {
        if let Some(argument) = definitions.iter().find(|argument| argument.name == *name.item) {
            self.value(value, &argument.arg_type.to_string());
        }
    }

    /// Checks a value of this type. The type is in the notation of the schema language, for example `[ID!]!`.
    fn value(&mut self, value: &ArgumentValue, expected_type: &str) {
        let nullable = expected_type.trim_end_matches('!');
        match &value.item {
            InputValue::Variable(name) if nullable.len() < expected_type.len() => {
                self.variable(name, value, expected_type);
            }
            InputValue::List(items) => {
                let item = nullable.strip_prefix('[').and_then(|item| item.strip_suffix(']')).unwrap_or(expected_type);
                items.iter().for_each(|value| self.value(value, item));
            }
            InputValue::Object(fields) => {
                // A single object may stand for a list of one object.
                let innermost = expected_type.trim_matches(|letter| "[]!".contains(letter));
                let definition = self.schema.schema.concrete_type_by_name(innermost);
                let Some(MetaType::InputObject(object)) = definition else { return };
                for (name, value) in fields {
                    if let Some(field) = object.input_fields.iter().find(|field| field.name == *name.item) {
                        self.value(value, &field.arg_type.to_string());
                    }
                }
            }
            _ => {}
        }
    }

    fn variable(&mut self, name: &str, value: &ArgumentValue, expected_type: &str) {
        let Some(default_is_null) = self.nullable.get(name) else { return };
        if *default_is_null && self.error.is_none() {
            let start = value.span.start;
            let message =
                format!("Variable \"${name}\" has the default value null where \"{expected_type}\" is expected");
            self.error = Some(errors::rule_error_at(&message, start.line() + 1, start.column() + 1));
        }
        self.found.insert(name.to_owned());
    }
}
