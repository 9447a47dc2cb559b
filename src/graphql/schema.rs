//! The GraphQL schema of tidings.

use super::mutation::Mutation;
use super::query::Query;
use super::scalar::Scalar;
use super::subscription::SubscriptionRoot;
use super::sync_value::SyncValue;

/// The GraphQL schema of tidings.
pub type Schema = juniper::RootNode<SyncValue<Query>, Mutation, SubscriptionRoot, Scalar>;

/// The schema in the language of schemas.
#[must_use]
pub fn sdl() -> String {
    Schema::new_with_scalar_value(SyncValue(Query), Mutation, SubscriptionRoot).as_sdl()
}
