//! The validation rule "Directives Are Unique Per Location" of the GraphQL specification, which juniper does not check:
//! a selection must not repeat a directive, except for directives that are declared as repeatable.

use std::collections::HashSet;

use juniper::Definition;
use serde_json::Value as Json;

use super::errors;
use super::scalar::Scalar;
use super::schema::Schema;
use super::values::Selection;

/// Visits all selections of a document, and collects the errors.
struct DirectiveChecker<'s> {
    schema: &'s Schema,
    errors: Vec<Json>,
}

/// Checks the directives of one selection. A macro, because juniper does not export the type of a directive.
macro_rules! check_directives {
    ($checker:expr, $selection:expr) => {
        let mut seen = HashSet::new();
        for directive in $selection.directives.iter().flatten() {
            let (name, start) = (directive.item.name.item, directive.span.start);
            let definition = $checker.schema.schema.directive_by_name(name);
            if definition.is_some_and(|directive| !directive.is_repeatable) && !seen.insert(name) {
                let message = format!("The directive \"@{name}\" can only be used once at this location");
                $checker.errors.push(errors::rule_error_at(&message, start.line() + 1, start.column() + 1));
            }
        }
    };
}

/// The `errors` of the response, if a selection of the document repeats a directive; otherwise `None`.
pub fn directive_errors(document: &[Definition<'_, Scalar>], schema: &Schema) -> Option<Json> {
    let mut checker = DirectiveChecker { schema, errors: Vec::new() };
    for definition in document {
        match definition {
            Definition::Fragment(fragment) => checker.selections(&fragment.item.selection_set),
            Definition::Operation(operation) => checker.selections(&operation.item.selection_set),
        }
    }
    let errors = checker.errors.into_iter().filter_map(|mut errors| errors.get_mut(0).map(Json::take));
    let errors: Vec<Json> = errors.take(errors::MAX_ERRORS).collect();
    (!errors.is_empty()).then_some(Json::Array(errors))
}

impl DirectiveChecker<'_> {
    fn selections(&mut self, selections: &[Selection<'_>]) {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    check_directives!(self, field.item);
                    self.selections(field.item.selection_set.as_deref().unwrap_or_default());
                }
                Selection::FragmentSpread(spread) => {
                    check_directives!(self, spread.item);
                }
                Selection::InlineFragment(inline) => {
                    check_directives!(self, inline.item);
                    self.selections(&inline.item.selection_set);
                }
            }
        }
    }
}
