//! SQL conditions for what a viewer may see. `board::access` implements the same rules for live events; a
//! property test compares the two.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::schema::{api_key_channels, channel_members, channels, locations, message_locations, messages, users};
use crate::model::{Rights, UserId, Visibility};

/// An id that no user has. It stands for an anonymous viewer, who owns nothing and is a member of no channel.
const NO_USER: UserId = UserId(-1);
/// An id that no API key has. It stands for a viewer who is not limited to the channels of a key.
const NO_KEY: i64 = -1;

/// The viewer, as parameters of the SQL conditions.
#[derive(Clone, Copy)]
pub struct ViewerParams {
    admin: bool,
    pub(super) user: i64,
    /// The API key that limits the viewer to its channels, or [`NO_KEY`].
    key: i64,
}

impl From<&Rights> for ViewerParams {
    fn from(rights: &Rights) -> Self {
        let key = rights.limit.as_ref().map_or(NO_KEY, |limit| limit.key.0);
        Self { admin: rights.admin, user: rights.user.unwrap_or(NO_USER).0, key }
    }
}

/// Condition on `channels`: the viewer may read the channel, or could read it before its deletion. It includes
/// channels marked as deleted; a query that must leave them out needs its own condition.
#[diesel::dsl::auto_type]
pub fn channel(viewer: ViewerParams) -> _ {
    let admin: bool = viewer.admin;
    let user: i64 = viewer.user;
    let public: i16 = Visibility::Public.code();
    let own = channel_members::table
        .filter(channel_members::user_id.eq(user))
        .filter(channel_members::channel_id.eq(channels::id))
        .select(channel_members::channel_id);
    let key: i64 = viewer.key;
    let of_key = api_key_channels::table
        .filter(api_key_channels::key_id.eq(key))
        .filter(api_key_channels::channel_id.eq(channels::id))
        .select(api_key_channels::channel_id);
    let no_key: i64 = NO_KEY;
    let is_unlimited = key.into_sql::<BigInt>().eq(no_key);
    let is_shown = channels::visibility.eq(public).or(diesel::dsl::exists(own)).or(admin.into_sql::<Bool>());
    is_shown.and(is_unlimited.or(diesel::dsl::exists(of_key)))
}

/// Condition on `messages`: the message's channel is not marked as deleted.
#[diesel::dsl::auto_type]
fn is_in_existing_channel() -> _ {
    let channel_of_message = channels::table
        .filter(channels::id.eq(messages::channel_id))
        .filter(channels::deleted_at.is_null())
        .select(channels::id);
    diesel::dsl::exists(channel_of_message)
}

/// Condition on `messages`: neither the message nor its channel is marked as deleted. Not even admins see marked
/// ones.
#[diesel::dsl::auto_type]
pub fn is_not_deleted() -> _ {
    messages::deleted_at.is_null().and(is_in_existing_channel())
}

/// Selects the ids of the viewer's locations: their own and those of their organization. It does not use the
/// list in [`Rights`]: SQL with a list of values differs by the length of the list, so it would be prepared
/// again and again.
#[diesel::dsl::auto_type]
pub fn viewer_locations(viewer: ViewerParams) -> _ {
    let user: i64 = viewer.user;
    let of_organization = users::organization_id.eq(locations::organization_id.nullable());
    let own = users::location_id.eq(locations::id.nullable());
    locations::table
        .inner_join(users::table.on(of_organization.or(own)))
        .filter(users::id.eq(user))
        .select(locations::id)
}

/// Condition on `messages`: a viewer who is not an admin may read the message.
#[diesel::dsl::auto_type]
pub fn message(viewer: ViewerParams) -> _ {
    let user: i64 = viewer.user;
    let is_readable: channel = channel(viewer);
    let own_locations: viewer_locations = viewer_locations(viewer);
    let channel_of_message = channels::table
        .filter(channels::id.eq(messages::channel_id))
        .filter(channels::deleted_at.is_null())
        .filter(is_readable)
        .select(channels::id);
    let for_viewer = message_locations::table
        .filter(message_locations::message_id.eq(messages::id))
        .filter(message_locations::location_id.eq_any(own_locations))
        .select(message_locations::message_id);
    let audience = messages::restricted.eq(false).or(messages::author_id.eq(user)).or(diesel::dsl::exists(for_viewer));
    messages::deleted_at.is_null().and(diesel::dsl::exists(channel_of_message)).and(audience)
}

/// SQL text of the condition that a viewer, who is not the author, is in the audience of a message. `table` is
/// the alias of a subquery that diesel's query builder cannot express.
pub fn audience_as_sql(rights: &Rights, table: &str) -> String {
    if rights.admin {
        return "TRUE".into();
    }
    let locations: Vec<String> = rights.locations.iter().map(|id| id.0.to_string()).collect();
    let for_viewer = if locations.is_empty() { "NULL".into() } else { locations.join(", ") };
    format!(
        "({table}.restricted = FALSE OR EXISTS (SELECT 1 FROM message_locations ml WHERE ml.message_id = {table}.id \
         AND ml.location_id IN ({for_viewer})))"
    )
}
