//! Unit tests of the decisions about accounts and sessions.

use super::*;
use crate::board::NewInvite;
use crate::board::invites::tests as invites;
use crate::board::messages::tests as messages;
use crate::board::tests::BoardFixture;
use crate::model::{Event, EventKind};

/// The command that creates an account.
pub fn add_user(username: &str, display_name: &str) -> impl WriteCommand<Output = User> {
    let (username, display_name) = (username.to_owned(), display_name.to_owned());
    AddUser { username, display_name, hash: "hash".into(), role: NewRole::Fixed(Role::Member), invite: None }
}

/// The command that counts a sign-in attempt, of which `limit` are allowed.
pub fn count_attempt(key: &str, limit: usize) -> impl WriteCommand<Output = ()> {
    CountAttempt { key: key.into(), limit }
}

/// The command that ends all sessions of a user.
pub fn end_sessions_of(user: UserId, new_hash: Option<&str>) -> impl WriteCommand<Output = User> {
    EndSessions { user, actor: Some(user), new_hash: new_hash.map(str::to_owned) }
}

/// The command of an admin that disables or enables an account.
pub fn set_disabled(user: UserId, disabled: bool) -> impl ViewerCommand<Output = User> {
    SetDisabled { user, disabled }
}

/// The same command of the operator.
fn set_disabled_by_operator(user: UserId, disabled: bool) -> impl WriteCommand<Output = User> {
    SetDisabled { user, disabled }
}

fn assert_ends_sessions(event: &Event, user: UserId, actor: Option<UserId>) {
    assert_eq!((event.kind, event.object, event.user), (EventKind::SessionsEnded, user.0, Some(user)));
    assert_eq!((event.actor, event.channel), (actor, None));
}

#[test]
fn a_new_account_has_no_rights_and_records_no_event() {
    let mut board = BoardFixture::new();
    let change = board.run_for_server(add_user("ben", "Ben")).expect("created");
    let user = &change.output;
    assert_eq!((user.username.as_str(), user.display_name.as_str(), user.role), ("ben", "Ben", Role::Member));
    assert_eq!((user.disabled, user.organization_id, user.location_id), (false, None, None));
    assert!(change.events.is_empty());
    assert_eq!(board.tables.users[&user.id], *user);
    assert_eq!(board.tables.password_hashes[&user.id], "hash");
}

#[test]
fn the_first_registered_account_is_an_admin() {
    let mut board = BoardFixture::new();
    let register = |name: &str| {
        let (username, display_name) = (name.to_owned(), name.to_owned());
        AddUser { username, display_name, hash: "hash".into(), role: NewRole::AdminIfFirst, invite: None }
    };
    for (name, role) in [("ada", Role::Admin), ("ben", Role::Member)] {
        assert_eq!(board.run_for_server(register(name)).expect("created").output.role, role);
    }
}

#[test]
fn an_invitation_decides_about_the_new_user_and_is_used_up() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let (organization, location) = board.organization("acme", &[]);
    let channel = board.private_channel(ada, &[]);
    let new = NewInvite {
        role: Role::Admin,
        channels: vec![channel],
        organization: Some(organization),
        location: Some(location),
        max_uses: Some(1),
        ..invites::new_invite()
    };
    let invite = board.run(ada, invites::create(new)).expect("created").output;
    let register = |name: &str, code: &str| {
        let (username, display_name, invite) = (name.to_owned(), name.to_owned(), Some(code.to_owned()));
        AddUser { username, display_name, hash: "hash".into(), role: NewRole::Fixed(Role::Member), invite }
    };
    let user = board.run_for_server(register("ben", &invite.code)).expect("created").output;
    assert_eq!((user.role, user.organization_id, user.location_id), (Role::Admin, Some(organization), Some(location)));
    assert!(board.tables.members.contains_key(&(channel, user.id)));
    assert_eq!(board.tables.invites[&invite.id].uses, 1);
    for code in [invite.code.as_str(), "unknown"] {
        let refused = board.run_for_server(register("cid", code)).map(drop);
        assert!(matches!(&refused, Err(Error::BadInput { field, .. }) if field == "invite"), "{refused:?}");
    }
}

#[test]
fn names_that_look_like_another_username_are_a_conflict() {
    let mut board = BoardFixture::new();
    board.user("eva");
    for (username, display_name) in [("eva", "New"), ("еva", "New"), ("new", "eva"), ("new", "EVA"), ("new", "Eva")] {
        let refused = board.run_for_server(add_user(username, display_name));
        assert!(matches!(refused, Err(Error::Conflict(_))), "{username} {display_name}");
    }
    board.run_for_server(add_user("ben", "ben")).expect("a display name may equal the own username");
}

#[test]
fn an_attempt_is_counted_up_to_the_limit() {
    let mut board = BoardFixture::new();
    for _ in 0..3 {
        assert!(board.run_for_server(count_attempt("key", 3)).expect("counted").events.is_empty());
    }
    let rest = WINDOW.saturating_sub(Duration::from_secs(20));
    board.tables.now = board.tables.now.after(Duration::from_secs(20));
    let refused = board.run_for_server(count_attempt("key", 3)).map(drop);
    assert_eq!(refused, Err(Error::RateLimited { retry_after: rest }));
    board.run_for_server(count_attempt("other key", 3)).expect("each key has its own count");
    board.tables.now = board.tables.now.after(rest);
    board.run_for_server(count_attempt("key", 3)).expect("old attempts do not count");
}

#[test]
fn ending_sessions_raises_the_token_version() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let change = board.run_for_server(end_sessions_of(ben, None)).expect("ended");
    assert_eq!((change.output.token_version, &board.tables.users[&ben]), (1, &change.output));
    assert_ends_sessions(&change.event().event, ben, Some(ben));
    assert!(board.tables.password_hashes.is_empty());
}

#[test]
fn a_new_password_ends_all_sessions() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let change = board.run_for_server(end_sessions_of(ben, Some("new hash"))).expect("changed");
    assert_eq!(change.output.token_version, 1);
    assert_ends_sessions(&change.event().event, ben, Some(ben));
    assert_eq!(board.tables.password_hashes[&ben], "new hash");
}

#[test]
fn admins_and_the_operator_may_disable_and_enable_an_account() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    for (is_disabled, version) in [(true, 1), (false, 2)] {
        let change = board.run(ada, set_disabled(ben, is_disabled)).expect("changed");
        assert_eq!((change.output.disabled, change.output.token_version), (is_disabled, version));
        assert_ends_sessions(&change.event().event, ben, Some(ada));
        assert_eq!(board.tables.users[&ben], change.output);
    }
    let change = board.run_for_server(set_disabled_by_operator(ben, true)).expect("changed");
    assert!(change.output.disabled);
    assert_ends_sessions(&change.event().event, ben, None);
}

#[test]
fn an_account_that_is_already_disabled_or_enabled_stays_as_it_is() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    for is_disabled in [false, true] {
        board.tables.user_mut(ben).disabled = is_disabled;
        let change = board.run(ada, set_disabled(ben, is_disabled)).expect("accepted");
        assert_eq!((change.output.token_version, change.events.len()), (0, 0));
    }
}

#[test]
fn other_users_may_not_disable_an_account() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    for user in [ben, UserId(99)] {
        assert!(matches!(board.run(ben, set_disabled(user, true)), Err(Error::Forbidden(_))));
    }
}

#[test]
fn an_account_that_does_not_exist_is_not_found() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    for id in [UserId(99), UserId(-1)] {
        let not_found = Err(Error::NotFound("user"));
        assert_eq!(board.run(ada, set_disabled(id, true)).map(|change| change.output), not_found);
        assert_eq!(board.run_for_server(set_disabled_by_operator(id, true)).map(|change| change.output), not_found);
        assert_eq!(board.run_for_server(end_sessions_of(id, None)).map(|change| change.output), not_found);
    }
}

#[test]
fn queued_commands_of_a_user_are_refused_once_the_sessions_have_ended() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let channel = board.public_channel(ben);
    let first = board.queue(ben, messages::create(ben, messages::new_message(channel)));
    let disabled = board.queue(ada, set_disabled(ben, true));
    let second = board.queue(ben, messages::create(ben, messages::new_message(channel)));
    board.run_queue();
    first.get().expect("created");
    disabled.get().expect("disabled");
    assert!(matches!(second.get(), Err(Error::Unauthenticated(_))));
}
