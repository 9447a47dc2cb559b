//! Unit tests of the decisions about templates.

use super::*;
use crate::board::tests::BoardFixture;
use crate::model::{Event, UserId};

/// The command that creates a template for locations.
pub fn create(locations: Vec<LocationId>) -> impl ViewerCommand<Output = Template> {
    CreateTemplate { name: "name".into(), content: "text".into(), audience: Audience::new(locations) }
}

/// The command that deletes a template.
pub fn delete(id: TemplateId) -> impl ViewerCommand<Output = TemplateId> {
    DeleteTemplate(id)
}

/// Checks that an event of a template reaches the users whom it is shared with.
fn assert_event_of(event: &Event, kind: EventKind, template: &Template, actor: UserId) {
    assert_eq!((event.kind, event.object, event.actor), (kind, template.id.0, Some(actor)));
    assert_eq!((&event.audience, event.owner), (&template.audience, Some(template.author_id)));
    assert_eq!((event.channel, event.message, event.user), (None, None, None));
}

#[test]
fn every_user_may_create_a_template() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let ((_, first), (_, second)) = (board.organization("One", &[]), board.organization("Two", &[]));
    for locations in [vec![], vec![second, first]] {
        let change = board.run(ben, create(locations.clone())).expect("created");
        let template = &change.output;
        assert_eq!((template.name.as_str(), template.content.as_str(), template.author_id), ("name", "text", ben));
        assert_eq!(template.audience, Audience::new(locations));
        assert_event_of(&change.event().event, EventKind::TemplateAdded, template, ben);
        assert_eq!(change.event().body, EventBody::Template(Arc::new(template.clone())));
        assert_eq!((change.event().event.cursor, &board.tables.templates[&template.id]), (template.cursor, template));
    }
}

#[test]
fn a_template_for_an_unknown_location_is_refused() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let (_, known) = board.organization("One", &[]);
    for unknown in [LocationId(99), LocationId(-1)] {
        let refused = board.run(ben, create(vec![known, unknown]));
        assert!(matches!(refused, Err(Error::BadInput { field, .. }) if field == "shareLocationIds"));
    }
}

#[test]
fn the_author_and_admins_may_delete_a_template() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo) = (board.admin("ada"), board.user("ben"), board.user("cleo"));
    let (_, location) = board.organization("One", &[cleo]);
    for actor in [ben, ada] {
        let template = board.run(ben, create(vec![location])).expect("created").output;
        assert!(matches!(board.run(cleo, delete(template.id)), Err(Error::Forbidden(_))));
        let change = board.run(actor, delete(template.id)).expect("deleted");
        assert_event_of(&change.event().event, EventKind::TemplateDeleted, &template, actor);
        assert_eq!((change.output, &change.event().body), (template.id, &EventBody::None));
        assert!(board.tables.templates.is_empty());
    }
}

#[test]
fn a_template_that_is_not_shared_with_the_user_is_not_found() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let (_, location) = board.organization("One", &[ben]);
    let hidden = board.run(ben, create(vec![location])).expect("created").output.id;
    for id in [hidden, TemplateId(99), TemplateId(-1)] {
        assert_eq!(board.run(cleo, delete(id)).map(|change| change.output), Err(Error::NotFound("template")));
    }
}
