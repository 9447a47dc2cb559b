//! The root type of the queries that render items of subscriptions. Each of these queries has the selection of the
//! subscription's root field. So an item has the fields in the order of the query, and partial data if a field fails,
//! like the response to a query. juniper's own subscription streams do not guarantee the order or partial data.

use juniper::{EmptyMutation, EmptySubscription, RootNode, graphql_object};

use super::context::{Ctx, Purpose};
use super::events::{self, AppEvent, DeletedMessage, EventValue};
use super::metrics::{Metric, PresenceChange};
use super::notifications::Notification;
use super::objects::{Comment, Message};
use super::scalar::Scalar;
use super::signals::Signal;
use super::templates::Template;
use crate::hub::LiveEvent;
use crate::live::Update;
use crate::model;

/// The schema of the queries that render items of subscriptions.
pub type ItemSchema = RootNode<Items, EmptyMutation<Ctx>, EmptySubscription<Ctx>, Scalar>;

/// The root type of the queries that render items of subscriptions.
pub struct Items;

/// One field for each subscription, without the arguments; `null` if the client gets no item for the update.
#[graphql_object(name = "Subscription", context = Ctx, scalar = Scalar)]
impl Items {
    fn message_added(ctx: &Ctx) -> Option<Message> {
        events::message(ctx, event(ctx)?)
    }

    fn message_updated(ctx: &Ctx) -> Option<Message> {
        events::message(ctx, event(ctx)?)
    }

    fn message_deleted(ctx: &Ctx) -> Option<DeletedMessage> {
        events::deleted_message(event(ctx)?)
    }

    fn comment_added(ctx: &Ctx) -> Option<Comment> {
        events::comment(ctx, event(ctx)?)
    }

    fn template_added(ctx: &Ctx) -> Option<Template> {
        events::template(event(ctx)?)
    }

    fn notification_added(ctx: &Ctx) -> Option<Notification> {
        events::notification(ctx, event(ctx)?)
    }

    fn app_event(ctx: &Ctx) -> Option<AppEvent> {
        model::AppEvent::of(event(ctx)?).map(|event| events::app_event(ctx, event))
    }

    fn metric_updated(ctx: &Ctx) -> Option<Metric> {
        match ctx.purpose() {
            Purpose::Render(Update::Metric(metric)) => Some(Metric::new(metric.clone())),
            _ => None,
        }
    }

    fn presence_changed(ctx: &Ctx) -> Option<PresenceChange> {
        match ctx.purpose() {
            Purpose::Render(Update::Presence(change)) => Some(PresenceChange::new(ctx, *change)),
            _ => None,
        }
    }

    fn signal(ctx: &Ctx) -> Option<Signal> {
        match ctx.purpose() {
            Purpose::Render(Update::Signal(signal)) => Some(Signal::new(signal.clone())),
            _ => None,
        }
    }

    fn events(ctx: &Ctx) -> Option<EventValue> {
        match ctx.purpose() {
            Purpose::Render(Update::CaughtUp(cursor)) => Some(events::checkpoint(*cursor)),
            _ => events::event(ctx, event(ctx)?),
        }
    }
}

fn event(ctx: &Ctx) -> Option<&LiveEvent> {
    match ctx.purpose() {
        Purpose::Render(Update::Event(event)) => Some(event),
        _ => None,
    }
}
