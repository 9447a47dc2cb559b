//! Variables that may be `null` by their own type, but not where the document uses them. A default makes such a
//! variable valid, and an explicit `null` replaces the default. juniper does not check for this: an argument gets a
//! misleading error, and a directive panics, after a mutation has written.

use std::collections::{BTreeSet, HashMap, HashSet};

use juniper::meta::{Argument, MetaType};
use juniper::{Definition, InputValue, OperationType, Spanning};
use serde_json::Value as Json;

use super::scalar::Scalar;
use super::{Schema, errors};

type Selection<'a> = juniper::Selection<'a, Scalar>;
type Operation<'a> = juniper::Operation<'a, Scalar>;
type Value = Spanning<InputValue<Scalar>>;
type Given<'a> = (Spanning<&'a str>, Value);

/// The arguments of a field or a directive. juniper exports no names for the types of these.
macro_rules! arguments {
    ($of:expr) => {
        $of.arguments.iter().flat_map(|arguments| &arguments.item.items)
    };
}

/// The directives of a selection.
macro_rules! directives {
    ($walk:expr, $of:expr) => {
        for directive in $of.directives.iter().flatten() {
            let known = $walk.schema.schema.directive_by_name(directive.item.name.item);
            let known = known.map(|known| known.arguments.as_slice()).unwrap_or_default();
            arguments!(directive.item).for_each(|given| $walk.argument(known, given));
        }
    };
}

/// The nullable variables that the operation of this name uses where `null` is not allowed.
///
/// # Errors
/// The `errors` of the response, if the default of such a variable is `null`.
pub fn forbidden(
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
    let mut wanted = BTreeSet::new();
    for definition in document {
        let Definition::Operation(operation) = definition else { continue };
        let found = Walk::of(&operation.item, schema, &fragments)?;
        if name.is_none() || operation.item.name.as_ref().map(|name| name.item) == name {
            wanted = found;
        }
    }
    Ok(wanted)
}

/// The type condition and the selections of each fragment.
type Fragments<'d, 'a> = HashMap<&'a str, (&'a str, &'d [Selection<'a>])>;

/// A walk through one operation and the fragments that it spreads.
struct Walk<'w, 'd, 'a> {
    schema: &'w Schema,
    fragments: &'w Fragments<'d, 'a>,
    /// The nullable variables, and whether the default is `null`.
    nullable: HashMap<&'a str, bool>,
    visited: HashSet<&'a str>,
    found: BTreeSet<String>,
    /// The first variable whose default is not allowed where it is used.
    broken: Option<Json>,
}

impl<'w, 'd, 'a> Walk<'w, 'd, 'a> {
    fn of(
        operation: &'d Operation<'a>,
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
        let mut walk = Self { schema, fragments, nullable, visited, found, broken: None };
        let parent = match operation.operation_type {
            OperationType::Query => Some(schema.schema.concrete_query_type()),
            OperationType::Mutation => schema.schema.concrete_mutation_type(),
            OperationType::Subscription => schema.schema.concrete_subscription_type(),
        };
        walk.selections(&operation.selection_set, parent);
        walk.broken.map_or(Ok(walk.found), Err)
    }

    fn selections(&mut self, selections: &'d [Selection<'a>], parent: Option<&'w MetaType<Scalar>>) {
        let named = |schema: &'w Schema, name: &str| schema.schema.concrete_type_by_name(name);
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    let field = &field.item;
                    directives!(self, field);
                    let Some(known) = parent.and_then(|parent| parent.field_by_name(field.name.item)) else { continue };
                    let known_arguments = known.arguments.as_deref().unwrap_or_default();
                    arguments!(field).for_each(|given| self.argument(known_arguments, given));
                    let inner = named(self.schema, known.field_type.innermost_name());
                    self.selections(field.selection_set.as_deref().unwrap_or_default(), inner);
                }
                Selection::InlineFragment(inline) => {
                    directives!(self, inline.item);
                    let condition = inline.item.type_condition.as_ref();
                    let inner = condition.map_or(parent, |name| named(self.schema, name.item));
                    self.selections(&inline.item.selection_set, inner);
                }
                Selection::FragmentSpread(spread) => {
                    directives!(self, spread.item);
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

    fn argument(&mut self, known: &[Argument<Scalar>], (name, value): &Given<'a>) {
        if let Some(argument) = known.iter().find(|argument| argument.name == *name.item) {
            self.value(value, &argument.arg_type.to_string());
        }
    }

    /// A value in a place of this type, as the schema's language writes types.
    fn value(&mut self, value: &Value, of: &str) {
        let nullable = of.trim_end_matches('!');
        match &value.item {
            InputValue::Variable(name) if nullable.len() < of.len() => self.variable(name, value, of),
            InputValue::List(items) => {
                let item = nullable.strip_prefix('[').and_then(|item| item.strip_suffix(']')).unwrap_or(of);
                items.iter().for_each(|value| self.value(value, item));
            }
            InputValue::Object(fields) => {
                // One object may stand for a list of it.
                let innermost = of.trim_matches(|letter| "[]!".contains(letter));
                let known = self.schema.schema.concrete_type_by_name(innermost);
                let Some(MetaType::InputObject(object)) = known else { return };
                for (name, value) in fields {
                    if let Some(field) = object.input_fields.iter().find(|field| field.name == *name.item) {
                        self.value(value, &field.arg_type.to_string());
                    }
                }
            }
            _ => {}
        }
    }

    fn variable(&mut self, name: &str, value: &Value, of: &str) {
        let Some(default_is_null) = self.nullable.get(name) else { return };
        if *default_is_null && self.broken.is_none() {
            let start = value.span.start;
            let message = format!("Variable \"${name}\" has the default null where \"{of}\" is expected");
            self.broken = Some(errors::of_rule_at(&message, start.line() + 1, start.column() + 1));
        }
        self.found.insert(name.to_owned());
    }
}
