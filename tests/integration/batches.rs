//! Commands that run in one batch of the writer.

use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Waker};

use tidings::board::{NewComment, NewMessage, NewTicket, Viewer};
use tidings::error::Error;
use tidings::model::{ChannelId, NotificationId, UserId};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{Server, Session};

/// Keeps the writer busy until it is released, so that it then takes all queued commands together.
struct HeldWriter {
    release: mpsc::Sender<()>,
    holding: JoinHandle<tidings::error::Result<()>>,
}

impl HeldWriter {
    async fn new(server: &Server) -> Self {
        let (entered, entering) = oneshot::channel();
        let (release, released) = mpsc::channel();
        let (store, mut entered) = (server.board().store().clone(), Some(entered));
        let holding = tokio::spawn(async move {
            let job = move |_: &mut tidings::store::Db| {
                let _ = entered.take().map(|entered| entered.send(()));
                released.recv().map_err(Error::internal)
            };
            store.maintain(job).await
        });
        entering.await.expect("the writer runs the job");
        Self { release, holding }
    }

    async fn release(self) {
        self.release.send(()).expect("the writer waits");
        self.holding.await.expect("join").expect("the job");
    }
}

/// Polls a future once. For a command this is when it is queued.
fn queue<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    future
}

async fn viewer(server: &Server, session: &Session) -> Viewer {
    server.board().accounts.authenticate(&session.token).await.expect("a valid session").0
}

fn new_message(channel: ChannelId, ticket: Option<NewTicket>) -> NewMessage {
    NewMessage { channel, title: None, content: "text".into(), locations: Vec::new(), ticket, key: None }
}

#[tokio::test]
async fn the_key_of_a_comment_can_be_used_again_in_the_batch_that_deletes_the_comment() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = ChannelId(server.channel(&ann, "general").await.parse().expect("an id"));
    let (board, ann) = (server.board(), viewer(&server, &ann).await);
    let message = board.messages.create(&ann, new_message(channel, None)).await.expect("a message").id;
    let new = || NewComment { message, content: "comment".into(), key: Some("key".into()) };
    let first = board.comments.create(&ann, new()).await.expect("a comment").id;
    let (outdated, failures) = (board.store().counts().outdated.get(), board.store().counts().failures.get());
    let held = HeldWriter::new(&server).await;
    let deleting = queue(board.comments.delete(&ann, first));
    let creating = queue(board.comments.create(&ann, new()));
    let repeating = queue(board.comments.create(&ann, new()));
    held.release().await;
    assert_eq!(deleting.await, Ok(first));
    let created = creating.await.expect("a new comment");
    assert_ne!(created.id, first);
    assert_eq!(repeating.await.as_ref(), Ok(&created));
    assert_eq!(board.comments.create(&ann, new()).await, Ok(created));
    // The first attempt was written.
    assert_eq!(board.store().counts().outdated.get(), outdated);
    assert_eq!(board.store().counts().failures.get(), failures);
}

#[tokio::test]
async fn a_notification_does_not_name_a_message_that_its_batch_or_its_channel_deleted() {
    let server = Server::start().await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let assignee = Some(UserId(bob.id.parse().expect("an id")));
    let channel = ChannelId(server.channel(&ann, "general").await.parse().expect("an id"));
    let (board, ann, bob) = (server.board(), viewer(&server, &ann).await, viewer(&server, &bob).await);
    let mut tickets = Vec::new();
    for _ in 0..2 {
        let ticket = new_message(channel, Some(NewTicket { priority: None, assignee }));
        tickets.push(board.messages.create(&ann, ticket).await.expect("a ticket").id);
    }
    let (unread, _, _) = board.notifications.unread_after(&bob, None).await.expect("notifications");
    let [first, second]: [NotificationId; 2] = [unread[0].id, unread[1].id];
    assert_eq!(unread[0].message_id, Some(tickets[0]));
    let held = HeldWriter::new(&server).await;
    let deleting = queue(board.messages.delete(&ann, tickets[0]));
    let reading = queue(board.notifications.mark_read(&bob, first));
    held.release().await;
    deleting.await.expect("deleted");
    assert_eq!(reading.await.expect("read").message_id, None);
    board.channels.delete(&ann, channel).await.expect("deleted");
    assert_eq!(board.notifications.mark_read(&bob, second).await.expect("read").message_id, None);
}
