//! Unit tests of the decisions about deleted users.

use super::*;
use crate::board::tests::BoardFixture;
use crate::error::Error;
use crate::model::EventKind;

fn delete(user: UserId, content: ContentPolicy) -> DeleteUser {
    DeleteUser { user, content }
}

#[test]
fn a_deleted_user_is_anonymous_and_has_no_sessions() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    board.tables.user_mut(ben).email = Some("ben@example.org".into());
    let change = board.run(ada, delete(ben, ContentPolicy::Keep)).expect("deleted");
    let kinds: Vec<_> = change.events.iter().map(|logged| (logged.event.kind, logged.event.object)).collect();
    assert_eq!(kinds, [(EventKind::SessionsEnded, ben.0), (EventKind::UserUpdated, ben.0)]);
    let user = &board.tables.users[&ben];
    assert_eq!((user.username.as_str(), user.display_name.as_str()), (&*format!("deleted#{ben}"), DISPLAY_NAME));
    assert_eq!((user.disabled, user.token_version, &user.email), (true, 1, &None));
    assert_eq!(board.tables.password_hashes[&ben], "");
    assert_eq!(board.run(ada, delete(ben, ContentPolicy::Erase)).map(drop), Err(Error::NotFound("user")));
}

#[test]
fn users_may_delete_themselves_and_admins_every_user() {
    let mut board = BoardFixture::new();
    let (ada, ben, cid) = (board.admin("ada"), board.user("ben"), board.user("cid"));
    assert!(matches!(board.run(ben, delete(cid, ContentPolicy::Keep)), Err(Error::Forbidden(_))));
    assert!(matches!(board.run(ben, delete(UserId(99), ContentPolicy::Keep)), Err(Error::Forbidden(_))));
    board.run(ben, delete(ben, ContentPolicy::Keep)).expect("deleted");
    let change = board.run(ada, delete(cid, ContentPolicy::Erase)).expect("deleted");
    let last = &change.events.last().expect("an event").event;
    assert_eq!((last.kind, last.object), (EventKind::UserErased, cid.0));
    assert_eq!(board.run(ada, delete(UserId(99), ContentPolicy::Keep)).map(drop), Err(Error::NotFound("user")));
}
