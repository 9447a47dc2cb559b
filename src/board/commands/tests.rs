//! Unit tests of how the commands of viewers run.

use super::*;
use crate::board::NewMessage;
use crate::board::messages::tests::{create, new_message};
use crate::board::tests::BoardFixture;
use crate::error::Error;

/// A command of this viewer, as the writer runs it.
pub fn by_viewer<C: ViewerCommand>(viewer: Viewer, command: C) -> impl WriteCommand<Output = C::Output> {
    ByViewer { viewer, command }
}

#[test]
fn a_command_of_an_ended_session_is_refused() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let viewer = board.viewer(ben);
    board.tables.user_mut(ben).token_version += 1;
    let answer = board.queue_for(viewer, create(ben, new_message(channel)));
    board.run_queue();
    assert!(matches!(answer.get(), Err(Error::Unauthenticated(_))));
    assert!(board.tables.messages.is_empty());
}

#[test]
fn a_command_of_a_disabled_user_is_refused() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    board.tables.user_mut(ben).disabled = true;
    let refused = board.run(ben, create(ben, new_message(channel)));
    assert!(matches!(refused, Err(Error::Unauthenticated(_))));
}

#[test]
fn the_position_of_a_command_is_that_of_its_last_event() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let before = board.queue(ben, create(ben, new_message(channel)));
    let command = by_viewer(board.viewer(ben), create(ben, new_message(channel)));
    let (_, Position(end)) = board.run_for_server(WithPosition(command)).expect("a message").output;
    assert_eq!(end, board.tables.head().seq);
    assert!(before.get().expect("a message").cursor.seq < end);
}

#[test]
fn the_position_of_a_command_without_events_is_that_of_the_last_event_before_it() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let first = NewMessage { key: Some("key".into()), ..new_message(channel) };
    board.run(ben, create(ben, first.clone())).expect("a message");
    let command = by_viewer(board.viewer(ben), create(ben, first));
    let (_, Position(end)) = board.run_for_server(WithPosition(command)).expect("the same message").output;
    assert_eq!(end, board.tables.head().seq);
}
