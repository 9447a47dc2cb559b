//! Making, changing and deleting channels; who is a member.

use std::sync::Arc;

use super::{Board, Viewer, record_access_changed, record_visibility_changed, text};
use crate::error::{Error, Result};
use crate::model::{Body, Channel, ChannelId, EventKind, Rights, UserId, Visibility};
use crate::store::{Change, Tx, channels, users};
use crate::unicode;

/// The longest description of a channel, in characters.
pub(super) const MAX_DESCRIPTION: usize = 2_000;

/// A channel to be made.
#[derive(Debug, Clone)]
pub struct NewChannel {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who may read it; everybody if not said.
    pub visibility: Option<Visibility>,
}

/// What to change in a channel; what is `None` stays.
#[derive(Debug, Clone)]
pub struct ChannelEdit {
    /// Which.
    pub id: ChannelId,
    /// The name.
    pub name: Option<String>,
    /// What it is for; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// Who may read it.
    pub visibility: Option<Visibility>,
}

impl Board {
    /// Makes a channel; its maker is its owner and first member.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `CONFLICT` if the name is taken, `RATE_LIMITED`.
    pub async fn create_channel(&self, viewer: &Viewer, new: NewChannel) -> Result<Channel> {
        let owner = self.actor(viewer)?.user.id;
        self.auth.rooms.check(owner)?;
        let name = text::name("name", &new.name, self.rules.max_title)?;
        let description = text::optional("description", new.description.as_deref(), MAX_DESCRIPTION)?;
        let visibility = new.visibility.unwrap_or(Visibility::Public);
        let viewer = viewer.clone();
        self.write_access(move |tx| {
            free(tx, &*viewer.rights()?, &name, None)?;
            let (now, cursor) = (tx.now(), tx.next_cursor());
            let channel =
                channels::insert(tx.write(), &name, description.as_deref(), visibility, Some(owner), now, cursor)?;
            record(tx, EventKind::ChannelAdded, &channel, owner);
            Ok(channel)
        })
        .await
    }

    /// The room of this name; made, for everybody to read, if it is not there and the viewer is signed in.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `NOT_FOUND`, `RATE_LIMITED`.
    pub async fn room(&self, viewer: &Viewer, name: &str) -> Result<Channel> {
        match self.known_room(viewer, name).await {
            Err(Error::NotFound(_)) if viewer.user_id().is_some() => {}
            known => return known,
        }
        let new = NewChannel { name: name.to_owned(), description: None, visibility: None };
        match self.create_channel(viewer, new).await {
            // Another caller was quicker, or a room looks like this one.
            Err(Error::Conflict(why)) => match self.known_room(viewer, name).await {
                Err(Error::NotFound(_)) => Err(Error::Conflict(why)),
                known => known,
            },
            made => made,
        }
    }

    /// The room of this name.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn known_room(&self, viewer: &Viewer, name: &str) -> Result<Channel> {
        let (rights, name) = (viewer.rights()?, name.to_owned());
        if name.chars().count() > self.rules.max_title {
            return Err(Error::NotFound("room"));
        }
        let found = self
            .store
            .read_for(viewer.party(), move |snapshot| channels::find_by_name(snapshot.db(), &rights, &name))
            .await?;
        found.ok_or(Error::NotFound("room"))
    }

    /// Changes a channel.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `NOT_FOUND`, `FORBIDDEN`, `CONFLICT` if the name is taken, `RATE_LIMITED`.
    pub async fn update_channel(&self, viewer: &Viewer, edit: ChannelEdit) -> Result<Channel> {
        let actor = self.actor(viewer)?.user.id;
        if edit.name.is_some() {
            // A new name is like a new room: else names could be tried out at the speed of mutations.
            self.auth.rooms.check(actor)?;
        }
        let name = edit.name.as_ref().map(|name| text::name("name", name, self.rules.max_title)).transpose()?;
        let description = edit
            .description
            .as_ref()
            .map(|description| text::optional("description", description.as_deref(), MAX_DESCRIPTION))
            .transpose()?;
        let viewer = viewer.clone();
        self.write_access(move |tx| {
            let rights = viewer.rights()?;
            let mut channel = governed(tx, &rights, actor, edit.id)?;
            let before = channel.visibility;
            channel.visibility = edit.visibility.unwrap_or(before);
            let is_opened = before != channel.visibility && channel.visibility == Visibility::Public;
            let name = name.as_ref().filter(|name| **name != channel.name);
            if name.is_some() || is_opened {
                free(tx, &rights, name.unwrap_or(&channel.name), Some(channel.id))?;
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
                channels::name_since(tx.write(), channel.id, channel.cursor.seq)?;
            }
            record(tx, EventKind::ChannelUpdated, &channel, actor);
            if channel.visibility != before {
                record_visibility_changed(tx, channel.id, actor);
            }
            Ok(channel)
        })
        .await
    }

    /// Deletes a channel and all in it: it is gone for everybody at once, and its rows are removed afterwards.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `RATE_LIMITED`.
    pub async fn delete_channel(&self, viewer: &Viewer, id: ChannelId) -> Result<ChannelId> {
        let actor = self.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        let deleting = self.write_access(move |tx| {
            governed(tx, &*viewer.rights()?, actor, id)?;
            let (now, cursor) = (tx.now(), tx.next_cursor());
            channels::delete(tx.write(), id, now, cursor)?;
            tx.record(Change::new(EventKind::ChannelDeleted, id.0, Some(actor)).in_channel(id), Body::None);
            Ok(id)
        });
        let deleted = deleting.await;
        // Also when the outcome is unknown.
        self.remover.want();
        deleted
    }

    /// Makes somebody a member of a channel.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `RATE_LIMITED`.
    pub async fn add_member(&self, viewer: &Viewer, id: ChannelId, user: UserId) -> Result<Channel> {
        let actor = self.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.write_access(move |tx| {
            let channel = governed(tx, &*viewer.rights()?, actor, id)?;
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

    /// Ends somebody's membership; everybody may end their own.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `RATE_LIMITED`.
    pub async fn remove_member(&self, viewer: &Viewer, id: ChannelId, user: UserId) -> Result<Channel> {
        let actor = self.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.write_access(move |tx| {
            let rights = viewer.rights()?;
            let channel = if user == actor { readable(tx, &rights, id)? } else { governed(tx, &rights, actor, id)? };
            if channels::is_member(tx.read(), id, user)? {
                channels::remove_member(tx.write(), id, user)?;
                record_access_changed(tx, user, Some(id), Some(actor));
            }
            Ok(channel)
        })
        .await
    }
}

fn readable(tx: &mut Tx<'_>, rights: &Rights, id: ChannelId) -> Result<Channel> {
    channels::find(tx.read(), rights, id)?.ok_or(Error::NotFound("channel"))
}

/// The channel, if the actor may change it.
fn governed(tx: &mut Tx<'_>, rights: &Rights, actor: UserId, id: ChannelId) -> Result<Channel> {
    let channel = readable(tx, rights, id)?;
    if rights.admin || channel.owner_id == Some(actor) {
        return Ok(channel);
    }
    Err(Error::Forbidden("only the channel's owner or an admin may do this".into()))
}

/// Refuses a name that looks like that of another channel which the viewer may read. Channels that the viewer may not
/// read make no difference: their names must not show.
fn free(tx: &mut Tx<'_>, rights: &Rights, name: &str, but: Option<ChannelId>) -> Result<()> {
    match channels::looks_like(tx.read(), rights, name, but)? {
        Some(other) if unicode::is_same(&other, name) => {
            Err(Error::Conflict(format!("there is a channel named {other:?} already")))
        }
        Some(other) => Err(Error::Conflict(format!("the name {name:?} looks like that of the channel {other:?}"))),
        None => Ok(()),
    }
}

fn record(tx: &mut Tx<'_>, kind: EventKind, channel: &Channel, actor: UserId) {
    let change = Change::new(kind, channel.id.0, Some(actor)).in_channel(channel.id);
    tx.record(change, Body::Channel(Arc::new(channel.clone())));
}
