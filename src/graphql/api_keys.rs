//! The GraphQL types of API keys.

use std::sync::Arc;

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::enums::ApiScope;
use super::scalars::{DateTime, to_id};
use super::users::User;
use crate::error::Result;
use crate::model;

/// An API key as a GraphQL object.
#[derive(Clone)]
pub struct ApiKey(Arc<model::ApiKey>);

impl ApiKey {
    /// Wraps a key and registers the user that its fields may load.
    pub fn new(ctx: &Ctx, key: model::ApiKey) -> Self {
        ctx.users.prefetch(key.user_id);
        Self(Arc::new(key))
    }
}

/// A key with which a program acts as a user, within the scopes and the channels of the key.
#[graphql_object(context = Ctx)]
impl ApiKey {
    /// The id of the key.
    fn id(&self) -> ID {
        to_id(self.0.id)
    }

    /// What the key is for.
    fn name(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.name)
    }

    /// The id of the user as whom the key acts.
    fn user_id(&self) -> ID {
        to_id(self.0.user_id)
    }

    /// The user as whom the key acts.
    fn user(&self, ctx: &Ctx) -> Result<User> {
        User::must_load(ctx, self.0.user_id)
    }

    /// What the key may be used for.
    fn scopes(&self) -> Vec<ApiScope> {
        self.0.scopes.iter().map(Into::into).collect()
    }

    /// The ids of the channels that the key is limited to. `null` if it is not limited.
    fn channel_ids(&self, ctx: &Ctx) -> Result<Option<Vec<ID>>> {
        self.0.channels.as_ref().map(|channels| ctx.show_ids(channels)).transpose()
    }

    /// How many mutations the key may make per second. `null`: as many as a user.
    fn mutations_per_second(&self) -> Option<i32> {
        self.0.mutations_per_second.map(|rate| i32::try_from(rate).unwrap_or(i32::MAX))
    }

    /// When the key was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When the key expires. `null`: never.
    fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }

    /// When the key was revoked. `null` if it was not.
    fn revoked_at(&self) -> Option<DateTime> {
        self.0.revoked_at.map(DateTime)
    }

    /// When the key was used last, to within about a minute. `null` if it was not used yet.
    fn last_used_at(&self) -> Option<DateTime> {
        self.0.last_used_at.map(DateTime)
    }
}

/// A new API key as a GraphQL object.
pub struct NewApiKey {
    key: ApiKey,
    secret: String,
}

impl NewApiKey {
    /// Wraps a new key and its secret.
    pub fn new(ctx: &Ctx, (key, secret): (model::ApiKey, String)) -> Self {
        Self { key: ApiKey::new(ctx, key), secret }
    }
}

/// A new API key with its secret.
#[graphql_object(context = Ctx)]
impl NewApiKey {
    /// The key.
    fn api_key(&self) -> ApiKey {
        self.key.clone()
    }

    /// The secret. It is shown only now; clients send it as they send a token, for example as `Authorization: Bearer …`.
    fn secret(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.secret)
    }
}
