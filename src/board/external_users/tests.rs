use super::arrivals::{Arrival, ArrivalResult, CreateExternalUsers};
use super::names::StoredProfile;
use super::*;
use crate::auth::ExternalProfile;
use crate::board::tests::BoardFixture;
use crate::model::EventKind;

fn arrival(subject: &str, username: &str, name: Option<&str>) -> Arrival {
    Arrival {
        identity: ExternalIdentity { issuer: "https://id.example".into(), subject: subject.into() },
        issued_at: Timestamp(0),
        profile: profile(username, name, None),
    }
}

fn profile(username: &str, name: Option<&str>, role: Option<Role>) -> StoredProfile {
    let name = name.map(str::to_owned);
    StoredProfile::of(&ExternalProfile { username: username.into(), name, email: None, role })
}

fn create(board: &mut BoardFixture, arrivals: &[Arrival]) -> Vec<Result<UserId>> {
    let command = CreateExternalUsers(arrivals.to_vec());
    board.run_for_server(command).expect("decided").output.into_iter().map(|ArrivalResult(user)| user).collect()
}

/// The update of a user by a token that was issued at this time.
fn update(user: UserId, issued_at: Timestamp, profile: StoredProfile) -> UpdateExternalUser {
    UpdateExternalUser { user, identity: arrival("1", "", None).identity, issued_at, profile }
}

#[test]
fn an_older_token_does_not_undo_a_newer_one() {
    let mut board = BoardFixture::new();
    let now = board.tables.now;
    let at = |seconds| now.after(Duration::from_secs(seconds));
    let first = Arrival { issued_at: at(10), ..arrival("1", "ann", None) };
    let user = *create(&mut board, &[first])[0].as_ref().expect("a user");
    let role_after = |board: &mut BoardFixture, issued_at, role| {
        let update = update(user, at(issued_at), profile("ann", None, Some(role)));
        board.run_for_server(update).expect("decided").output.role
    };
    assert_eq!(role_after(&mut board, 9, Role::Admin), Role::Member, "older than the token that created the user");
    assert_eq!(role_after(&mut board, 10, Role::Admin), Role::Admin);
    assert_eq!(role_after(&mut board, 30, Role::Member), Role::Member);
    assert_eq!(role_after(&mut board, 20, Role::Admin), Role::Member);
    assert_eq!(role_after(&mut board, 31, Role::Admin), Role::Admin);
}

#[test]
fn an_arrival_without_a_free_name_does_not_concern_the_others() {
    let mut board = BoardFixture::new();
    let [ann, bob] = [arrival("1", "ann", None), arrival("2", "bob", None)];
    for name in ann.profile.usernames(&ann.identity) {
        board.user(&name);
    }
    let created = create(&mut board, &[ann, bob]);
    assert!(matches!(created[..], [Err(Error::Conflict(_)), Ok(_)]), "{created:?}");
}

#[test]
fn a_group_creates_each_identity_once_with_an_event_each() {
    let mut board = BoardFixture::new();
    let group = [arrival("1", "ann", Some("Ann B.")), arrival("2", "ann", None), arrival("1", "ann", Some("Ann B."))];
    let change = board.run_for_server(CreateExternalUsers(group.to_vec())).expect("created");
    let ids: Vec<_> = change.output.into_iter().map(|ArrivalResult(user)| user.expect("a user")).collect();
    assert_eq!((ids[0], ids[2]), (UserId(1), UserId(1)));
    let named = |id: UserId| (board.tables.users[&id].username.as_str(), board.tables.users[&id].display_name.as_str());
    assert_eq!([named(ids[0]), named(ids[1])], [("ann", "Ann B."), ("ann-2", "ann-2")]);
    let events: Vec<_> = change.events.iter().map(|logged| (logged.event.kind, logged.event.object)).collect();
    assert_eq!(events, [(EventKind::UserUpdated, ids[0].0), (EventKind::UserUpdated, ids[1].0)]);
    assert_eq!(create(&mut board, &group), [Ok(ids[0]), Ok(ids[1]), Ok(ids[0])]);
    assert_eq!(board.tables.users.len(), 2);
}

#[test]
fn a_name_that_looks_like_another_user_is_not_used() {
    let mut board = BoardFixture::new();
    board.user("eve");
    let [user] = create(&mut board, &[arrival("1", "adam", Some("Eve"))]).try_into().expect("one");
    let user = user.expect("a user");
    assert_eq!(board.tables.users[&user].display_name, "adam");
    let update = |name: &str| update(user, Timestamp(0), profile("adam", Some(name), None));
    assert!(board.run_for_server(update("Eve")).expect("decided").events.is_empty());
    let change = board.run_for_server(update("Adam Smith")).expect("changed");
    assert_eq!(change.output.display_name, "Adam Smith");
    assert_eq!(change.event().event.kind, EventKind::UserUpdated);
    assert!(board.run_for_server(update("Adam Smith")).expect("decided").events.is_empty());
}

#[test]
fn a_change_of_the_role_informs_the_connections_of_the_user() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let update = |role| update(ben, Timestamp(0), profile("ben", None, Some(role)));
    let change = board.run_for_server(update(Role::Admin)).expect("changed");
    assert_eq!((change.output.role, change.event().event.kind), (Role::Admin, EventKind::AccessChanged));
    assert!(board.run_for_server(update(Role::Admin)).expect("decided").events.is_empty());
}

#[test]
fn a_token_from_before_the_deletion_creates_no_user() {
    let mut board = BoardFixture::new();
    let deleted_at = board.tables.now;
    let arrival = |issued_at| Arrival { issued_at, ..arrival("1", "ann", None) };
    board.tables.deleted_identities.insert(arrival(deleted_at).identity, deleted_at);
    let refused = create(&mut board, &[arrival(deleted_at)]);
    assert!(matches!(refused[..], [Err(Error::Unauthenticated(_))]), "{refused:?}");
    let later = deleted_at.after(Duration::from_secs(1));
    assert!(create(&mut board, &[arrival(later)])[0].is_ok());
}

#[test]
fn a_token_from_before_deleted_users_are_remembered_creates_no_user() {
    let mut board = BoardFixture::new();
    let old = board.tables.now.before(crate::board::retention::DELETED_KEPT + Duration::from_secs(1));
    let refused = create(&mut board, &[Arrival { issued_at: old, ..arrival("1", "ann", None) }]);
    assert!(matches!(refused[..], [Err(Error::Unauthenticated(_))]), "{refused:?}");
    let newer = old.after(Duration::from_secs(2));
    let created = create(&mut board, &[Arrival { issued_at: newer, ..arrival("1", "ann", None) }]);
    let again = create(&mut board, &[Arrival { issued_at: old, ..arrival("1", "ann", None) }]);
    assert_eq!((created[0].is_ok(), &again), (true, &created), "the user exists");
}
