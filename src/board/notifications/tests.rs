//! Unit tests of the decisions about notifications and announcements. `notification_rules` has tests of its own.

use super::*;
use crate::board::messages::tests as messages;
use crate::board::tests::BoardFixture;
use crate::error::Error;
use crate::model::{EventBody, EventKind};

/// The command that notifies a user or, without one, all users.
pub fn send(user: Option<UserId>) -> impl ViewerCommand<Output = Notification> {
    let text = NotificationText::Plain("text".into());
    let row = NewNotificationRow { user, title: "title".into(), text, priority: Priority::High, key: None };
    SendNotification { row, key: None }
}

/// The command that marks a notification as read.
pub fn mark_read(id: NotificationId) -> impl ViewerCommand<Output = Notification> {
    MarkNotificationRead(id)
}

#[test]
fn an_admin_may_notify_one_user_or_all() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    for user in [Some(ben), Some(ada), None] {
        let change = board.run(ada, send(user)).expect("sent");
        let notification = &change.output;
        assert_eq!((notification.title.as_str(), notification.message.as_str()), ("title", "text"));
        assert_eq!((notification.user_id, notification.priority), (user, Priority::High));
        assert_eq!((notification.message_id, notification.read_at), (None, None));
        let event = &change.event().event;
        assert_eq!(
            (event.kind, event.object, event.actor),
            (EventKind::NotificationAdded, notification.id.0, Some(ada))
        );
        assert_eq!((event.user, event.channel, event.cursor), (user, None, notification.cursor));
        assert_eq!(change.event().body, EventBody::Notification(Arc::new(notification.clone())));
        assert_eq!(board.tables.notifications[&notification.id], *notification);
    }
}

#[test]
fn other_users_may_not_notify() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    for user in [Some(ben), None, Some(UserId(99))] {
        assert!(matches!(board.run(ben, send(user)), Err(Error::Forbidden(_))));
    }
}

#[test]
fn a_recipient_who_does_not_exist_is_not_found() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    for user in [UserId(99), UserId(-1)] {
        assert_eq!(board.run(ada, send(Some(user))).map(|change| change.output), Err(Error::NotFound("user")));
    }
}

#[test]
fn a_user_reads_a_notification_once_and_without_an_event() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let id = board.run(ada, send(Some(ben))).expect("sent").output.id;
    let first_time = board.tables.now;
    let first = board.run(ben, mark_read(id)).expect("read");
    assert_eq!((first.output.read_at, first.events.len()), (Some(first_time), 0));
    board.tables.now = first_time.after(std::time::Duration::from_secs(1));
    let again = board.run(ben, mark_read(id)).expect("read").output;
    assert_eq!(again.read_at, Some(first_time));
    assert_eq!(board.tables.notifications[&id], again);
}

#[test]
fn notifications_of_other_users_are_not_found_not_even_by_admins() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo) = (board.admin("ada"), board.user("ben"), board.user("cleo"));
    let id = board.run(ada, send(Some(ben))).expect("sent").output.id;
    for reader in [ada, cleo] {
        let refused = board.run(reader, mark_read(id)).map(|change| change.output);
        assert_eq!(refused, Err(Error::NotFound("notification")));
    }
    for unknown in [NotificationId(99), NotificationId(-1)] {
        let refused = board.run(ben, mark_read(unknown)).map(|change| change.output);
        assert_eq!(refused, Err(Error::NotFound("notification")));
    }
}

#[test]
fn each_user_reads_an_announcement_once() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let sent = board.run(ada, send(None)).expect("sent").output;
    for reader in [ada, ben, ben] {
        let change = board.run(reader, mark_read(sent.id)).expect("read");
        // An announcement has no time of its own at which it was read.
        assert_eq!((change.output, change.events.len()), (sent.clone(), 0));
    }
    assert_eq!(Vec::from_iter(&board.tables.read_announcements), [&(sent.id, ada), &(sent.id, ben)]);
}

#[test]
fn the_second_reading_in_a_batch_changes_nothing() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let [own, announcement] = [Some(ben), None].map(|user| board.run(ada, send(user)).expect("sent").output.id);
    let answers = [own, announcement, own, announcement].map(|id| board.queue(ben, mark_read(id)));
    board.run_queue();
    let [first, _, second, _] = answers.map(|answer| answer.get().expect("read"));
    assert_eq!(first, second);
    assert_eq!(board.tables.read_announcements.len(), 1);
}

#[test]
fn a_provisional_id_of_a_notification_finds_nothing_in_the_batch_that_creates_it() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let sent = board.queue(ada, send(None));
    let read = board.queue(ada, mark_read(NotificationId(-1)));
    board.run_queue();
    assert_eq!(sent.get().expect("sent").id, NotificationId(1));
    assert_eq!(read.get(), Err(Error::NotFound("notification")));
}

#[test]
fn a_notification_names_its_message_until_that_is_deleted_also_in_the_same_batch() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let [first, second] = [(); 2].map(|()| board.ticket(ben, channel, Some(cleo)).id);
    let [about_first, about_second] = [0, 1].map(|index| board.notifications_of(cleo)[index].id);
    assert_eq!(board.run(cleo, mark_read(about_first)).expect("read").output.message_id, Some(first));
    board.run(ben, messages::delete(first)).expect("deleted");
    assert_eq!(board.run(cleo, mark_read(about_first)).expect("read").output.message_id, None);
    let deleted = board.queue(ben, messages::delete(second));
    let read = board.queue(cleo, mark_read(about_second));
    board.run_queue();
    deleted.get().expect("deleted");
    assert_eq!(read.get().expect("read").message_id, None);
}
