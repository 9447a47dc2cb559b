//! Unit tests of idempotency keys, with the commands that use them.

use crate::board::comments::tests as comments;
use crate::board::messages::tests as messages;
use crate::board::tests::BoardFixture;
use crate::board::{NewComment, NewMessage};
use crate::error::Error;
use crate::model::{ChannelId, MessageId};

fn message(channel: ChannelId, key: &str) -> NewMessage {
    NewMessage { key: Some(key.into()), ..messages::new_message(channel) }
}

fn comment(message: MessageId, key: &str) -> NewComment {
    NewComment { key: Some(key.into()), ..comments::new_comment(message) }
}

#[test]
fn a_repeated_key_returns_the_first_object_and_creates_nothing() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let first = board.run(ben, messages::create(ben, message(channel, "a"))).expect("created").output;
    let again = board.run(ben, messages::create(ben, message(channel, "a"))).expect("found");
    assert_eq!((again.output, again.events), (first.clone(), Vec::new()));
    let commented = board.run(ben, comments::create(ben, comment(first.id, "b"))).expect("created").output;
    let again = board.run(ben, comments::create(ben, comment(first.id, "b"))).expect("found");
    assert_eq!((again.output, again.events), (commented, Vec::new()));
    assert_eq!((board.tables.messages.len(), board.tables.comments.len()), (1, 1));
}

#[test]
fn a_key_that_is_repeated_in_one_batch_creates_one_object() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let about = board.message(ben, channel).id;
    let [first, second] = [(); 2].map(|()| board.queue(ben, messages::create(ben, message(channel, "a"))));
    let [third, fourth] = [(); 2].map(|()| board.queue(ben, comments::create(ben, comment(about, "b"))));
    let before = board.tables.log.len();
    board.run_queue();
    let created = first.get().expect("created");
    assert!(created.id.0 > 0 && created.cursor.seq.0 > 0, "{created:?}");
    assert_eq!(second.get(), Ok(created));
    let commented = third.get().expect("created");
    assert!(commented.id.0 > 0 && commented.cursor.seq.0 > 0, "{commented:?}");
    assert_eq!(fourth.get(), Ok(commented));
    assert_eq!(board.tables.log.len(), before + 2);
}

#[test]
fn a_key_with_another_input_is_a_conflict() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let id = board.run(ben, messages::create(ben, message(channel, "a"))).expect("created").output.id;
    let other = NewMessage { content: "other".into(), ..message(channel, "a") };
    assert!(matches!(board.run(ben, messages::create(ben, other)), Err(Error::Conflict(_))));
    let ticket = NewMessage { key: Some("a".into()), ..messages::new_ticket(channel, None) };
    assert!(matches!(board.run(ben, messages::create(ben, ticket)), Err(Error::Conflict(_))));
    assert!(matches!(board.run(ben, comments::create(ben, comment(id, "a"))), Err(Error::Conflict(_))));
}

#[test]
fn a_key_with_another_input_in_the_same_batch_is_a_conflict() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let first = board.queue(ben, messages::create(ben, message(channel, "a")));
    let other = NewMessage { content: "other".into(), ..message(channel, "a") };
    let second = board.queue(ben, messages::create(ben, other));
    board.run_queue();
    first.get().expect("created");
    assert!(matches!(second.get(), Err(Error::Conflict(_))));
    assert_eq!(board.tables.messages.len(), 1);
}

#[test]
fn each_author_has_keys_of_their_own() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let first = board.queue(ben, messages::create(ben, message(channel, "a")));
    let second = board.queue(cleo, messages::create(cleo, message(channel, "a")));
    board.run_queue();
    assert_ne!(first.get().expect("created").id, second.get().expect("created").id);
}

#[test]
fn a_refused_command_does_not_use_its_key() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let (private, public) = (board.private_channel(cleo, &[]), board.public_channel(ben));
    let refused = board.queue(ben, messages::create(ben, message(private, "a")));
    let created = board.queue(ben, messages::create(ben, message(public, "a")));
    board.run_queue();
    assert_eq!(refused.get(), Err(Error::NotFound("channel")));
    created.get().expect("created");
}

#[test]
fn an_object_that_the_author_no_longer_sees_is_not_returned() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.private_channel(cleo, &[ben]);
    let id = board.run(ben, messages::create(ben, message(channel, "a"))).expect("created").output.id;
    board.run(ben, comments::create(ben, comment(id, "b"))).expect("created");
    board.run(cleo, crate::board::channels::tests::remove_member(channel, ben)).expect("removed");
    let again = board.run(ben, messages::create(ben, message(channel, "a"))).map(|change| change.output);
    assert_eq!(again, Err(Error::NotFound("message")));
    let again = board.run(ben, comments::create(ben, comment(id, "b"))).map(|change| change.output);
    assert_eq!(again, Err(Error::NotFound("comment")));
}

#[test]
fn the_key_of_a_deleted_message_does_not_create_it_again() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let id = board.run(ben, messages::create(ben, message(channel, "a"))).expect("created").output.id;
    let deleted = board.queue(ben, messages::delete(id));
    let again = board.queue(ben, messages::create(ben, message(channel, "a")));
    board.run_queue();
    assert_eq!(deleted.get(), Ok(id));
    assert_eq!(again.get(), Err(Error::NotFound("message")));
    let later = board.run(ben, messages::create(ben, message(channel, "a"))).map(|change| change.output);
    assert_eq!(later, Err(Error::NotFound("message")));
}

#[test]
fn the_key_of_a_deleted_comment_can_be_used_again_also_in_the_same_batch() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let about = board.message(ben, channel).id;
    let first = board.run(ben, comments::create(ben, comment(about, "a"))).expect("created").output.id;
    let deleted = board.queue(ben, comments::delete(first));
    let again = board.queue(ben, comments::create(ben, comment(about, "a")));
    board.run_queue();
    assert_eq!(deleted.get(), Ok(first));
    assert_ne!(again.get().expect("created").id, first);
}
