//! Use cases of channels and their members: create, update, delete, add and remove members.

use std::sync::Arc;

use super::commands::Commands;
use super::policy::{MAX_DESCRIPTION, Policy};
use super::reads::Reads;
use super::records::{record_access_changed, record_visibility_changed};
use super::removal::Remover;
use super::{Viewer, validate};
use crate::capacity::RateLimiter;
use crate::error::{Error, Result};
use crate::model::{Channel, ChannelId, Cursor, EventBody, EventKind, Freshness, Rights, UserId, Visibility};
use crate::store::{NewEvent, Tx, channels, read_markers, users};
use crate::unicode;

/// The input for a new channel.
#[derive(Debug, Clone)]
pub struct NewChannel {
    /// The name; unique among the channels that a user can read.
    pub name: String,
    /// The description; an empty one counts as none.
    pub description: Option<String>,
    /// Who may read the channel; the default is public.
    pub visibility: Option<Visibility>,
}

/// Changes of a channel. Fields that are `None` stay as they are.
#[derive(Debug, Clone)]
pub struct ChannelEdit {
    /// The channel to change.
    pub id: ChannelId,
    /// The new name.
    pub name: Option<String>,
    /// The new description; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// The new visibility.
    pub visibility: Option<Visibility>,
}

/// The use cases of channels, their members, and what users have read in them.
pub struct Channels {
    pub(super) commands: Arc<Commands>,
    pub(super) reads: Arc<Reads>,
    pub(super) policy: Arc<Policy>,
    pub(super) name_limit: RateLimiter<UserId>,
    pub(super) remover: Arc<Remover>,
}

impl Channels {
    /// Creates a channel. The viewer becomes its owner and first member.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid field. `CONFLICT` if the name is
    /// taken or looks like another channel's. `RATE_LIMITED` if the user's budget of mutations or of new rooms is used
    /// up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn create(&self, viewer: &Viewer, new: NewChannel) -> Result<Channel> {
        let owner = self.commands.actor(viewer)?.user.id;
        self.name_limit.check(owner)?;
        let name = validate::name("name", &new.name, self.policy.max_title)?;
        let description = validate::optional("description", new.description.as_deref(), MAX_DESCRIPTION)?;
        let visibility = new.visibility.unwrap_or(Visibility::Public);
        let viewer = viewer.clone();
        self.commands
            .write_access(move |tx| {
                check_name(tx, &*viewer.rights()?, &name, None)?;
                let (now, cursor) = (tx.now(), tx.next_cursor());
                let channel =
                    channels::insert(tx.write(), &name, description.as_deref(), visibility, Some(owner), now, cursor)?;
                record(tx, EventKind::ChannelAdded, &channel, owner);
                Ok(channel)
            })
            .await
    }

    /// The room with this name. If it does not exist and the viewer is signed in, it is created as a public channel.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the name is not acceptable. `NOT_FOUND` if the room does not exist and the viewer is
    /// anonymous. `CONFLICT` if the name looks like another room's. `RATE_LIMITED` if the user's budget of mutations or
    /// of new rooms is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn find_or_create_room(&self, viewer: &Viewer, name: &str) -> Result<Channel> {
        match self.room(viewer, name).await {
            Err(Error::NotFound(_)) if viewer.user_id().is_some() => {}
            result => return result,
        }
        let new = NewChannel { name: name.to_owned(), description: None, visibility: None };
        match self.create(viewer, new).await {
            // Another caller has created the room meanwhile, or the name looks like another room's.
            Err(Error::Conflict(why)) => match self.room(viewer, name).await {
                Err(Error::NotFound(_)) => Err(Error::Conflict(why)),
                result => result,
            },
            result => result,
        }
    }

    /// The room with this name, if the viewer may read it.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such room for the viewer. `UNAUTHENTICATED` if the session has ended. `UNAVAILABLE`
    /// if the database cannot be reached.
    pub async fn room(&self, viewer: &Viewer, name: &str) -> Result<Channel> {
        let name = name.to_owned();
        let found = self.reads.read(Freshness::Known, viewer, move |view| view.channel_named(&name)).await?;
        found.ok_or(Error::NotFound("room"))
    }

    /// Changes a channel.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid field. `NOT_FOUND` if the channel
    /// does not exist for the viewer. `FORBIDDEN` if the viewer is neither its owner nor an admin. `CONFLICT` if the
    /// name is taken or looks like another channel's. `RATE_LIMITED` if the user's budget of mutations or of new rooms
    /// is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn update(&self, viewer: &Viewer, edit: ChannelEdit) -> Result<Channel> {
        let actor = self.commands.actor(viewer)?.user.id;
        if edit.name.is_some() {
            // Limit renames like new rooms: otherwise a user could probe for existing names at the rate of mutations.
            self.name_limit.check(actor)?;
        }
        let name = edit.name.as_ref().map(|name| validate::name("name", name, self.policy.max_title)).transpose()?;
        let description = edit
            .description
            .as_ref()
            .map(|description| validate::optional("description", description.as_deref(), MAX_DESCRIPTION))
            .transpose()?;
        let viewer = viewer.clone();
        self.commands
            .write_access(move |tx| {
                let rights = viewer.rights()?;
                let mut channel = manageable(tx, &rights, actor, edit.id)?;
                let before = channel.visibility;
                channel.visibility = edit.visibility.unwrap_or(before);
                let is_opened = before != channel.visibility && channel.visibility == Visibility::Public;
                let name = name.as_ref().filter(|name| **name != channel.name);
                if name.is_some() || is_opened {
                    check_name(tx, &rights, name.unwrap_or(&channel.name), Some(channel.id))?;
                }
                if let Some(name) = name {
                    channel.name.clone_from(name);
                }
                if let Some(description) = &description {
                    channel.description.clone_from(description);
                }
                channel.cursor = tx.next_cursor();
                channels::update(tx.write(), &channel)?;
                if name.is_some() || is_opened {
                    channels::set_name_visible_since(tx.write(), channel.id, channel.cursor.seq)?;
                }
                record(tx, EventKind::ChannelUpdated, &channel, actor);
                if channel.visibility != before {
                    record_visibility_changed(tx, channel.id, actor);
                }
                Ok(channel)
            })
            .await
    }

    /// Deletes a channel with all its content. It is invisible to all users at once; its rows are removed later.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the channel does not exist for the viewer. `FORBIDDEN`
    /// if the viewer is neither its owner nor an admin. `RATE_LIMITED` if the user's budget of mutations is used up.
    /// `UNAVAILABLE` if the database cannot be reached.
    pub async fn delete(&self, viewer: &Viewer, id: ChannelId) -> Result<ChannelId> {
        let actor = self.commands.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        let write = self.commands.write_access(move |tx| {
            manageable(tx, &*viewer.rights()?, actor, id)?;
            let (now, cursor) = (tx.now(), tx.next_cursor());
            channels::delete(tx.write(), id, now, cursor)?;
            tx.record(NewEvent::new(EventKind::ChannelDeleted, id.0, Some(actor)).in_channel(id), EventBody::None);
            Ok(id)
        });
        let result = write.await;
        // Also after an error: the commit may have succeeded without an answer.
        self.remover.wake();
        result
    }

    /// Adds a user to the members of a channel. Does nothing if the user is a member already.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the channel does not exist for the viewer, or the user
    /// does not exist. `FORBIDDEN` if the viewer is neither the channel's owner nor an admin. `RATE_LIMITED` if the
    /// user's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn add_member(&self, viewer: &Viewer, id: ChannelId, user: UserId) -> Result<Channel> {
        let actor = self.commands.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.commands
            .write_access(move |tx| {
                let channel = manageable(tx, &*viewer.rights()?, actor, id)?;
                users::find(tx.read(), user)?.ok_or(Error::NotFound("user"))?;
                if !channels::is_member(tx.read(), id, user)? {
                    let since = tx.next_cursor().seq;
                    channels::add_member(tx.write(), id, user, since)?;
                    record_access_changed(tx, user, Some(id), Some(actor));
                }
                Ok(channel)
            })
            .await
    }

    /// Removes a user from the members of a channel. Users may remove themselves.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the channel does not exist for the viewer. `FORBIDDEN`
    /// if the viewer removes another user and is neither the channel's owner nor an admin. `RATE_LIMITED` if the user's
    /// budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn remove_member(&self, viewer: &Viewer, id: ChannelId, user: UserId) -> Result<Channel> {
        let actor = self.commands.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.commands
            .write_access(move |tx| {
                let rights = viewer.rights()?;
                let channel =
                    if user == actor { readable(tx, &rights, id)? } else { manageable(tx, &rights, actor, id)? };
                if channels::is_member(tx.read(), id, user)? {
                    channels::remove_member(tx.write(), id, user)?;
                    record_access_changed(tx, user, Some(id), Some(actor));
                }
                Ok(channel)
            })
            .await
    }

    /// Marks the messages of a channel up to a cursor as read by the viewer.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the channel does not exist for the viewer.
    /// `CURSOR_EXPIRED` if the log no longer contains the cursor. `RATE_LIMITED` if the user's budget of mutations is
    /// used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn mark_read(&self, viewer: &Viewer, id: ChannelId, up_to: Cursor) -> Result<Channel> {
        let reader = self.commands.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.commands
            .write(move |tx| {
                let channel = channels::find(tx.read(), &*viewer.rights()?, id)?.ok_or(Error::NotFound("channel"))?;
                if let Some(newest) = read_markers::newest_at(tx.read(), id, up_to)? {
                    read_markers::mark(tx.write(), reader, id, newest)?;
                }
                Ok(channel)
            })
            .await
    }
}

fn readable(tx: &mut Tx<'_>, rights: &Rights, id: ChannelId) -> Result<Channel> {
    channels::find(tx.read(), rights, id)?.ok_or(Error::NotFound("channel"))
}

/// The channel, if the actor is its owner or an admin.
fn manageable(tx: &mut Tx<'_>, rights: &Rights, actor: UserId, id: ChannelId) -> Result<Channel> {
    let channel = readable(tx, rights, id)?;
    if rights.admin || channel.owner_id == Some(actor) {
        return Ok(channel);
    }
    Err(Error::Forbidden("only the channel's owner or an admin may do this".into()))
}

/// Rejects a name that looks like the name of another channel that the viewer may read. Channels that the viewer may
/// not read are ignored, because a conflict would reveal their names.
fn check_name(tx: &mut Tx<'_>, rights: &Rights, name: &str, except: Option<ChannelId>) -> Result<()> {
    match channels::find_similar_name(tx.read(), rights, name, except)? {
        Some(other) if unicode::is_same(&other, name) => {
            Err(Error::Conflict(format!("there is a channel named {other:?} already")))
        }
        Some(other) => Err(Error::Conflict(format!("the name {name:?} looks like that of the channel {other:?}"))),
        None => Ok(()),
    }
}

fn record(tx: &mut Tx<'_>, kind: EventKind, channel: &Channel, actor: UserId) {
    let change = NewEvent::new(kind, channel.id.0, Some(actor)).in_channel(channel.id);
    tx.record(change, EventBody::Channel(Arc::new(channel.clone())));
}
