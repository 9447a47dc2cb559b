//! Unit tests of the decisions about password resets.

use super::*;
use crate::board::tests::{BoardFixture, POLICY};
use crate::model::EventKind;

fn reset(token_of: &PasswordReset) -> ResetPassword {
    let (_, token) = token_of.url.rsplit_once('/').expect("a token");
    ResetPassword { digest: one_time_token_digest(token), hash: "new hash".into() }
}

fn create(user: UserId) -> (CreateReset, PasswordReset) {
    CreateReset::new(user, &Arc::new(POLICY))
}

#[test]
fn a_link_sets_a_password_once_and_ends_all_sessions() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let (command, link) = create(ben);
    assert!(board.run(ada, command).expect("created").events.is_empty());
    let change = board.run_for_server(reset(&link)).expect("set");
    assert_eq!((change.output.id, change.output.token_version), (ben, 1));
    assert_eq!((change.event().event.kind, change.event().event.user), (EventKind::SessionsEnded, Some(ben)));
    assert_eq!(board.tables.password_hashes[&ben], "new hash");
    assert_eq!(board.run_for_server(reset(&link)).map(drop), Err(not_valid()));
}

#[test]
fn a_new_link_replaces_an_earlier_one_and_expires() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let [(first, first_link), (second, second_link)] = [create(ben), create(ben)];
    for command in [first, second] {
        board.run_for_server(command).expect("created");
    }
    assert_eq!(board.run_for_server(reset(&first_link)).map(drop), Err(not_valid()));
    board.tables.now = second_link.expires_at;
    assert_eq!(board.run_for_server(reset(&second_link)).map(drop), Err(not_valid()));
}

#[test]
fn a_link_does_not_work_for_a_disabled_user() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let (command, link) = create(ben);
    board.run_for_server(command).expect("created");
    board.tables.user_mut(ben).disabled = true;
    assert_eq!(board.run_for_server(reset(&link)).map(drop), Err(not_valid()));
}

#[test]
fn only_admins_create_links() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    assert!(matches!(board.run(ben, create(ben).0), Err(Error::Forbidden(_))));
    let ada = board.admin("ada");
    assert_eq!(board.run(ada, create(UserId(99)).0).map(drop), Err(Error::NotFound("user")));
}
