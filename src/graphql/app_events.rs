//! The GraphQL types of application events: their list, their input, and what `publish` returns.

use super::context::Ctx;
use super::events::{self, AppEvent};
use super::inputs::PublishInput;
use super::paging::{PageArgs, connection};
use super::scalar::Scalar;
use super::scalars::{id, ids};
use crate::board::{ChannelAddress, NewAppEvent, PublishError, View};
use crate::error::{Error, Result};
use crate::model::{self, ChannelId, PageRequest, Seq, TypeFilter};

connection!(
    AppEventConnection,
    AppEventEdge,
    AppEvent,
    "AppEventConnection",
    "AppEventEdge",
    "application events of a channel",
    Scalar
);

impl AppEventConnection {
    /// Loads a page of the application events of a channel, in the order of the log.
    ///
    /// # Errors
    /// `NOT_FOUND` if the viewer may not read the channel, `BAD_USER_INPUT` for a wrong page argument,
    /// `QUERY_TOO_COMPLEX` if the response becomes too large or the query too slow, `UNAVAILABLE` if the database or
    /// memory is not available.
    pub fn load(ctx: &Ctx, channel: ChannelId, types: Option<&TypeFilter>, args: &PageArgs) -> Result<Self> {
        let window = args.window("application events of a channel")?;
        let key = |event: &model::AppEvent| event.cursor.seq;
        let load = |view: &mut View<'_>, part: &PageRequest<Seq>| view.app_events(channel, types, part);
        let page = ctx.page(&window, ctx.largest().app_event, key, load)?;
        ctx.allowance().show(page.items.iter().map(|event| event.data.len()).sum())?;
        Ok(Self::new(page, &window, key, |event| events::app_event(ctx, event)))
    }
}

/// Parses the patterns of types that a client sent.
///
/// # Errors
/// `BAD_USER_INPUT` if one is not valid.
pub fn type_filter(types: Option<&[String]>) -> Result<Option<TypeFilter>> {
    TypeFilter::parse(types.unwrap_or_default()).map_err(|why| Error::input("types", why))
}

/// Converts the input of `publish`.
///
/// # Errors
/// `BAD_USER_INPUT` if an id is not valid, or the channel is named twice or not at all.
pub fn new_app_event(input: PublishInput) -> Result<NewAppEvent> {
    // As for the other fields, this comes before any other check.
    if input.data.0.has_nul() {
        return Err(Error::input("data", "data must not contain a NUL character"));
    }
    let channel = match (input.channel_id, input.channel) {
        (Some(channel), None) => ChannelAddress::Id(id("channelId", &channel)?),
        (None, Some(name)) => ChannelAddress::Name(name),
        _ => return Err(Error::input("channelId", "pass either channelId or channel")),
    };
    Ok(NewAppEvent {
        channel,
        app_type: input.event_type,
        data: input.data.0,
        key: input.idempotency_key,
        locations: ids::<model::LocationId>("shareLocationIds", input.share_location_ids.as_deref())?,
    })
}

/// The event as the result of a mutation.
///
/// # Errors
/// `QUERY_TOO_COMPLEX` if the response becomes too large.
pub fn published(ctx: &Ctx, event: model::AppEvent) -> Result<AppEvent> {
    ctx.allowance().show(event.data.len())?;
    Ok(events::app_event(ctx, event))
}

/// The error of `publishMany`: the message about an invalid field names the index of its event.
pub fn list_error(PublishError { index, error }: PublishError) -> Error {
    match (index, error) {
        (Some(index), Error::BadInput { field, message }) => Error::input(field, format!("inputs[{index}]: {message}")),
        (_, error) => error,
    }
}
