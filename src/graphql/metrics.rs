//! The GraphQL types of metrics and presence: values that are delivered live and are not in the event log.

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::scalars::{DateTime, to_id};
use super::users::User;
use crate::error::{Error, Result};
use crate::model;

/// A metric as a GraphQL object.
#[derive(Clone)]
pub struct Metric(model::Metric);

impl Metric {
    /// Wraps a metric. Its fields load no other objects.
    #[must_use]
    pub fn new(metric: model::Metric) -> Self {
        Self(metric)
    }
}

/// A number with a name. Only its newest value is kept.
#[graphql_object(context = Ctx)]
impl Metric {
    /// The name of the metric.
    fn metric(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.name)
    }

    /// The current value.
    fn value(&self) -> f64 {
        self.0.value
    }

    /// When the value was set.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

/// A change of presence as a GraphQL object.
#[derive(Clone)]
pub struct PresenceChange(model::PresenceChange);

impl PresenceChange {
    /// Wraps a change of presence and registers the user that its fields may load.
    pub fn new(ctx: &Ctx, change: model::PresenceChange) -> Self {
        ctx.users.prefetch(change.user);
        Self(change)
    }
}

/// A user became present in a channel, or is no longer present.
#[graphql_object(context = Ctx)]
impl PresenceChange {
    /// The id of the channel.
    fn channel_id(&self) -> ID {
        to_id(self.0.channel)
    }

    /// The user whose presence changed.
    fn user(&self, ctx: &Ctx) -> Result<User> {
        User::load(ctx, self.0.user)?.ok_or(Error::NotFound("user"))
    }

    /// Whether the user is present now.
    fn present(&self) -> bool {
        self.0.present
    }
}
