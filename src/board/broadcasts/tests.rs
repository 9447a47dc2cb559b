//! Unit tests of the decisions about broadcasts.

use super::*;
use crate::board::tests::BoardFixture;
use crate::model::Visibility;

/// The command that sends a broadcast.
pub fn send(room: &str) -> impl ViewerCommand<Output = ()> {
    SendBroadcast { room: room.into(), payload: Arc::from("{}"), key: None }
}

#[test]
fn an_admin_may_send_to_every_room() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    for (name, visibility) in [("general", Visibility::Public), ("staff", Visibility::Private)] {
        let room = board.channel(ben, name, visibility);
        let change = board.run(ada, send(name)).expect("sent");
        let event = &change.event().event;
        assert_eq!((event.kind, event.object, event.actor), (EventKind::RoomBroadcast, room.0, Some(ada)));
        assert_eq!((event.channel, event.payload.as_deref()), (Some(room), Some("{}")));
        assert_eq!(change.event().body, EventBody::None);
    }
}

#[test]
fn other_users_may_not_send_not_even_to_their_own_room() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    board.public_channel(ben);
    assert!(matches!(board.run(ben, send("general")), Err(Error::Forbidden(_))));
}

#[test]
fn a_room_that_does_not_exist_is_not_found() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    assert_eq!(board.run(ada, send("general")).map(|change| change.output), Err(Error::NotFound("room")));
}
