//! Unit tests of the decisions about channels, their members and read markers.

use super::*;
use crate::board::messages::tests as messages;
use crate::board::tests::BoardFixture;
use crate::model::{LoggedEvent, MessageId, Seq, Tag};

/// The command that creates a channel.
pub fn create(name: &str, visibility: Visibility) -> impl ViewerCommand<Output = Channel> {
    CreateChannel { name: name.into(), description: None, visibility, publishing: ChannelPublishing::Keys }
}

/// An edit that changes nothing yet.
pub fn edit(id: ChannelId) -> ChannelEdit {
    ChannelEdit { id, name: None, description: None, visibility: None, publishing: None }
}

/// The command that changes a channel.
pub fn update(edit: ChannelEdit) -> impl ViewerCommand<Output = Channel> {
    UpdateChannel(edit)
}

/// The command that deletes a channel.
pub fn delete(id: ChannelId) -> impl ViewerCommand<Output = ChannelId> {
    DeleteChannel(id)
}

/// The command that adds a member.
pub fn add_member(id: ChannelId, user: UserId) -> impl ViewerCommand<Output = Channel> {
    AddMember(id, user)
}

/// The command that removes a member.
pub fn remove_member(id: ChannelId, user: UserId) -> impl ViewerCommand<Output = Channel> {
    RemoveMember(id, user)
}

/// The command that moves the read marker.
pub fn mark_read(id: ChannelId, up_to: Cursor) -> impl ViewerCommand<Output = Channel> {
    MarkChannelRead(id, up_to)
}

fn renamed(id: ChannelId, name: &str) -> ChannelEdit {
    ChannelEdit { name: Some(name.into()), ..edit(id) }
}

fn with_visibility(id: ChannelId, visibility: Visibility) -> ChannelEdit {
    ChannelEdit { visibility: Some(visibility), ..edit(id) }
}

/// Checks that an event of a channel reaches all its readers.
fn assert_event_of(logged: &LoggedEvent, kind: EventKind, id: ChannelId, actor: UserId) {
    let event = &logged.event;
    assert_eq!((event.kind, event.object, event.actor), (kind, id.0, Some(actor)));
    assert_eq!((event.channel, event.message, event.user, event.owner), (Some(id), None, None, None));
    assert!(event.audience.is_unrestricted());
}

#[test]
fn every_user_may_create_a_channel_and_is_its_owner_and_first_member() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    for (name, visibility) in [("general", Visibility::Public), ("staff", Visibility::Private)] {
        let change = board.run(ben, create(name, visibility)).expect("created");
        let channel = &change.output;
        assert_eq!((channel.name.as_str(), channel.visibility), (name, visibility));
        assert_eq!(channel.owner_id, Some(ben));
        assert_event_of(change.event(), EventKind::ChannelAdded, channel.id, ben);
        assert_eq!(change.event().body, EventBody::Channel(Arc::new(channel.clone())));
        assert_eq!(change.event().event.cursor, channel.cursor);
        assert_eq!(board.tables.channels[&channel.id], *channel);
        assert!(board.tables.members.contains_key(&(channel.id, ben)));
    }
}

#[test]
fn a_name_that_equals_or_looks_like_that_of_a_readable_channel_is_a_conflict() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let id = board.channel(ben, "general", Visibility::Public);
    let other = board.channel(cleo, "other", Visibility::Public);
    for name in ["general", "GENERAL", "genera1", "gеneral"] {
        assert!(matches!(board.run(cleo, create(name, Visibility::Public)), Err(Error::Conflict(_))), "{name}");
        assert!(matches!(board.run(cleo, update(renamed(other, name))), Err(Error::Conflict(_))), "{name}");
    }
    board.run(ben, delete(id)).expect("deleted");
    board.run(cleo, create("general", Visibility::Public)).expect("a deleted channel frees its name");
}

#[test]
fn the_name_of_a_channel_that_the_user_cannot_read_is_not_revealed() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo) = (board.admin("ada"), board.user("ben"), board.user("cleo"));
    board.channel(ben, "staff", Visibility::Private);
    board.run(cleo, create("staff", Visibility::Public)).expect("created");
    assert!(matches!(board.run(ada, create("staff", Visibility::Public)), Err(Error::Conflict(_))));
}

#[test]
fn the_owner_and_admins_may_change_a_channel() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo) = (board.admin("ada"), board.user("ben"), board.user("cleo"));
    let id = board.public_channel(ben);
    for (actor, name) in [(ben, "first"), (ada, "second")] {
        let all = ChannelEdit { description: Some(Some("what for".into())), ..renamed(id, name) };
        let change = board.run(actor, update(all)).expect("updated");
        let channel = &change.output;
        assert_eq!((channel.name.as_str(), channel.description.as_deref()), (name, Some("what for")));
        assert_eq!((channel.owner_id, channel.visibility), (Some(ben), Visibility::Public));
        assert_event_of(change.event(), EventKind::ChannelUpdated, id, actor);
        assert_eq!(change.event().body, EventBody::Channel(Arc::new(channel.clone())));
        assert_eq!((change.event().event.cursor, &board.tables.channels[&id]), (channel.cursor, channel));
    }
    assert!(matches!(board.run(cleo, update(renamed(id, "third"))), Err(Error::Forbidden(_))));
    let removed = board.run(ben, update(ChannelEdit { description: Some(None), ..edit(id) })).expect("updated").output;
    assert_eq!((removed.description, removed.name.as_str()), (None, "second"));
}

#[test]
fn a_member_of_a_private_channel_may_not_change_it_and_others_do_not_find_it() {
    let mut board = BoardFixture::new();
    let (ben, cleo, dan) = (board.user("ben"), board.user("cleo"), board.user("dan"));
    let id = board.private_channel(ben, &[cleo]);
    let opened = || with_visibility(id, Visibility::Public);
    assert!(matches!(board.run(cleo, update(opened())), Err(Error::Forbidden(_))));
    assert!(matches!(board.run(cleo, delete(id)), Err(Error::Forbidden(_))));
    assert!(matches!(board.run(cleo, add_member(id, dan)), Err(Error::Forbidden(_))));
    assert!(matches!(board.run(cleo, remove_member(id, ben)), Err(Error::Forbidden(_))));
    let not_found = Error::NotFound("channel");
    assert_eq!(board.run(dan, update(opened())).map(|change| change.output), Err(not_found.clone()));
    assert_eq!(board.run(dan, delete(id)).map(|change| change.output), Err(not_found.clone()));
    assert_eq!(board.run(dan, add_member(id, dan)).map(|change| change.output), Err(not_found.clone()));
    assert_eq!(board.run(dan, remove_member(id, dan)).map(|change| change.output), Err(not_found.clone()));
    let head = board.tables.head();
    assert_eq!(board.run(dan, mark_read(id, head)).map(|change| change.output), Err(not_found));
}

#[test]
fn a_channel_that_does_not_exist_is_not_found() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let deleted = board.public_channel(ada);
    board.run(ada, delete(deleted)).expect("deleted");
    let head = board.tables.head();
    for id in [deleted, ChannelId(99), ChannelId(-1)] {
        let not_found = Error::NotFound("channel");
        assert_eq!(board.run(ada, update(renamed(id, "new"))).map(|change| change.output), Err(not_found.clone()));
        assert_eq!(board.run(ada, delete(id)).map(|change| change.output), Err(not_found.clone()));
        assert_eq!(board.run(ada, add_member(id, ada)).map(|change| change.output), Err(not_found.clone()));
        assert_eq!(board.run(ada, remove_member(id, ada)).map(|change| change.output), Err(not_found.clone()));
        assert_eq!(board.run(ada, mark_read(id, head)).map(|change| change.output), Err(not_found));
    }
}

#[test]
fn a_change_of_visibility_changes_the_rights_of_all_users() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let id = board.public_channel(ben);
    for visibility in [Visibility::Private, Visibility::Public] {
        let change = board.run(ben, update(with_visibility(id, visibility))).expect("updated");
        let [updated, access] = &change.events[..] else { panic!("not exactly two events") };
        assert_eq!(change.output.visibility, visibility);
        assert_event_of(updated, EventKind::ChannelUpdated, id, ben);
        assert_event_of(access, EventKind::AccessChanged, id, ben);
        let unchanged = board.run(ben, update(with_visibility(id, visibility))).expect("updated");
        assert_event_of(unchanged.event(), EventKind::ChannelUpdated, id, ben);
    }
}

#[test]
fn a_channel_that_becomes_public_needs_a_name_that_no_readable_channel_has() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let private = board.channel(ben, "staff", Visibility::Private);
    let public = board.channel(cleo, "staff", Visibility::Public);
    let opened = || with_visibility(private, Visibility::Public);
    assert!(matches!(board.run(ben, update(opened())), Err(Error::Conflict(_))));
    board
        .run(ben, update(ChannelEdit { description: Some(None), ..edit(private) }))
        .expect("other changes are allowed");
    board.run(ben, update(renamed(private, "staff"))).expect("the present name is allowed");
    board.run(cleo, update(renamed(public, "people"))).expect("renamed");
    board.run(ben, update(opened())).expect("opened");
    assert!(board.tables.named_at[&private] > board.tables.channels[&public].cursor.seq, "its readers see a new name");
}

#[test]
fn the_owner_and_admins_may_delete_a_channel() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo) = (board.admin("ada"), board.user("ben"), board.user("cleo"));
    for actor in [ben, ada] {
        let id = board.public_channel(ben);
        assert!(matches!(board.run(cleo, delete(id)), Err(Error::Forbidden(_))));
        let change = board.run(actor, delete(id)).expect("deleted");
        assert_eq!(change.output, id);
        assert_event_of(change.event(), EventKind::ChannelDeleted, id, actor);
        assert_eq!(change.event().body, EventBody::None);
        assert!(!board.tables.channels.contains_key(&id));
    }
}

#[test]
fn the_owner_and_admins_may_add_and_remove_members() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo) = (board.admin("ada"), board.user("ben"), board.user("cleo"));
    let id = board.private_channel(ben, &[]);
    for actor in [ben, ada] {
        let added = board.run(actor, add_member(id, cleo)).expect("added");
        assert!(board.tables.members.contains_key(&(id, cleo)));
        let removed = board.run(actor, remove_member(id, cleo)).expect("removed");
        assert!(!board.tables.members.contains_key(&(id, cleo)));
        for change in [added, removed] {
            let event = &change.event().event;
            assert_eq!((event.kind, event.user, event.actor), (EventKind::AccessChanged, Some(cleo), Some(actor)));
            assert_eq!((event.channel, &change.event().body), (Some(id), &EventBody::None));
            assert_eq!(change.output, board.tables.channels[&id]);
        }
    }
}

#[test]
fn a_member_may_leave() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let id = board.private_channel(ben, &[cleo]);
    board.run(cleo, remove_member(id, cleo)).expect("removed");
    assert_eq!(board.run(cleo, remove_member(id, cleo)).map(|change| change.output), Err(Error::NotFound("channel")));
}

#[test]
fn members_that_are_already_added_or_removed_change_nothing() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let id = board.private_channel(ben, &[]);
    assert!(board.run(ben, remove_member(id, cleo)).expect("accepted").events.is_empty());
    assert!(board.run(ben, remove_member(id, UserId(99))).expect("accepted").events.is_empty());
    assert!(board.run(ben, add_member(id, ben)).expect("accepted").events.is_empty());
    assert_eq!(board.run(ben, add_member(id, UserId(99))).map(|change| change.output), Err(Error::NotFound("user")));
}

#[test]
fn commands_after_a_change_of_rights_decide_by_the_new_rights() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let id = board.private_channel(ben, &[cleo]);
    let removed = board.queue(ben, remove_member(id, cleo));
    let posted = board.queue(cleo, messages::create(cleo, messages::new_message(id)));
    board.run_queue();
    removed.get().expect("removed");
    assert_eq!(posted.get(), Err(Error::NotFound("channel")));
}

#[test]
fn the_read_marker_is_the_newest_message_at_the_cursor_and_records_no_event() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let (id, other) = (board.public_channel(ben), board.channel(ben, "other", Visibility::Public));
    let first = board.message(ben, id);
    board.message(ben, other);
    let head = board.tables.head();
    board.message(ben, id);
    let change = board.run(cleo, mark_read(id, head)).expect("marked");
    assert!(change.events.is_empty());
    assert_eq!(change.output, board.tables.channels[&id]);
    assert_eq!(board.tables.read_markers[&(cleo, id)], first.id);
}

#[test]
fn a_read_marker_never_moves_back_also_within_one_batch() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let id = board.public_channel(ben);
    let [first, second] = [(); 2].map(|()| board.message(ben, id));
    for cursors in [[first.cursor, second.cursor], [second.cursor, first.cursor]] {
        board.tables.read_markers.clear();
        let answers = cursors.map(|cursor| board.queue(ben, mark_read(id, cursor)));
        board.run_queue();
        answers.into_iter().for_each(|answer| drop(answer.get().expect("marked")));
        assert_eq!(board.tables.read_markers[&(ben, id)], second.id);
    }
    board.run(ben, mark_read(id, first.cursor)).expect("accepted");
    assert_eq!(board.tables.read_markers[&(ben, id)], second.id);
}

#[test]
fn a_channel_without_messages_at_the_cursor_gets_no_read_marker() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let id = board.public_channel(ben);
    let before = board.tables.head();
    board.message(ben, id);
    board.run(ben, mark_read(id, before)).expect("accepted");
    assert_eq!(board.tables.read_markers.get(&(ben, id)), None::<&MessageId>);
}

#[test]
fn a_cursor_that_the_log_does_not_contain_has_expired() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let id = board.public_channel(ben);
    let head = board.tables.head();
    for unknown in [Cursor { tag: Tag(99), ..head }, Cursor { seq: Seq(99), ..head }, Cursor { seq: Seq(-1), ..head }] {
        let refused = board.run(ben, mark_read(id, unknown));
        assert!(matches!(refused, Err(Error::CursorExpired { .. })), "{refused:?}");
    }
}
