//! The rule of the specification that juniper does not check: a directive that is not repeatable is there once at a
//! place.

use std::collections::HashSet;

use juniper::Definition;
use serde_json::Value as Json;

use super::scalar::Scalar;
use super::{Schema, errors};

type Selection<'a> = juniper::Selection<'a, Scalar>;

/// A walk through the selections of a document as they are written.
struct Walk<'s> {
    schema: &'s Schema,
    errors: Vec<Json>,
}

/// The directives of one place. juniper exports no name for the type of a directive.
macro_rules! place {
    ($walk:expr, $of:expr) => {
        let mut seen = HashSet::new();
        for directive in $of.directives.iter().flatten() {
            let (name, start) = (directive.item.name.item, directive.span.start);
            let known = $walk.schema.schema.directive_by_name(name);
            if known.is_some_and(|known| !known.is_repeatable) && !seen.insert(name) {
                let message = format!("The directive \"@{name}\" can only be used once at this location");
                $walk.errors.push(errors::of_rule_at(&message, start.line() + 1, start.column() + 1));
            }
        }
    };
}

/// The `errors` of the response, if a directive of the document is repeated.
pub fn directives(document: &[Definition<'_, Scalar>], schema: &Schema) -> Option<Json> {
    let mut walk = Walk { schema, errors: Vec::new() };
    for definition in document {
        match definition {
            Definition::Fragment(fragment) => walk.selections(&fragment.item.selection_set),
            Definition::Operation(operation) => walk.selections(&operation.item.selection_set),
        }
    }
    let errors = walk.errors.into_iter().filter_map(|mut errors| errors.get_mut(0).map(Json::take));
    let errors: Vec<Json> = errors.take(errors::MAX_ERRORS).collect();
    (!errors.is_empty()).then_some(Json::Array(errors))
}

impl Walk<'_> {
    fn selections(&mut self, selections: &[Selection<'_>]) {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    place!(self, field.item);
                    self.selections(field.item.selection_set.as_deref().unwrap_or_default());
                }
                Selection::FragmentSpread(spread) => {
                    place!(self, spread.item);
                }
                Selection::InlineFragment(inline) => {
                    place!(self, inline.item);
                    self.selections(&inline.item.selection_set);
                }
            }
        }
    }
}
