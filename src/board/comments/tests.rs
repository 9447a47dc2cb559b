//! Unit tests of the decisions about comments. `notification_rules` and `idempotency` have tests of their own.

use super::*;
use crate::board::messages::tests as messages;
use crate::board::tests::{BoardFixture, POLICY, unlimited};
use crate::board::{NewMessage, channels};
use crate::model::{LoggedEvent, Visibility};

/// A comment with a text.
pub fn new_comment(message: MessageId) -> NewComment {
    NewComment { message, content: "comment".into(), key: None }
}

/// The command that creates a comment.
pub fn create(author: UserId, new: NewComment) -> impl ViewerCommand<Output = Comment> {
    CreateComment::new(new, author, &POLICY, &unlimited()).expect("valid input")
}

/// An edit of the text.
pub fn edit(id: CommentId, content: &str) -> CommentEdit {
    CommentEdit { id, content: content.into(), if_cursor: None }
}

/// The command that changes a comment.
pub fn update(actor: UserId, edit: CommentEdit) -> impl ViewerCommand<Output = Comment> {
    UpdateComment::new(edit, actor, &POLICY, &unlimited()).expect("valid input")
}

/// The command that deletes a comment.
pub fn delete(id: CommentId) -> impl ViewerCommand<Output = CommentId> {
    DeleteComment(id)
}

/// Checks that an event of a comment reaches the readers of its message.
fn assert_event_of(logged: &LoggedEvent, kind: EventKind, id: CommentId, message: &Message, actor: UserId) {
    let event = &logged.event;
    assert_eq!((event.kind, event.object, event.actor), (kind, id.0, Some(actor)));
    assert_eq!((event.channel, event.message), (Some(message.channel_id), Some(message.id)));
    assert_eq!((&event.audience, event.owner), (&message.audience, Some(message.author_id)));
    assert_eq!((event.user, event.ticket), (None, message.ticket.is_some()));
}

/// A ticket of ben for the location of cleo.
fn restricted_ticket(board: &mut BoardFixture, ben: UserId, cleo: UserId) -> Message {
    let (_, location) = board.organization("One", &[cleo]);
    let channel = board.public_channel(ben);
    let new = NewMessage { locations: vec![location], ..messages::new_ticket(channel, None) };
    board.run(ben, messages::create(ben, new)).expect("created").output
}

#[test]
fn every_reader_of_a_message_may_comment_on_it() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo) = (board.admin("ada"), board.user("ben"), board.user("cleo"));
    let message = restricted_ticket(&mut board, ben, cleo);
    for author in [ada, ben, cleo] {
        let change = board.run(author, create(author, new_comment(message.id))).expect("created");
        let (comment, first) = (&change.output, &change.events[0]);
        assert_eq!((comment.message_id, comment.author_id, comment.content.as_str()), (message.id, author, "comment"));
        assert_event_of(first, EventKind::CommentAdded, comment.id, &message, author);
        assert_eq!(first.body, EventBody::Comment(Arc::new(comment.clone())));
        assert_eq!(first.event.cursor, comment.cursor);
        assert_eq!(board.tables.comments[&comment.id], *comment);
    }
}

#[test]
fn a_message_that_the_author_cannot_see_is_not_found() {
    let mut board = BoardFixture::new();
    let (ben, cleo, dan) = (board.user("ben"), board.user("cleo"), board.user("dan"));
    let restricted = restricted_ticket(&mut board, ben, cleo).id;
    let private = board.private_channel(ben, &[]);
    let hidden = board.message(ben, private).id;
    for id in [restricted, hidden, MessageId(99), MessageId(-1)] {
        let refused = board.run(dan, create(dan, new_comment(id))).map(|change| change.output);
        assert_eq!(refused, Err(Error::NotFound("message")), "{id}");
    }
}

#[test]
fn invalid_texts_of_comments_are_refused() {
    for content in [String::new(), " \t".into(), "x".repeat(POLICY.max_content + 1)] {
        let new = NewComment { content: content.clone(), ..new_comment(MessageId(1)) };
        let created = CreateComment::new(new, UserId(1), &POLICY, &unlimited()).map(drop);
        assert!(matches!(created, Err(Error::BadInput { field, .. }) if field == "content"));
        let updated = UpdateComment::new(edit(CommentId(1), &content), UserId(1), &POLICY, &unlimited()).map(drop);
        assert!(matches!(updated, Err(Error::BadInput { field, .. }) if field == "content"));
    }
}

#[test]
fn the_author_of_a_comment_and_admins_may_change_and_delete_it() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo) = (board.admin("ada"), board.user("ben"), board.user("cleo"));
    let message = restricted_ticket(&mut board, ben, cleo);
    for actor in [ada, cleo] {
        let comment = board.comment(cleo, message.id);
        let change = board.run(actor, update(actor, edit(comment.id, "new"))).expect("updated");
        let updated = Comment { content: "new".into(), cursor: change.output.cursor, ..comment.clone() };
        assert_eq!(change.output, updated);
        assert_event_of(change.event(), EventKind::CommentUpdated, comment.id, &message, actor);
        assert_eq!(change.event().body, EventBody::Comment(Arc::new(updated.clone())));
        assert_eq!((change.event().event.cursor, &board.tables.comments[&comment.id]), (updated.cursor, &updated));
        let change = board.run(actor, delete(comment.id)).expect("deleted");
        assert_event_of(change.event(), EventKind::CommentDeleted, comment.id, &message, actor);
        assert_eq!((change.output, &change.event().body), (comment.id, &EventBody::None));
        assert!(!board.tables.comments.contains_key(&comment.id));
    }
}

#[test]
fn other_readers_may_not_change_a_comment_and_the_author_of_the_message_neither() {
    let mut board = BoardFixture::new();
    let (ben, cleo, dan) = (board.user("ben"), board.user("cleo"), board.user("dan"));
    let channel = board.public_channel(ben);
    let message = board.message(ben, channel).id;
    let comment = board.comment(cleo, message).id;
    for actor in [ben, dan] {
        assert!(matches!(board.run(actor, update(actor, edit(comment, "new"))), Err(Error::Forbidden(_))));
        assert!(matches!(board.run(actor, delete(comment)), Err(Error::Forbidden(_))));
    }
}

#[test]
fn a_comment_that_the_actor_cannot_see_is_not_found() {
    let mut board = BoardFixture::new();
    let (ben, cleo, dan) = (board.user("ben"), board.user("cleo"), board.user("dan"));
    let message = restricted_ticket(&mut board, ben, cleo);
    let restricted = board.comment(cleo, message.id).id;
    let doomed = board.channel(ben, "doomed", Visibility::Public);
    let in_doomed = board.message(ben, doomed).id;
    let in_doomed = board.comment(dan, in_doomed).id;
    board.run(ben, channels::tests::delete(doomed)).expect("deleted");
    let gone = board.message(ben, message.channel_id).id;
    let of_gone = board.comment(dan, gone).id;
    board.run(ben, messages::delete(gone)).expect("deleted");
    for id in [restricted, in_doomed, of_gone, CommentId(99), CommentId(-1)] {
        let updated = board.run(dan, update(dan, edit(id, "new"))).map(|change| change.output);
        assert_eq!(updated, Err(Error::NotFound("comment")), "{id}");
        let deleted = board.run(dan, delete(id)).map(|change| change.output);
        assert_eq!(deleted, Err(Error::NotFound("comment")), "{id}");
    }
}

#[test]
fn an_edit_of_another_version_of_a_comment_is_a_conflict() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let message = board.message(ben, channel).id;
    let before = board.comment(ben, message);
    let if_unchanged = |text: &str| CommentEdit { if_cursor: Some(before.cursor), ..edit(before.id, text) };
    let first = board.queue(ben, update(ben, if_unchanged("first")));
    let second = board.queue(ben, update(ben, if_unchanged("second")));
    board.run_queue();
    let after = first.get().expect("updated");
    assert!(matches!(second.get(), Err(Error::Conflict(_))));
    assert!(matches!(board.run(ben, update(ben, if_unchanged("third"))), Err(Error::Conflict(_))));
    let if_first = CommentEdit { if_cursor: Some(after.cursor), ..edit(before.id, "fourth") };
    assert_eq!(board.run(ben, update(ben, if_first)).expect("updated").output.content, "fourth");
}

#[test]
fn nothing_finds_a_comment_after_its_deletion_in_the_same_batch() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let message = board.message(ben, channel).id;
    let [first, second] = [(); 2].map(|()| board.comment(ben, message).id);
    let deleted = board.queue(ben, delete(first));
    let updated = board.queue(ben, update(ben, edit(first, "new")));
    let message_deleted = board.queue(ben, messages::delete(message));
    let of_deleted_message = board.queue(ben, delete(second));
    board.run_queue();
    assert_eq!(deleted.get(), Ok(first));
    assert_eq!(updated.get(), Err(Error::NotFound("comment")));
    assert_eq!(message_deleted.get(), Ok(message));
    assert_eq!(of_deleted_message.get(), Err(Error::NotFound("comment")));
}

#[test]
fn a_provisional_id_of_a_comment_finds_nothing_in_the_batch_that_creates_it() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let message = board.message(ben, channel).id;
    let created = board.queue(ben, create(ben, new_comment(message)));
    let updated = board.queue(ben, update(ben, edit(CommentId(-1), "new")));
    let deleted = board.queue(ben, delete(CommentId(-1)));
    board.run_queue();
    assert_eq!(created.get().expect("created").id, CommentId(1));
    assert_eq!(updated.get(), Err(Error::NotFound("comment")));
    assert_eq!(deleted.get(), Err(Error::NotFound("comment")));
}

#[test]
fn a_comment_sees_the_ticket_that_its_message_became_in_the_same_batch() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let message = board.message(ben, channel).id;
    let ticket = board.queue(ben, messages::update(ben, messages::assign(message, None)));
    let commented = board.queue(cleo, create(cleo, new_comment(message)));
    board.run_queue();
    let (ticket, comment) = (ticket.get().expect("updated"), commented.get().expect("created"));
    let logged = board.tables.log.iter().find(|logged| logged.event.kind == EventKind::CommentAdded);
    assert_event_of(logged.expect("an event"), EventKind::CommentAdded, comment.id, &ticket, cleo);
    assert!(ticket.ticket.is_some());
}
