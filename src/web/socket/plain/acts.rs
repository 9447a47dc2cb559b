//! What clients of plain JSON have done: each ends with what is to be said of it.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::followed::{Followed, What};
use super::said::{NewText, Subject};
use super::{Actor, Done, Site, frames};
use crate::board::NewMessage;
use crate::error::Result;
use crate::live::{LogRequest, Subscription, SubscriptionRequest, Target};
use crate::model::{Cursor, EventKind, KindSet};

/// What is shown of a room.
const ROOM: KindSet = KindSet::of(&[
    EventKind::MessageAdded,
    EventKind::MessageUpdated,
    EventKind::MessageDeleted,
    EventKind::RoomBroadcast,
]);
/// What is shown of tickets.
const TICKET: KindSet = KindSet::of(&[
    EventKind::MessageAdded,
    EventKind::MessageUpdated,
    EventKind::MessageDeleted,
    EventKind::CommentAdded,
]);

/// Follows something.
pub fn subscribe(site: &Site, actor: Actor, subject: Subject, after: Option<Cursor>) -> BoxFuture<'static, Done> {
    let site = site.clone();
    async move {
        let (what, era) = (What::Subject(subject), site.board.era());
        match Subscription::open(&site.board, &actor.viewer, request(subject, after)).await {
            Ok(subscription) => {
                let with_unread = subject == Subject::Notifications && after.is_none();
                let followed = Followed::new(&site, what, subscription, actor.viewer, with_unread, era);
                Done { frames: vec![frames::subscribed(subject)], followed: Some(followed) }
            }
            Err(error) => Done::say(frames::error(&error, &frames::Context::subject(subject))),
        }
    }
    .boxed()
}

fn request(subject: Subject, after: Option<Cursor>) -> SubscriptionRequest {
    let log = |target, kinds, tickets_only| {
        SubscriptionRequest::Log(LogRequest { target, kinds, tickets_only, exclude_own: false, after })
    };
    match subject {
        Subject::Dashboard => SubscriptionRequest::Metrics(None),
        Subject::Notifications => log(Target::Notifications, KindSet::of(&[EventKind::NotificationAdded]), false),
        Subject::Tickets => log(Target::Everything, TICKET, true),
        Subject::Ticket(id) => log(Target::Message(None, id), TICKET, true),
    }
}

/// Enters a room, which is made if it is not there.
pub fn join(site: &Site, actor: Actor, room: String, after: Option<Cursor>) -> BoxFuture<'static, Done> {
    let site = site.clone();
    async move {
        let joining = async {
            let (viewer, name) = (actor.viewer.clone(), room.clone());
            let channel =
                site.engine.write(viewer.party(), |board| async move { board.room(&viewer, &name).await }).await?;
            let target = Target::Channel(channel.id);
            let request = LogRequest { target, kinds: ROOM, tickets_only: false, exclude_own: false, after };
            let request = SubscriptionRequest::Log(request);
            let era = site.board.era();
            let subscription = Subscription::open(&site.board, &actor.viewer, request).await?;
            let what = What::Room(room.as_str().into());
            Ok(Followed::new(&site, what, subscription, actor.viewer.clone(), false, era))
        };
        let joined: Result<Followed> = joining.await;
        match joined {
            Ok(followed) => Done { frames: vec![frames::joined(&room)], followed: Some(followed) },
            Err(error) => Done::say(frames::error(&error, &frames::Context::room(&room))),
        }
    }
    .boxed()
}

/// Posts a message.
pub fn post(site: &Site, actor: Actor, new: NewText) -> BoxFuture<'static, Done> {
    let site = site.clone();
    async move {
        let NewText { room, text, key } = new;
        let (viewer, name, same_key) = (actor.viewer, room.clone(), key.clone());
        let posting = site.engine.write(viewer.party(), |board| async move {
            let channel = board.known_room(&viewer, &name).await?.id;
            let message =
                NewMessage { channel, title: None, content: text, locations: Vec::new(), ticket: None, key: same_key };
            board.create_message(&viewer, message).await
        });
        Done::say(match posting.await {
            Ok(message) => frames::sent(key.as_deref(), &message),
            Err(error) => {
                let mut context = frames::Context::room(&room);
                context.0.extend(key.map(|key| ("key", key)));
                frames::error(&error, &context)
            }
        })
    }
    .boxed()
}
