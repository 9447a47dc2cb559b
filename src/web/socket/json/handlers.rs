//! Executes requests of plain JSON clients. Each one ends with the frames to send.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::client_message::{NewRoomEvent, NewRoomMessage, NewRoomSignal, RoomEvents, Subject};
use super::outcome::HandlerResult;
use super::server_message;
use super::subscription::{PlainSubscription, SubscriptionKey};
use crate::board::{ChannelAddress, NewAppEvent, NewMessage};
use crate::error::{Error, Result};
use crate::graphql::Caller;
use crate::live::{LogRequest, SignalRequest, Subscription, SubscriptionRequest, Target};
use crate::model::{Cursor, EventKind, KindSet};
use crate::web::state::AppState;

/// The kinds of events that a subscription to a room delivers.
const ROOM_KINDS: KindSet = KindSet::of(&[
    EventKind::MessageAdded,
    EventKind::MessageUpdated,
    EventKind::MessageDeleted,
    EventKind::RoomBroadcast,
]);
/// The kinds of events that a subscription to tickets delivers.
const TICKET_KINDS: KindSet = KindSet::of(&[
    EventKind::MessageAdded,
    EventKind::MessageUpdated,
    EventKind::MessageDeleted,
    EventKind::CommentAdded,
]);

/// Opens a subscription.
pub fn subscribe(
    site: &Arc<AppState>,
    actor: Caller,
    subject: Subject,
    after: Option<Cursor>,
) -> BoxFuture<'static, HandlerResult> {
    let site = Arc::clone(site);
    async move {
        let (what, era) = (SubscriptionKey::Subject(subject), site.board.log.era());
        match Subscription::open(&site.board, &actor.viewer, request(subject, after)).await {
            Ok(subscription) => {
                let with_unread = subject == Subject::Notifications && after.is_none();
                let followed = PlainSubscription::new(&site, what, subscription, actor.viewer, with_unread, era);
                HandlerResult::subscription(server_message::subscribed(subject), followed)
            }
            Err(error) => HandlerResult::failure(error, &server_message::ErrorContext::subject(subject)),
        }
    }
    .boxed()
}

fn request(subject: Subject, after: Option<Cursor>) -> SubscriptionRequest {
    let log = |target, kinds, tickets_only| {
        SubscriptionRequest::Log(LogRequest { target, kinds, types: None, tickets_only, exclude_own: false, after })
    };
    match subject {
        Subject::Dashboard => SubscriptionRequest::Metrics(None),
        Subject::Notifications => log(Target::Notifications, KindSet::of(&[EventKind::NotificationAdded]), false),
        Subject::Tickets => log(Target::Everything, TICKET_KINDS, true),
        Subject::Ticket(id) => log(Target::Message(None, id), TICKET_KINDS, true),
    }
}

/// Opens a subscription to a room, and creates the room if it does not exist.
pub fn join(
    site: &Arc<AppState>,
    actor: Caller,
    room: String,
    after: Option<Cursor>,
) -> BoxFuture<'static, HandlerResult> {
    let site = Arc::clone(site);
    async move {
        let opening = async {
            let (viewer, name) = (actor.viewer.clone(), room.clone());
            let channel = site
                .engine
                .write(viewer.party(), |board| async move { board.channels.find_or_create_room(&viewer, &name).await })
                .await?;
            let target = Target::Channel(channel.id);
            let (kinds, types) = (ROOM_KINDS, None);
            let request = LogRequest { target, kinds, types, tickets_only: false, exclude_own: false, after };
            let (channel, types) = (channel.id, None);
            let request = SubscriptionRequest::Signals(SignalRequest { channel, types, events: request });
            let era = site.board.log.era();
            let subscription = Subscription::open(&site.board, &actor.viewer, request).await?;
            let what = SubscriptionKey::Room(room.as_str().into());
            Ok(PlainSubscription::new(&site, what, subscription, actor.viewer.clone(), false, era))
        };
        let result: Result<PlainSubscription> = opening.await;
        match result {
            Ok(followed) => HandlerResult::subscription(server_message::joined(&room), followed),
            Err(error) => HandlerResult::failure(error, &server_message::ErrorContext::room(&room)),
        }
    }
    .boxed()
}

/// Opens a subscription to the application events of an existing room.
pub fn follow(
    site: &Arc<AppState>,
    actor: Caller,
    wanted: RoomEvents,
    after: Option<Cursor>,
) -> BoxFuture<'static, HandlerResult> {
    let site = Arc::clone(site);
    async move {
        let opening = async {
            let channel = site.board.channels.room(&actor.viewer, &wanted.room).await?;
            let (target, kinds) = (Target::Channel(channel.id), KindSet::of(&[EventKind::AppEvent]));
            let types = wanted.types.clone();
            let request = LogRequest { target, kinds, types, tickets_only: false, exclude_own: false, after };
            let era = site.board.log.era();
            let subscription =
                Subscription::open(&site.board, &actor.viewer, SubscriptionRequest::Log(request)).await?;
            let what = SubscriptionKey::Events(wanted.room.as_str().into());
            Ok(PlainSubscription::new(&site, what, subscription, actor.viewer.clone(), false, era))
        };
        let result: Result<PlainSubscription> = opening.await;
        match result {
            Ok(followed) => HandlerResult::subscription(server_message::following(&wanted), followed),
            Err(error) => HandlerResult::failure(error, &server_message::ErrorContext::room(&wanted.room)),
        }
    }
    .boxed()
}

/// Publishes an application event in an existing room.
pub fn publish(site: &Arc<AppState>, actor: Caller, new: NewRoomEvent) -> BoxFuture<'static, HandlerResult> {
    let site = Arc::clone(site);
    async move {
        let NewRoomEvent { room, event, data, key } = new;
        let (channel, same_key) = (ChannelAddress::Name(room.clone()), key.clone());
        let new = NewAppEvent { channel, app_type: event, data, key: same_key, locations: Vec::new() };
        let viewer = actor.viewer;
        let write =
            site.engine.write(viewer.party(), |board| async move { board.app_events.publish(&viewer, new).await });
        match write.await {
            Ok(published) => HandlerResult::message(server_message::published(key.as_deref(), published.event.cursor)),
            Err(error) => {
                let mut context = server_message::ErrorContext::room(&room);
                context.0.extend(key.map(|key| ("key", key)));
                HandlerResult::failure(with_type_as("event", error), &context)
            }
        }
    }
    .boxed()
}

/// Sends a signal to those who are in an existing room.
pub fn signal(site: &Arc<AppState>, actor: Caller, new: NewRoomSignal) -> BoxFuture<'static, HandlerResult> {
    let site = Arc::clone(site);
    async move {
        let NewRoomSignal { room, signal, data } = new;
        let (viewer, name) = (actor.viewer, room.clone());
        let write = site.engine.write(viewer.party(), |board| async move {
            let channel = board.channels.room(&viewer, &name).await?.id;
            board.signals.send(&viewer, channel, &signal, data).await
        });
        match write.await {
            Ok(()) => HandlerResult::done(),
            Err(error) => {
                HandlerResult::failure(with_type_as("signal", error), &server_message::ErrorContext::room(&room))
            }
        }
    }
    .boxed()
}

/// The error with the name of the field that this protocol has instead of `type`, which is the type of the frame.
fn with_type_as(name: &'static str, error: Error) -> Error {
    match error {
        Error::BadInput { field, message } if field == "type" => Error::input(name, message.replacen("type", name, 1)),
        error => error,
    }
}

/// Posts a message to an existing room.
pub fn post(site: &Arc<AppState>, actor: Caller, new: NewRoomMessage) -> BoxFuture<'static, HandlerResult> {
    let site = Arc::clone(site);
    async move {
        let NewRoomMessage { room, text, key } = new;
        let (viewer, name, same_key) = (actor.viewer, room.clone(), key.clone());
        let write = site.engine.write(viewer.party(), |board| async move {
            let channel = board.channels.room(&viewer, &name).await?.id;
            let message =
                NewMessage { channel, title: None, content: text, locations: Vec::new(), ticket: None, key: same_key };
            board.messages.create(&viewer, message).await
        });
        match write.await {
            Ok(message) => HandlerResult::message(server_message::sent(key.as_deref(), &message)),
            Err(error) => {
                let mut context = server_message::ErrorContext::room(&room);
                context.0.extend(key.map(|key| ("key", key)));
                HandlerResult::failure(error, &context)
            }
        }
    }
    .boxed()
}
