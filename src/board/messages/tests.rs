//! Unit tests of the decisions about messages and tickets. `notification_rules` and `idempotency` have tests of their own.

use super::*;
use crate::board::tests::{BoardFixture, POLICY, unlimited};
use crate::model::{LoggedEvent, Visibility};

/// A message with a text.
pub fn new_message(channel: ChannelId) -> NewMessage {
    NewMessage { channel, title: None, content: "text".into(), locations: Vec::new(), ticket: None, key: None }
}

/// A message that is a ticket.
pub fn new_ticket(channel: ChannelId, assignee: Option<UserId>) -> NewMessage {
    NewMessage { ticket: Some(NewTicket { priority: None, assignee }), ..new_message(channel) }
}

/// An edit that changes nothing yet.
pub fn edit(id: MessageId) -> MessageEdit {
    MessageEdit { id, title: None, content: None, ticket: None, if_cursor: None }
}

/// An edit of the text.
pub fn text_edit(id: MessageId, content: &str) -> MessageEdit {
    MessageEdit { content: Some(content.into()), ..edit(id) }
}

/// An edit of the assignee.
pub fn assign(id: MessageId, assignee: Option<UserId>) -> MessageEdit {
    MessageEdit { ticket: Some(TicketEdit { assignee: Some(assignee), ..TicketEdit::default() }), ..edit(id) }
}

/// The command that creates a message.
pub fn create(author: UserId, new: NewMessage) -> impl ViewerCommand<Output = Message> {
    CreateMessage::new(new, author, &POLICY, &unlimited()).expect("valid input")
}

/// The command that changes a message.
pub fn update(actor: UserId, edit: MessageEdit) -> impl ViewerCommand<Output = Message> {
    UpdateMessage::new(edit, actor, &POLICY, &unlimited()).expect("valid input")
}

/// The command that deletes a message.
pub fn delete(id: MessageId) -> impl ViewerCommand<Output = MessageId> {
    DeleteMessage(id)
}

/// An id of a new object as a batch sees it, which no client can know.
const PROVISIONAL: MessageId = MessageId(-1);

fn is_input_error<T>(result: &Result<T>, wrong: &str) -> bool {
    matches!(result, Err(Error::BadInput { field, .. }) if field == wrong)
}

/// Checks the fields by which subscribers find an event of a message, and may see it.
fn assert_event_of(logged: &LoggedEvent, kind: EventKind, message: &Message, actor: UserId) {
    let event = &logged.event;
    assert_eq!((event.kind, event.object, event.actor), (kind, message.id.0, Some(actor)));
    assert_eq!((event.channel, event.message), (Some(message.channel_id), Some(message.id)));
    assert_eq!((&event.audience, event.owner), (&message.audience, Some(message.author_id)));
    assert_eq!((event.user, event.ticket), (None, message.ticket.is_some()));
}

/// Channels that a user cannot post in: a private one of others, a deleted one, and ones that do not exist.
fn unreadable_channels(board: &mut BoardFixture, owner: UserId) -> [ChannelId; 4] {
    let private = board.private_channel(owner, &[]);
    let deleted = board.channel(owner, "deleted", Visibility::Public);
    board.run(owner, crate::board::channels::tests::delete(deleted)).expect("deleted");
    [private, deleted, ChannelId(99), ChannelId(-1)]
}

#[test]
fn every_reader_of_a_channel_may_create_messages() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo) = (board.admin("ada"), board.user("ben"), board.user("cleo"));
    let (public, private) = (board.public_channel(ben), board.private_channel(ben, &[cleo]));
    for (author, channel) in
        [(ben, public), (cleo, public), (ada, public), (ben, private), (cleo, private), (ada, private)]
    {
        let change = board.run(author, create(author, new_message(channel))).expect("created");
        let message = &change.output;
        assert_eq!((message.channel_id, message.author_id, message.content.as_str()), (channel, author, "text"));
        assert_event_of(change.event(), EventKind::MessageAdded, message, author);
        assert_eq!(change.event().body, EventBody::Message(Arc::new(message.clone())));
        assert_eq!(change.event().event.cursor, message.cursor);
        assert_eq!(board.tables.messages[&message.id], *message);
    }
}

#[test]
fn a_channel_that_the_author_cannot_read_is_not_found() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    for channel in unreadable_channels(&mut board, ben) {
        let refused = board.run(cleo, create(cleo, new_message(channel))).map(|change| change.output);
        assert_eq!(refused, Err(Error::NotFound("channel")), "{channel}");
    }
}

#[test]
fn invalid_fields_of_a_message_are_refused() {
    let new = || new_message(ChannelId(1));
    let locations = (0..=1_000).map(LocationId).collect();
    for (field, new) in [
        ("content", NewMessage { content: " \n".into(), ..new() }),
        ("content", NewMessage { content: "x".repeat(POLICY.max_content + 1), ..new() }),
        ("title", NewMessage { title: Some("x".repeat(POLICY.max_title + 1)), ..new() }),
        ("shareLocationIds", NewMessage { locations, ..new() }),
        ("idempotencyKey", NewMessage { key: Some(String::new()), ..new() }),
    ] {
        let refused = CreateMessage::new(new, UserId(1), &POLICY, &unlimited()).map(drop);
        assert!(is_input_error(&refused, field), "{field}: {refused:?}");
    }
    let blank = MessageEdit { content: Some(" ".into()), ..edit(MessageId(1)) };
    assert!(is_input_error(&UpdateMessage::new(blank, UserId(1), &POLICY, &unlimited()).map(drop), "content"));
}

#[test]
fn a_message_for_locations_has_them_as_its_audience() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let ((_, first), (_, second)) = (board.organization("One", &[]), board.organization("Two", &[]));
    let channel = board.public_channel(ben);
    let new = NewMessage { locations: vec![second, first, second], ..new_message(channel) };
    let change = board.run(ben, create(ben, new)).expect("created");
    assert_eq!(*change.output.audience.0, [first, second]);
    assert_event_of(change.event(), EventKind::MessageAdded, &change.output, ben);
    let unknown = NewMessage { locations: vec![first, LocationId(99)], ..new_message(channel) };
    assert!(is_input_error(&board.run(ben, create(ben, unknown)), "shareLocationIds"));
}

#[test]
fn a_new_ticket_is_open_and_of_medium_priority() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let change = board.run(ben, create(ben, new_ticket(channel, None))).expect("created");
    let ticket = Ticket { status: TicketStatus::Open, priority: Priority::Medium, assignee_id: None };
    assert_eq!(change.output.ticket, Some(ticket));
    assert_event_of(change.event(), EventKind::MessageAdded, &change.output, ben);
}

#[test]
fn an_assignee_must_exist_and_be_enabled_and_see_the_ticket() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo, dan) = (board.admin("ada"), board.user("ben"), board.user("cleo"), board.user("dan"));
    let (_, location) = board.organization("One", &[cleo]);
    let (public, private) = (board.public_channel(ben), board.private_channel(ben, &[cleo]));
    board.tables.user_mut(dan).disabled = true;
    let eve = board.user("eve");
    for (channel, locations, assignee, is_accepted) in [
        (public, vec![], UserId(99), false),
        (public, vec![], UserId(-1), false),
        (public, vec![], dan, false),
        (public, vec![], eve, true),
        (private, vec![], eve, false),
        (private, vec![], cleo, true),
        (private, vec![], ada, true),
        (public, vec![location], eve, false),
        (public, vec![location], cleo, true),
        (public, vec![location], ada, true),
        (public, vec![location], ben, true),
    ] {
        let new = NewMessage { locations: locations.clone(), ..new_ticket(channel, Some(assignee)) };
        let created = board.run(ben, create(ben, new));
        assert_eq!(created.is_ok(), is_accepted, "{channel} {locations:?} {assignee}");
        assert!(is_accepted || is_input_error(&created, "assigneeId"));
        let ticket = NewMessage { locations, ..new_message(channel) };
        let ticket = board.run(ben, create(ben, ticket)).expect("a message").output;
        let updated = board.run(ben, update(ben, assign(ticket.id, Some(assignee))));
        assert_eq!(updated.is_ok(), is_accepted, "{channel} {assignee}");
        assert!(is_accepted || is_input_error(&updated, "assigneeId"));
    }
}

#[test]
fn an_assignee_who_stays_is_not_checked_again() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let ticket = board.ticket(ben, channel, Some(cleo));
    board.tables.user_mut(cleo).disabled = true;
    let change = board.run(ben, update(ben, assign(ticket.id, Some(cleo)))).expect("updated");
    assert_eq!(change.output.ticket, ticket.ticket);
}

#[test]
fn the_author_and_admins_may_change_everything() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let channel = board.public_channel(ben);
    let message = board.message(ben, channel);
    for actor in [ben, ada] {
        let ticket = TicketEdit { status: Some(TicketStatus::Resolved), ..TicketEdit::default() };
        let all =
            MessageEdit { title: Some(Some("title".into())), ticket: Some(ticket), ..text_edit(message.id, "new") };
        let change = board.run(actor, update(actor, all)).expect("updated");
        assert_eq!((change.output.title.as_deref(), change.output.content.as_str()), (Some("title"), "new"));
        assert_eq!(change.output.author_id, ben);
        assert_event_of(change.event(), EventKind::MessageUpdated, &change.output, actor);
        assert_eq!(change.event().body, EventBody::Message(Arc::new(change.output.clone())));
        assert_eq!(change.event().event.cursor, change.output.cursor);
        assert_eq!(board.tables.messages[&message.id], change.output);
    }
}

#[test]
fn other_readers_may_change_only_an_existing_ticket() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let (message, ticket) = (board.message(ben, channel).id, board.ticket(ben, channel, None).id);
    let retitled = MessageEdit { title: Some(None), ..edit(ticket) };
    for refused in [text_edit(message, "new"), text_edit(ticket, "new"), retitled, assign(message, None)] {
        let refused = board.run(cleo, update(cleo, refused));
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    }
    let change = board.run(cleo, update(cleo, assign(ticket, Some(cleo)))).expect("updated");
    assert_eq!(change.output.ticket.and_then(|ticket| ticket.assignee_id), Some(cleo));
    assert_event_of(change.event(), EventKind::MessageUpdated, &change.output, cleo);
}

#[test]
fn a_message_that_the_actor_cannot_see_is_not_found() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let (_, location) = board.organization("One", &[]);
    let (public, private) = (board.public_channel(ben), board.private_channel(ben, &[]));
    let doomed = board.channel(ben, "doomed", Visibility::Public);
    let restricted = NewMessage { locations: vec![location], ..new_message(public) };
    let restricted = board.run(ben, create(ben, restricted)).expect("a message").output.id;
    let deleted = board.message(ben, public).id;
    board.run(ben, delete(deleted)).expect("deleted");
    let (hidden, in_deleted_channel) = (board.message(ben, private).id, board.message(ben, doomed).id);
    board.run(ben, crate::board::channels::tests::delete(doomed)).expect("deleted");
    for id in [restricted, deleted, hidden, in_deleted_channel, MessageId(99), MessageId(0), PROVISIONAL] {
        let not_found = Error::NotFound("message");
        let updated = board.run(cleo, update(cleo, text_edit(id, "new"))).map(|change| change.output);
        assert_eq!(updated, Err(not_found.clone()), "{id}");
        assert_eq!(board.run(cleo, delete(id)).map(|change| change.output), Err(not_found), "{id}");
    }
}

#[test]
fn fields_that_an_edit_leaves_out_stay() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let new = NewMessage { title: Some("title".into()), ..new_ticket(channel, Some(cleo)) };
    let before = board.run(ben, create(ben, new)).expect("created").output;
    board.tables.now = board.tables.now.after(std::time::Duration::from_secs(1));
    let status = TicketEdit { status: Some(TicketStatus::Closed), ..TicketEdit::default() };
    let edit_of_status = MessageEdit { ticket: Some(status), ..edit(before.id) };
    let after = board.run(ben, update(ben, edit_of_status)).expect("updated").output;
    let ticket = before.ticket.map(|ticket| Ticket { status: TicketStatus::Closed, ..ticket });
    assert_eq!(after, Message { ticket, updated_at: board.tables.now, cursor: after.cursor, ..before.clone() });
    assert!(after.cursor.seq > before.cursor.seq);
}

#[test]
fn a_title_and_an_assignee_can_be_removed() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let new = NewMessage { title: Some("title".into()), ..new_ticket(channel, Some(cleo)) };
    let id = board.run(ben, create(ben, new)).expect("created").output.id;
    let removal = MessageEdit { title: Some(None), ..assign(id, None) };
    let after = board.run(ben, update(ben, removal)).expect("updated").output;
    assert_eq!((after.title, after.ticket.and_then(|ticket| ticket.assignee_id)), (None, None));
}

#[test]
fn an_edit_of_another_version_is_a_conflict() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let first = board.message(ben, channel);
    let if_first = |text: &str| MessageEdit { if_cursor: Some(first.cursor), ..text_edit(first.id, text) };
    let second = board.run(ben, update(ben, if_first("second"))).expect("updated").output;
    assert!(matches!(board.run(ben, update(ben, if_first("third"))), Err(Error::Conflict(_))));
    // The permission is checked first: a conflict would confirm the cursor.
    assert!(matches!(board.run(cleo, update(cleo, if_first("third"))), Err(Error::Forbidden(_))));
    let if_second = MessageEdit { if_cursor: Some(second.cursor), ..text_edit(first.id, "third") };
    assert_eq!(board.run(ben, update(ben, if_second)).expect("updated").output.content, "third");
}

#[test]
fn the_second_edit_of_one_version_in_a_batch_is_a_conflict() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let before = board.message(ben, channel);
    let if_unchanged = |text: &str| MessageEdit { if_cursor: Some(before.cursor), ..text_edit(before.id, text) };
    let first = board.queue(ben, update(ben, if_unchanged("first")));
    let second = board.queue(ben, update(ben, if_unchanged("second")));
    board.run_queue();
    assert_eq!(first.get().expect("updated").content, "first");
    assert!(matches!(second.get(), Err(Error::Conflict(_))));
    assert_eq!(board.tables.messages[&before.id].content, "first");
}

#[test]
fn edits_of_a_batch_build_on_each_other() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let id = board.message(ben, channel).id;
    let text = board.queue(ben, update(ben, text_edit(id, "new")));
    let ticket = board.queue(ben, update(ben, assign(id, Some(ben))));
    board.run_queue();
    let (text, ticket) = (text.get().expect("updated"), ticket.get().expect("updated"));
    assert_eq!((text.content.as_str(), text.ticket), ("new", None));
    assert_eq!((ticket.content.as_str(), ticket.ticket.is_some()), ("new", true));
    assert_eq!(text.cursor.seq.next(), ticket.cursor.seq);
    assert_eq!(board.tables.messages[&id], ticket);
}

#[test]
fn the_author_and_admins_may_delete_a_message() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo) = (board.admin("ada"), board.user("ben"), board.user("cleo"));
    let (_, location) = board.organization("One", &[cleo]);
    let channel = board.public_channel(ben);
    for actor in [ben, ada] {
        let new = NewMessage { locations: vec![location], ..new_ticket(channel, None) };
        let message = board.run(ben, create(ben, new)).expect("created").output;
        assert!(matches!(board.run(cleo, delete(message.id)), Err(Error::Forbidden(_))));
        let change = board.run(actor, delete(message.id)).expect("deleted");
        assert_eq!(change.output, message.id);
        assert_event_of(change.event(), EventKind::MessageDeleted, &message, actor);
        assert_eq!(change.event().body, EventBody::None);
        assert!(!board.tables.messages.contains_key(&message.id));
    }
}

#[test]
fn nothing_finds_a_message_after_its_deletion_in_the_same_batch() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let channel = board.public_channel(ben);
    let id = board.message(ben, channel).id;
    let deleted = board.queue(ben, delete(id));
    let updated = board.queue(ada, update(ada, text_edit(id, "new")));
    let deleted_again = board.queue(ben, delete(id));
    let comment = crate::board::comments::tests::new_comment(id);
    let commented = board.queue(ada, crate::board::comments::tests::create(ada, comment));
    board.run_queue();
    assert_eq!(deleted.get(), Ok(id));
    assert_eq!(updated.get(), Err(Error::NotFound("message")));
    assert_eq!(deleted_again.get(), Err(Error::NotFound("message")));
    assert_eq!(commented.get(), Err(Error::NotFound("message")));
    assert_eq!(board.tables.log.last().map(|last| last.event.kind), Some(EventKind::MessageDeleted));
}

#[test]
fn a_provisional_id_finds_nothing_in_the_batch_that_creates_it() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let created = board.queue(ben, create(ben, new_message(channel)));
    let updated = board.queue(ben, update(ben, text_edit(PROVISIONAL, "new")));
    let deleted = board.queue(ben, delete(PROVISIONAL));
    let comment = crate::board::comments::tests::new_comment(PROVISIONAL);
    let commented = board.queue(ben, crate::board::comments::tests::create(ben, comment));
    board.run_queue();
    assert_eq!(created.get().expect("created").id, MessageId(1));
    assert_eq!(updated.get(), Err(Error::NotFound("message")));
    assert_eq!(deleted.get(), Err(Error::NotFound("message")));
    assert_eq!(commented.get(), Err(Error::NotFound("message")));
}

#[test]
fn messages_of_a_batch_get_ids_in_the_order_of_their_commands() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let answers: Vec<_> = (0..3).map(|_| board.queue(ben, create(ben, new_message(channel)))).collect();
    board.run_queue();
    let ids: Vec<_> = answers.into_iter().map(|answer| answer.get().expect("created").id.0).collect();
    assert_eq!(ids, [1, 2, 3]);
}
