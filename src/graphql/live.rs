//! Values that are live and no events, as GraphQL types.

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::people::User;
use super::scalars::{DateTime, out};
use crate::error::{Error, Result};
use crate::model;

/// A number by name.
#[derive(Clone)]
pub struct Metric(model::Metric);

impl Metric {
    /// Wraps a metric.
    #[must_use]
    pub fn new(metric: model::Metric) -> Self {
        Self(metric)
    }
}

/// A number by name, of which only the newest counts.
#[graphql_object(context = Ctx)]
impl Metric {
    /// Its name.
    fn metric(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.name)
    }

    /// Its value.
    fn value(&self) -> f64 {
        self.0.value
    }

    /// Since when it is this.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

/// Somebody came to a channel or left it.
#[derive(Clone)]
pub struct PresenceChange(model::PresenceChange);

impl PresenceChange {
    /// Wraps a change and says what may be asked of it next.
    pub fn new(ctx: &Ctx, change: model::PresenceChange) -> Self {
        ctx.users.want(change.user);
        Self(change)
    }
}

/// Somebody came to a channel or left it.
#[graphql_object(context = Ctx)]
impl PresenceChange {
    /// The id of the channel.
    fn channel_id(&self) -> ID {
        out(self.0.channel)
    }

    /// Who.
    fn user(&self, ctx: &Ctx) -> Result<User> {
        User::load(ctx, self.0.user)?.ok_or(Error::NotFound("user"))
    }

    /// Whether they are there now.
    fn present(&self) -> bool {
        self.0.present
    }
}
