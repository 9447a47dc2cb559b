//! What a viewer may see, as SQL conditions: the same rule as `board::access` has for live
//! events (a property test holds the two together).

use diesel::dsl::{AsSelect, IntoBoxed, Select};
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::connection::MultiBackend;
use super::schema::{
    channel_members, channels, locations, message_locations, messages, template_locations, templates, users,
};
use crate::model::{Rights, UserId, Visibility};

/// Nobody has this id: an anonymous reader wrote nothing and is nowhere a member.
const NO_USER: UserId = UserId(-1);

/// Rows of messages.
pub type MessageQuery<'a> =
    IntoBoxed<'a, Select<messages::table, AsSelect<super::messages::Row, MultiBackend>>, MultiBackend>;
/// Rows of templates.
pub type TemplateQuery<'a> =
    IntoBoxed<'a, Select<templates::table, AsSelect<super::templates::Row, MultiBackend>>, MultiBackend>;

/// Who reads, in the terms of the conditions.
#[derive(Clone, Copy)]
pub struct ViewerParams {
    admin: bool,
    user: i64,
}

impl From<&Rights> for ViewerParams {
    fn from(rights: &Rights) -> Self {
        Self { admin: rights.admin, user: rights.user.unwrap_or(NO_USER).0 }
    }
}

/// That a row of `channels` may be read, or could be until it was deleted: whoever wants only
/// those that still are there says so besides.
#[diesel::dsl::auto_type]
pub fn channel(viewer: ViewerParams) -> _ {
    let admin: bool = viewer.admin;
    let user: i64 = viewer.user;
    let public: i16 = Visibility::Public.code();
    let own = channel_members::table
        .filter(channel_members::user_id.eq(user))
        .filter(channel_members::channel_id.eq(channels::id))
        .select(channel_members::channel_id);
    channels::visibility.eq(public).or(diesel::dsl::exists(own)).or(admin.into_sql::<Bool>())
}

/// That a message is in a channel which is not deleted.
#[diesel::dsl::auto_type]
fn is_in_existing_channel() -> _ {
    let channel_of_message = channels::table
        .filter(channels::id.eq(messages::channel_id))
        .filter(channels::deleted_at.is_null())
        .select(channels::id);
    diesel::dsl::exists(channel_of_message)
}

/// That a message is not deleted, nor its channel: what is marked so is gone for everybody, admins included.
#[diesel::dsl::auto_type]
pub fn is_not_deleted() -> _ {
    messages::deleted_at.is_null().and(is_in_existing_channel())
}

/// Where the reader is: their location, and those of their organization. (Not the list in their rights: a statement with
/// a list of values is compiled anew each time.)
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

/// That a message may be read by someone who is not an admin.
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

/// The messages that may be read.
pub fn messages<'a>(rights: &Rights) -> MessageQuery<'a> {
    let all = messages::table.select(super::messages::Row::as_select()).into_boxed::<MultiBackend>();
    if rights.admin { all.filter(is_not_deleted()) } else { all.filter(message(rights.into())) }
}

/// That the viewer is in the audience of a message that others wrote, as SQL: for where a query has no table that diesel
/// knows.
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

/// The templates that a signed-in user may read.
pub fn templates<'a>(rights: &Rights) -> TemplateQuery<'a> {
    let query = templates::table.select(super::templates::Row::as_select()).into_boxed::<MultiBackend>();
    if rights.admin {
        return query;
    }
    let for_viewer = template_locations::table
        .filter(template_locations::template_id.eq(templates::id))
        .filter(template_locations::location_id.eq_any(viewer_locations(rights.into())))
        .select(template_locations::template_id);
    query.filter(
        templates::restricted
            .eq(false)
            .or(templates::author_id.eq(ViewerParams::from(rights).user))
            .or(diesel::dsl::exists(for_viewer)),
    )
}
