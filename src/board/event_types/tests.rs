//! Unit tests of the decisions about types of events.

use super::*;
use crate::board::event_type_cache::EventTypeCache;
use crate::board::tests::BoardFixture;
use crate::model::{Role, UserId};

/// The command that defines a type with this schema.
pub fn define(name: &str, schema: &str) -> impl ViewerCommand<Output = EventType> {
    DefineEventType { definition: definition(name, schema), pattern_memory: 0, types: Arc::default() }
}

/// The command that deletes a type.
pub fn delete(name: &str) -> impl ViewerCommand<Output = ()> {
    DeleteEventType(name.to_owned())
}

/// A definition of a type.
pub fn definition(name: &str, schema: &str) -> EventType {
    EventType { name: name.into(), description: None, schema: schema.into(), updated_at: Timestamp(0) }
}

fn admin(board: &mut BoardFixture) -> UserId {
    board.tables.insert_user("root", Role::Admin)
}

#[test]
fn a_definition_is_stored_and_replaced_and_makes_other_batches_decide_again() {
    let mut board = BoardFixture::new();
    let root = admin(&mut board);
    let defined = board.run(root, define("order.paid", "true")).expect("defined");
    assert_eq!(defined.event().event.kind, EventKind::EventTypeChanged);
    assert!(EventKind::EventTypeChanged.changes_access());
    assert_eq!((&*defined.output.schema, defined.output.updated_at), ("true", board.tables.now));
    board.run(root, define("order.paid", "false")).expect("defined again");
    let stored: Vec<_> = board.tables.event_types.values().map(|found| &*found.schema).collect();
    assert_eq!(stored, ["false"]);
    board.run(root, delete("order.paid")).expect("deleted");
    assert!(board.tables.event_types.is_empty());
}

#[test]
fn only_admins_define_and_delete_types() {
    let mut board = BoardFixture::new();
    let (root, ben) = (admin(&mut board), board.user("ben"));
    assert!(matches!(board.run(ben, define("t", "true")).map(drop), Err(Error::Forbidden(_))));
    board.run(root, define("t", "true")).expect("defined");
    assert!(matches!(board.run(ben, delete("t")).map(drop), Err(Error::Forbidden(_))));
}

#[test]
fn a_type_that_is_not_defined_cannot_be_deleted() {
    let mut board = BoardFixture::new();
    let root = admin(&mut board);
    assert!(matches!(board.run(root, delete("t")).map(drop), Err(Error::NotFound(_))));
}

#[test]
fn the_number_of_types_and_the_length_of_their_schemas_are_bounded() {
    let mut board = BoardFixture::new();
    let root = admin(&mut board);
    let long = format!("{{\"description\":\"{}\"}}", "x".repeat(60_000));
    let fitting = MAX_ALL_SCHEMAS / long.len();
    for number in 0..fitting {
        board.run(root, define(&format!("t{number}"), &long)).expect("defined");
    }
    assert!(matches!(board.run(root, define("more", &long)).map(drop), Err(Error::Conflict(_))));
    // Replacing a definition needs no further room.
    board.run(root, define("t0", &long)).expect("replaced");
    for number in fitting..MAX_EVENT_TYPES {
        board.run(root, define(&format!("t{number}"), "{}")).expect("defined");
    }
    assert!(matches!(board.run(root, define("more", "{}")).map(drop), Err(Error::Conflict(_))));
    board.run(root, define("t1", "{}")).expect("replaced");
}

#[test]
fn a_stored_schema_that_is_no_longer_accepted_refuses_data_with_a_reason() {
    let types = EventTypeCache::of([definition("t", "{\"$ref\":\"#\"}")]).current();
    let error = types["t"].check("1").unwrap_err();
    assert!(
        matches!(&error, Error::BadInput { field, message } if field == "data" && message.contains("defined again")),
        "{error}"
    );
}
