//! Unit tests of the decisions about users.

use super::*;
use crate::board::tests::BoardFixture;
use crate::model::{ChannelId, EventKind, ExternalIdentity, UserKind};

/// A new user with this name and nothing else.
fn account(username: &str) -> AccountInput {
    AccountInput {
        username: username.into(),
        display_name: None,
        email: None,
        password: None,
        issuer: None,
        subject: None,
        role: Role::Member,
        kind: UserKind::Person,
        organization: None,
        location: None,
        channels: Vec::new(),
        key: None,
    }
}

/// The command that creates users, and the error if they are refused before.
fn create(author: UserId, new: &[AccountInput]) -> Result<CreateUsers> {
    let checked = new.iter().enumerate().map(|(index, new)| CheckedAccount::new(author, new, None, Some(index)));
    let accounts = checked.collect::<Result<Vec<_>>>()?;
    check_distinct(&accounts)?;
    Ok(CreateUsers(accounts))
}

fn no_change(id: UserId) -> UserEdit {
    UserEdit { id, username: None, display_name: None, email: None, role: None, organization: None, location: None }
}

#[test]
fn users_are_created_together_with_all_their_fields() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let (organization, location) = board.organization("acme", &[]);
    let channel = board.private_channel(ada, &[]);
    let full = AccountInput {
        display_name: Some("A Robot".into()),
        email: Some(" robot@example.org ".into()),
        issuer: Some("https://id.example.org".into()),
        subject: Some("auth0|7".into()),
        role: Role::Admin,
        kind: UserKind::Service,
        organization: Some(organization),
        location: Some(location),
        channels: vec![channel, channel],
        ..account("robot")
    };
    let change = board.run(ada, create(ada, &[account("ben"), full]).expect("valid")).expect("created");
    let [ben, robot] = &change.output[..] else { panic!("{:?}", change.output) };
    assert!(change.events.is_empty());
    assert_eq!((ben.display_name.as_str(), ben.kind, &ben.email), ("ben", UserKind::Person, &None));
    assert_eq!(
        (robot.role, robot.kind, robot.email.as_deref()),
        (Role::Admin, UserKind::Service, Some("robot@example.org"))
    );
    assert_eq!((robot.organization_id, robot.location_id), (Some(organization), Some(location)));
    assert_eq!((&board.tables.users[&ben.id], &board.tables.users[&robot.id]), (ben, robot));
    assert!(board.tables.members.contains_key(&(channel, robot.id)));
    let identity = ExternalIdentity { issuer: "https://id.example.org".into(), subject: "auth0|7".into() };
    assert_eq!(board.tables.identities[&identity], robot.id);
    assert_eq!(board.tables.password_hashes[&robot.id], "");
}

#[test]
fn one_wrong_user_refuses_all_and_is_named() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    board.user("eva");
    let refuse = |board: &mut BoardFixture, wrong: AccountInput| {
        let command = create(ada, &[account("ben"), wrong])?;
        board.run(ada, command).map(drop)
    };
    for (wrong, field) in [
        (account("a b"), "inputs.1.username"),
        (AccountInput { email: Some("nobody".into()), ..account("cid") }, "inputs.1.email"),
        (AccountInput { issuer: Some("x".into()), ..account("cid") }, "inputs.1.subject"),
        (AccountInput { organization: Some(OrganizationId(9)), ..account("cid") }, "inputs.1.organizationId"),
        (AccountInput { location: Some(LocationId(9)), ..account("cid") }, "inputs.1.locationId"),
    ] {
        let refused = refuse(&mut board, wrong);
        assert!(matches!(&refused, Err(Error::BadInput { field: found, .. }) if found == field), "{refused:?}");
    }
    for wrong in [account("eva"), account("BEN"), AccountInput { display_name: Some("Eva".into()), ..account("cid") }] {
        let refused = refuse(&mut board, wrong);
        assert!(matches!(&refused, Err(Error::Conflict(why)) if why.starts_with("inputs.1: ")), "{refused:?}");
    }
    let missing = AccountInput { channels: vec![ChannelId(9)], ..account("cid") };
    assert_eq!(refuse(&mut board, missing), Err(Error::NotFound("channel")));
    assert_eq!(board.tables.users.len(), 2);
}

#[test]
fn an_identity_belongs_to_one_user_for_each_issuer() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let from = |username: &str, issuer: &str| AccountInput {
        issuer: Some(issuer.into()),
        subject: Some("7".into()),
        ..account(username)
    };
    board.run(ada, create(ada, &[from("ben", "one"), from("cid", "two")]).expect("valid")).expect("created");
    let refused = board.run(ada, create(ada, &[from("dan", "one")]).expect("valid")).map(drop);
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    assert!(matches!(create(ada, &[from("eva", "three"), from("fay", "three")]), Err(Error::Conflict(_))));
}

#[test]
fn a_repeated_key_returns_the_first_user() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let keyed = |username: &str| AccountInput { key: Some("key".into()), ..account(username) };
    let first = board.run(ada, create(ada, &[keyed("ben")]).expect("valid")).expect("created").output;
    let again = board.run(ada, create(ada, &[account("cid"), keyed("ben")]).expect("valid")).expect("created").output;
    assert_eq!((again.len(), &again[1]), (2, &first[0]));
    let other = board.run(ada, create(ada, &[keyed("dan")]).expect("valid")).map(drop);
    assert!(matches!(other, Err(Error::Conflict(_))), "{other:?}");
}

#[test]
fn only_admins_create_and_change_users() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let refused = board.run(ben, create(ben, &[account("cid")]).expect("valid")).map(drop);
    assert!(matches!(refused, Err(Error::Forbidden(_))));
    let promoted = UserEdit { role: Some(Role::Admin), ..no_change(ben) };
    assert!(matches!(board.run(ben, UpdateUser(promoted)), Err(Error::Forbidden(_))));
}

#[test]
fn an_admin_changes_names_and_rights_of_a_user() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let (organization, _) = board.organization("acme", &[]);
    let edit = UserEdit {
        username: Some("benno".into()),
        role: Some(Role::Admin),
        organization: Some(Some(organization)),
        ..no_change(ben)
    };
    let change = board.run(ada, UpdateUser(edit)).expect("changed");
    let user = &board.tables.users[&ben];
    assert_eq!((user.username.as_str(), user.role, user.organization_id), ("benno", Role::Admin, Some(organization)));
    let kinds: Vec<_> = change.events.iter().map(|logged| (logged.event.kind, logged.event.object)).collect();
    assert_eq!(kinds, [(EventKind::AccessChanged, ben.0), (EventKind::UserUpdated, ben.0)]);
    let unchanged = board.run(ada, UpdateUser(no_change(ben))).expect("accepted");
    assert!(unchanged.events.is_empty());
}

#[test]
fn users_change_their_own_profile() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    board.user("eva");
    let named = |name: &str| UserEdit { display_name: Some(name.into()), ..no_change(ben) };
    let change = board.run(ben, UpdateProfile(named("Big Ben"))).expect("changed");
    let event = &change.event().event;
    assert_eq!((event.kind, event.object, event.actor), (EventKind::UserUpdated, ben.0, Some(ben)));
    assert_eq!(board.tables.users[&ben].display_name, "Big Ben");
    board.run(ben, UpdateProfile(named("Ben"))).expect("a display name may be like the own username");
    assert!(matches!(board.run(ben, UpdateProfile(named("Eva"))), Err(Error::Conflict(_))));
    let email = UserEdit { email: Some(Some("ben@example.org".into())), ..no_change(ben) };
    assert_eq!(board.run(ben, UpdateProfile(email)).expect("changed").output.email.as_deref(), Some("ben@example.org"));
    let without = UserEdit { email: Some(None), ..no_change(ben) };
    assert_eq!(board.run(ben, UpdateProfile(without)).expect("changed").output.email, None);
}
