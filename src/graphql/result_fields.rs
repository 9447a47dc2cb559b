//! Which fields of a mutation's result are in memory when the change is on disk.

use juniper::{Definition, Selection};

use super::scalar::Scalar;
use super::schema::Schema;

/// Fields whose resolvers never read the database, on whatever object of the schema they are. Every other field sends the
/// rest of the execution to a reader thread, so a field that is missing here costs time and nothing else.
const IN_MEMORY: [&str; 40] = [
    "__typename",
    "actorId",
    "assigneeId",
    "at",
    "authorId",
    "channelId",
    "content",
    "createdAt",
    "cursor",
    "data",
    "description",
    "disabled",
    "displayName",
    "email",
    "expiresAt",
    "id",
    "key",
    "kind",
    "locationId",
    "messageId",
    "metric",
    "name",
    "organizationId",
    "priority",
    "publishing",
    "revision",
    "role",
    "shareLocationIds",
    "status",
    "ticket",
    "title",
    "token",
    "type",
    "updatedAt",
    "url",
    "user",
    "userId",
    "username",
    "value",
    "visibility",
];

/// Whether a document selects anything besides root fields of mutations and fields that are in memory.
pub fn need_database(document: &[Definition<'_, Scalar>], schema: &Schema) -> bool {
    let root = schema.schema.concrete_mutation_type();
    let is_root = &|name: &str| root.is_some_and(|root| root.field_by_name(name).is_some());
    let needs = |selection: &[Selection<'_, Scalar>]| needs_database(selection, is_root);
    document.iter().any(|definition| match definition {
        Definition::Operation(operation) => needs(&operation.item.selection_set),
        Definition::Fragment(fragment) => needs(&fragment.item.selection_set),
    })
}

fn needs_database(selection: &[Selection<'_, Scalar>], is_root: &dyn Fn(&str) -> bool) -> bool {
    selection.iter().any(|selected| match selected {
        Selection::Field(field) => {
            let name = field.item.name.item;
            let below = field.item.selection_set.as_deref().unwrap_or_default();
            !(is_root(name) || IN_MEMORY.contains(&name)) || needs_database(below, is_root)
        }
        Selection::InlineFragment(fragment) => needs_database(&fragment.item.selection_set, is_root),
        Selection::FragmentSpread(_) => false,
    })
}
