//! Unit tests of the rules for automatic notifications, with the commands that apply them.

use super::*;
use crate::board::comments::tests as comments;
use crate::board::messages::tests as messages;
use crate::board::tests::{BoardFixture, unlimited};
use crate::board::{NewComment, NewMessage, NewTicket};
use crate::capacity::Rate;
use crate::model::{EventBody, EventKind};
use std::sync::Arc;

const ASSIGNED: &str = "A ticket is yours now";
const COMMENTED: &str = "A new comment";
const MENTIONED: &str = "You were mentioned";

#[test]
fn a_new_assignee_is_notified_with_the_priority_of_the_ticket() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let ticket = NewTicket { priority: Some(Priority::Urgent), assignee: Some(cleo) };
    let new = NewMessage { ticket: Some(ticket), ..messages::new_message(channel) };
    let change = board.run(ben, messages::create(ben, new)).expect("created");
    let id = change.output.id;
    let [notification] = board.notifications_of(cleo)[..] else { panic!("not exactly one notification") };
    assert_eq!((notification.title.as_str(), notification.priority), (ASSIGNED, Priority::Urgent));
    assert_eq!((notification.message_id, notification.read_at), (Some(id), None));
    let text = format!("\u{2068}ben the user\u{2069} assigned ticket {id} in \u{2068}general\u{2069} to you");
    assert_eq!(notification.message, text);
    let [_, logged] = &change.events[..] else { panic!("not exactly two events") };
    assert_eq!((logged.event.kind, logged.event.object), (EventKind::NotificationAdded, notification.id.0));
    assert_eq!((logged.event.user, logged.event.actor, logged.event.channel), (Some(cleo), Some(ben), None));
    assert_eq!(logged.event.cursor, notification.cursor);
    assert_eq!(logged.body, EventBody::Notification(Arc::new(notification.clone())));
}

#[test]
fn an_edit_notifies_an_assignee_only_if_the_assignee_is_new() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let id = board.ticket(ben, channel, None).id;
    for assignee in [Some(cleo), Some(cleo), None, Some(cleo)] {
        board.run(ben, messages::update(ben, messages::assign(id, assignee))).expect("updated");
    }
    board.run(ben, messages::update(ben, messages::text_edit(id, "new"))).expect("updated");
    assert_eq!(board.titles_of(cleo), [ASSIGNED, ASSIGNED]);
}

#[test]
fn a_comment_notifies_the_author_of_the_message_and_the_assignee() {
    let mut board = BoardFixture::new();
    let (ben, cleo, dan) = (board.user("ben"), board.user("cleo"), board.user("dan"));
    let channel = board.public_channel(ben);
    let (message, ticket) = (board.message(ben, channel).id, board.ticket(ben, channel, Some(cleo)).id);
    board.comment(dan, message);
    board.comment(dan, ticket);
    let texts = |board: &BoardFixture, user| -> Vec<String> {
        let about_comments = board.notifications_of(user).into_iter().filter(|one| one.title == COMMENTED);
        about_comments.map(|one| one.message.replace(['\u{2068}', '\u{2069}'], "")).collect()
    };
    let of_message = format!("dan the user commented on your message {message} in general");
    let of_ticket = format!("dan the user commented on your ticket {ticket} in general");
    assert_eq!(texts(&board, ben), [of_message, of_ticket]);
    assert_eq!(texts(&board, cleo), [format!("dan the user commented on the ticket {ticket} in general")]);
    assert!(board.notifications_of(dan).is_empty());
}

#[test]
fn a_comment_notifies_the_assignee_that_the_same_batch_has_set() {
    let mut board = BoardFixture::new();
    let (ben, cleo, dan) = (board.user("ben"), board.user("cleo"), board.user("dan"));
    let channel = board.public_channel(ben);
    let ticket = board.ticket(ben, channel, Some(dan)).id;
    let assigned = board.queue(ben, messages::update(ben, messages::assign(ticket, Some(cleo))));
    let commented = board.queue(ben, comments::create(ben, comments::new_comment(ticket)));
    board.run_queue();
    assigned.get().and(commented.get().map(drop)).expect("both are written");
    assert_eq!(board.titles_of(cleo), [ASSIGNED, COMMENTED]);
    assert_eq!(board.titles_of(dan), [ASSIGNED]);
}

#[test]
fn mentions_in_titles_and_texts_and_comments_notify() {
    let mut board = BoardFixture::new();
    let (ben, cleo, dan, eve) = (board.user("ben"), board.user("cleo"), board.user("dan"), board.user("eve"));
    let channel = board.public_channel(ben);
    let title = Some("for @cleo".to_owned());
    let new = NewMessage { title, content: "and @Dan.".into(), ..messages::new_message(channel) };
    let id = board.run(ben, messages::create(ben, new)).expect("created").output.id;
    let comment = NewComment { content: "what about @eve?".into(), ..comments::new_comment(id) };
    board.run(cleo, comments::create(cleo, comment)).expect("created");
    for user in [cleo, dan, eve] {
        assert_eq!(board.titles_of(user), [MENTIONED]);
    }
    let text = board.notifications_of(eve)[0].message.replace(['\u{2068}', '\u{2069}'], "");
    assert_eq!(text, format!("cleo the user mentioned you at message {id} in general"));
}

#[test]
fn an_edit_notifies_only_users_whom_the_text_did_not_mention_before() {
    let mut board = BoardFixture::new();
    let (ben, cleo, dan) = (board.user("ben"), board.user("cleo"), board.user("dan"));
    let channel = board.public_channel(ben);
    let id = board.message(ben, channel).id;
    let comment = board.comment(ben, id).id;
    for text in ["@cleo", "@cleo and @dan", "nobody", "@dan"] {
        board.run(ben, messages::update(ben, messages::text_edit(id, text))).expect("updated");
    }
    assert_eq!((board.titles_of(cleo).len(), board.titles_of(dan).len()), (1, 2));
    for text in ["@cleo", "@cleo and @dan"] {
        board.run(ben, comments::update(ben, comments::edit(comment, text))).expect("updated");
    }
    assert_eq!((board.titles_of(cleo).len(), board.titles_of(dan).len()), (2, 3));
}

#[test]
fn users_are_not_notified_of_their_own_changes() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let new = NewMessage { content: "@ben".into(), ..messages::new_ticket(channel, Some(ben)) };
    let id = board.run(ben, messages::create(ben, new)).expect("created").output.id;
    let comment = NewComment { content: "@ben".into(), ..comments::new_comment(id) };
    board.run(ben, comments::create(ben, comment)).expect("created");
    assert!(board.tables.notifications.is_empty());
}

#[test]
fn a_user_gets_one_notification_for_one_change_for_the_first_reason() {
    let mut board = BoardFixture::new();
    let (ben, cleo, dan) = (board.user("ben"), board.user("cleo"), board.user("dan"));
    let channel = board.public_channel(ben);
    let new = NewMessage { content: "@cleo @CLEO".into(), ..messages::new_ticket(channel, Some(cleo)) };
    let id = board.run(ben, messages::create(ben, new)).expect("created").output.id;
    let comment = NewComment { content: "@ben @cleo".into(), ..comments::new_comment(id) };
    board.run(dan, comments::create(dan, comment)).expect("created");
    assert_eq!(board.titles_of(cleo), [ASSIGNED, COMMENTED]);
    assert_eq!(board.titles_of(ben), [COMMENTED]);
}

#[test]
fn users_who_may_not_read_the_message_are_not_notified() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo, dan) = (board.admin("ada"), board.user("ben"), board.user("cleo"), board.user("dan"));
    let (_, location) = board.organization("One", &[cleo]);
    let (public, private) = (board.public_channel(ben), board.private_channel(ben, &[dan]));
    let text = "@ada @ben @cleo @dan";
    let restricted = NewMessage { content: text.into(), locations: vec![location], ..messages::new_message(public) };
    board.run(ben, messages::create(ben, restricted)).expect("created");
    let hidden = NewMessage { content: text.into(), ..messages::new_message(private) };
    board.run(ben, messages::create(ben, hidden)).expect("created");
    assert_eq!(board.titles_of(ada), [MENTIONED, MENTIONED], "an admin reads both");
    assert_eq!(board.titles_of(cleo), [MENTIONED], "cleo reads the one for the location");
    assert_eq!(board.titles_of(dan), [MENTIONED], "dan reads the one in the private channel");
}

#[test]
fn an_author_who_lost_access_is_not_notified_of_a_comment() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let private = board.private_channel(ben, &[cleo]);
    let id = board.message(cleo, private).id;
    board.run(ben, crate::board::channels::tests::remove_member(private, cleo)).expect("removed");
    board.comment(ben, id);
    assert!(board.tables.notifications.is_empty());
}

#[test]
fn disabled_users_are_not_notified() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let id = board.message(cleo, channel).id;
    board.tables.user_mut(cleo).disabled = true;
    let comment = NewComment { content: "@cleo".into(), ..comments::new_comment(id) };
    board.run(ben, comments::create(ben, comment)).expect("created");
    assert!(board.tables.notifications.is_empty());
}

#[test]
fn a_notification_contains_nothing_of_the_text() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let secret = NewMessage {
        title: Some("secret title".into()),
        content: "@cleo secret".into(),
        ..messages::new_message(channel)
    };
    board.run(ben, messages::create(ben, secret)).expect("created");
    let notification = board.notifications_of(cleo)[0];
    assert!(!format!("{} {}", notification.title, notification.message).contains("secret"));
}

#[test]
fn at_most_twenty_mentions_of_a_change_notify() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let names: Vec<String> = (0..MAX_MENTIONS + 5).map(|number| format!("u{number}")).collect();
    for name in &names {
        board.user(name);
    }
    let content = names.iter().map(|name| format!("@{name} ")).collect();
    let new = NewMessage { content, ..messages::new_message(channel) };
    let change = board.run(ben, messages::create(ben, new)).expect("created");
    assert_eq!(change.events.len(), 1 + MAX_MENTIONS);
}

#[test]
fn mentions_take_permits_and_those_beyond_the_budget_name_no_user() {
    let budget = RateLimiter::new(Rate::per_minute(3));
    let limits = [0, 1, 2].map(|_| Mentions::new(&budget, UserId(1), &["@ben @cleo"]).limit);
    assert_eq!(limits, [2, 1, 0]);
    assert_eq!(Mentions::new(&budget, UserId(2), &["@ben @cleo"]).limit, 2, "each author has a budget");
    assert_eq!(Mentions::new(&unlimited(), UserId(1), &["@ben @Ben", "@ben"]).limit, 1, "a name counts once");
}

#[test]
fn exhausted_mentions_notify_no_user() {
    let mut board = BoardFixture::new();
    let (ben, cleo) = (board.user("ben"), board.user("cleo"));
    let channel = board.public_channel(ben);
    let message = board.message(ben, channel);
    let state = board.state(ben);
    let mut mentions = Mentions::new(&unlimited(), ben, &["@cleo"]);
    mentions.limit = 0;
    let everything = board.tables.state(&board.tables.everything(&state.rights));
    let mut fanout = NotificationFanout::new(&message, &state);
    fanout.add_mentioned(&everything, &[], &mentions);
    assert!(fanout.recipients.is_empty());
    mentions.limit = 1;
    fanout.add_mentioned(&everything, &[], &mentions);
    assert_eq!(fanout.recipients, [(cleo, Reason::Mentioned)]);
}
