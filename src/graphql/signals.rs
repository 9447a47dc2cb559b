//! The GraphQL type of signals.

use std::sync::Arc;

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::json::Json;
use super::scalar::Scalar;
use super::scalars::to_id;
use crate::model::{self, JsonText};

/// A signal as a GraphQL object.
#[derive(Clone)]
pub struct Signal(Arc<model::Signal>);

impl Signal {
    /// Wraps a signal. Its fields load no other objects.
    #[must_use]
    pub fn new(signal: Arc<model::Signal>) -> Self {
        Self(signal)
    }
}

/// A message to the users who follow a channel at this moment. It is not in the log and has no cursor.
#[graphql_object(context = Ctx, scalar = Scalar)]
impl Signal {
    /// The id of the channel.
    fn channel_id(&self) -> ID {
        to_id(self.0.channel)
    }

    /// The type, which the sender chose.
    #[graphql(name = "type")]
    fn signal_type(&self) -> &str {
        &self.0.signal_type
    }

    /// The data, as the sender gave it.
    fn data(&self) -> Option<Json> {
        self.0.data.as_ref().map(|data| Json(JsonText::stored(data)))
    }

    /// The id of the sender; `null` for readers who are not signed in.
    fn user_id(&self, ctx: &Ctx) -> Option<ID> {
        ctx.can_see_users().then(|| to_id(self.0.user))
    }
}
