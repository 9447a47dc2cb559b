//! Unit tests of the decisions about organizations, locations, and the users who belong to them.

use super::*;
use crate::board::tests::BoardFixture;
use crate::model::EventKind;

/// The command that creates an organization.
pub fn create(name: &str) -> impl ViewerCommand<Output = Organization> {
    CreateOrganization(name.into())
}

/// The command that creates a location.
pub fn create_location(organization: OrganizationId, name: &str) -> impl ViewerCommand<Output = Location> {
    CreateLocation { organization, name: name.into() }
}

/// An assignment that changes nothing yet.
pub fn assignment(user: UserId) -> Assignment {
    Assignment { user, organization: None, location: None, role: None }
}

/// The command that assigns a user.
pub fn assign(assignment: Assignment) -> impl ViewerCommand<Output = User> {
    AssignUser(assignment)
}

fn is_input_error<T>(result: &Result<T>, wrong: &str) -> bool {
    matches!(result, Err(Error::BadInput { field, .. }) if field == wrong)
}

#[test]
fn an_admin_may_create_an_organization_without_an_event() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let change = board.run(ada, create("One")).expect("created");
    assert_eq!((change.output.name.as_str(), change.events.len()), ("One", 0));
    assert_eq!(board.tables.organizations[&change.output.id], change.output);
}

#[test]
fn an_organization_whose_name_looks_like_another_is_a_conflict() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let (id, _) = board.organization("Alpine", &[]);
    board.run(ada, create_location(id, "North")).expect("created");
    for name in ["Alpine", "ALPINE", "A1pine"] {
        assert!(matches!(board.run(ada, create(name)), Err(Error::Conflict(_))), "{name}");
    }
    for name in ["North", "NORTH", "N0rth"] {
        assert!(matches!(board.run(ada, create_location(id, name)), Err(Error::Conflict(_))), "{name}");
    }
    let (other, _) = board.organization("Other", &[]);
    board.run(ada, create_location(other, "North")).expect("another organization may have the name");
}

#[test]
fn a_new_location_changes_the_rights_of_the_users_of_its_organization() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo, dan) = (board.admin("ada"), board.user("ben"), board.user("cleo"), board.user("dan"));
    let (id, _) = board.organization("One", &[ben, cleo]);
    board.organization("Two", &[dan]);
    let change = board.run(ada, create_location(id, "North")).expect("created");
    assert_eq!((change.output.organization_id, change.output.name.as_str()), (id, "North"));
    assert_eq!(board.tables.locations[&change.output.id], change.output);
    let events: Vec<_> = change.events.iter().map(|logged| &logged.event).collect();
    assert_eq!(events.iter().map(|event| event.user).collect::<Vec<_>>(), [Some(ben), Some(cleo)]);
    for event in events {
        assert_eq!((event.kind, event.actor, event.channel), (EventKind::AccessChanged, Some(ada), None));
    }
    assert!(board.state(ben).rights.locations.contains(&change.output.id));
}

#[test]
fn a_location_of_an_organization_that_does_not_exist_is_not_found() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    for id in [OrganizationId(99), OrganizationId(-1)] {
        let refused = board.run(ada, create_location(id, "North")).map(|change| change.output);
        assert_eq!(refused, Err(Error::NotFound("organization")));
    }
}

#[test]
fn organizations_and_their_locations_are_limited() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let (id, _) = board.organization("One", &[]);
    for number in 1..MAX_LOCATIONS {
        board.tables.insert_location(id, &format!("l{number}"));
    }
    assert!(is_input_error(&board.run(ada, create_location(id, "North")), "organizationId"));
    for number in 1..MAX_ORGANIZATIONS {
        board.tables.insert_organization(&format!("o{number}"));
    }
    assert!(is_input_error(&board.run(ada, create("Two")), "name"));
}

#[test]
fn only_admins_may_create_organizations_and_locations_and_assign_users() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let (id, _) = board.organization("One", &[ben]);
    assert!(matches!(board.run(ben, create("Two")), Err(Error::Forbidden(_))));
    assert!(matches!(board.run(ben, create_location(id, "North")), Err(Error::Forbidden(_))));
    assert!(matches!(board.run(ben, assign(assignment(ben))), Err(Error::Forbidden(_))));
    assert!(matches!(board.run(ben, assign(assignment(UserId(99)))), Err(Error::Forbidden(_))));
}

#[test]
fn an_assignment_changes_the_user_and_the_rights_of_the_user() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let ((organization, _), (_, location)) = (board.organization("One", &[]), board.organization("Two", &[]));
    let all = Assignment {
        organization: Some(Some(organization)),
        location: Some(Some(location)),
        role: Some(Role::Admin),
        ..assignment(ben)
    };
    let change = board.run(ada, assign(all)).expect("assigned");
    let user = &change.output;
    assert_eq!((user.organization_id, user.location_id, user.role), (Some(organization), Some(location), Role::Admin));
    assert_eq!(board.tables.users[&ben], *user);
    let event = &change.event().event;
    assert_eq!((event.kind, event.user, event.actor), (EventKind::AccessChanged, Some(ben), Some(ada)));
    assert_eq!(event.channel, None);
}

#[test]
fn fields_that_an_assignment_leaves_out_stay_and_others_can_be_removed() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let (organization, location) = board.organization("One", &[ben]);
    board.tables.user_mut(ben).location_id = Some(location);
    let before = board.tables.users[&ben].clone();
    assert_eq!(board.run(ada, assign(assignment(ben))).expect("assigned").output, before);
    let without_location = Assignment { location: Some(None), ..assignment(ben) };
    let after = board.run(ada, assign(without_location)).expect("assigned").output;
    assert_eq!((after.organization_id, after.location_id), (Some(organization), None));
    let without_organization = Assignment { organization: Some(None), ..assignment(ben) };
    assert_eq!(board.run(ada, assign(without_organization)).expect("assigned").output.organization_id, None);
}

#[test]
fn an_assignment_to_what_does_not_exist_is_refused() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    for (organization, location) in [(OrganizationId(99), LocationId(99)), (OrganizationId(-1), LocationId(-1))] {
        let unknown = Assignment { organization: Some(Some(organization)), ..assignment(ben) };
        assert!(is_input_error(&board.run(ada, assign(unknown)), "organizationId"));
        let unknown = Assignment { location: Some(Some(location)), ..assignment(ben) };
        assert!(is_input_error(&board.run(ada, assign(unknown)), "locationId"));
    }
    let refused = board.run(ada, assign(assignment(UserId(99)))).map(|change| change.output);
    assert_eq!(refused, Err(Error::NotFound("user")));
}
