//! Pages of the log, and the objects that their events show.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{
    Channel, ChannelId, Comment, CommentId, Cursor, Event, EventBody, EventKind, LoggedEvent, Message, MessageId,
    Notification, NotificationId, Template, TemplateId,
};

/// Maximum number of events in a page.
pub const MAX_PAGE_ROWS: i64 = 256;
/// Maximum number of bytes in a page, unless its first event alone is larger.
pub const PAGE_BYTES: usize = 1 << 20;
/// Maximum number of log positions that one page covers. It bounds the duration of the snapshot.
pub(super) const MAX_PAGE_SPAN: i64 = 8192;

/// A page of the log.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// The events of the topic, each with its object as it is now. Events whose object no longer exists are left
    /// out.
    pub events: Vec<LoggedEvent>,
    /// The page covers all events of the topic up to this position.
    pub end: Cursor,
    /// The log head in the snapshot of the page.
    pub head: Cursor,
    /// Whether the page skipped events of kinds that this version does not know.
    pub has_unknown: bool,
}

impl LogPage {
    /// Approximate memory of the events, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.events.iter().map(LoggedEvent::weight).sum()
    }
}

/// The objects that the events of a page show.
#[derive(Default)]
pub(super) struct ShownObjects {
    pub messages: HashMap<MessageId, Arc<Message>>,
    pub comments: HashMap<CommentId, Arc<Comment>>,
    pub channels: HashMap<ChannelId, Arc<Channel>>,
    pub templates: HashMap<TemplateId, Arc<Template>>,
    pub notifications: HashMap<NotificationId, Arc<Notification>>,
}

impl ShownObjects {
    /// Adds to each event its object. Events whose object no longer exists are left out.
    pub(super) fn add_to(&self, events: Vec<Event>) -> Vec<LoggedEvent> {
        let logged = |event: Event| self.body(&event).map(|body| LoggedEvent { event, body });
        events.into_iter().filter_map(logged).collect()
    }

    fn body(&self, event: &Event) -> Option<EventBody> {
        use EventKind as Kind;
        let id = event.object;
        match event.kind {
            Kind::MessageAdded | Kind::MessageUpdated => {
                self.messages.get(&MessageId(id)).cloned().map(EventBody::Message)
            }
            Kind::CommentAdded | Kind::CommentUpdated => {
                self.comments.get(&CommentId(id)).cloned().map(EventBody::Comment)
            }
            Kind::ChannelAdded | Kind::ChannelUpdated => {
                self.channels.get(&ChannelId(id)).cloned().map(EventBody::Channel)
            }
            Kind::TemplateAdded => self.templates.get(&TemplateId(id)).cloned().map(EventBody::Template),
            Kind::NotificationAdded => {
                self.notifications.get(&NotificationId(id)).cloned().map(EventBody::Notification)
            }
            Kind::RoomBroadcast | Kind::AppEvent => {
                self.channels.contains_key(&ChannelId(id)).then_some(EventBody::None)
            }
            _ => Some(EventBody::None),
        }
    }
}
