//! Use cases of channels and their members: create, update, delete, add and remove members.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use super::commands::{Commands, ViewerCommand};
use super::permissions::UserState;
use super::policy::{MAX_DESCRIPTION, Policy};
use super::reads::Reads;
use super::records::{record_access_changed, record_visibility_changed};
use super::removal::Remover;
use super::{Viewer, validate};
use crate::capacity::RateLimiter;
use crate::error::{Error, Result};
use crate::model::{
    Channel, ChannelId, ChannelPublishing, Cursor, EventBody, EventKind, Freshness, Rights, UserId, Visibility,
};
use crate::store::{BatchState, Effects, Needs, NewEvent, SingleWrite, channels};
use crate::unicode;

/// The provisional id of a channel that is being created.
const NEW_CHANNEL: ChannelId = ChannelId(-1);

/// The input for a new channel.
#[derive(Debug, Clone)]
pub struct NewChannel {
    /// The name; unique among the channels that a user can read.
    pub name: String,
    /// The description; an empty one counts as none.
    pub description: Option<String>,
    /// Who may read the channel; the default is public.
    pub visibility: Option<Visibility>,
    /// Which users may publish application events; the default is admins and API keys only.
    pub publishing: Option<ChannelPublishing>,
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
    /// Which users may publish application events from now on.
    pub publishing: Option<ChannelPublishing>,
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
    /// The ids of the channels with these names, for an operator.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no channel with one of the names. `UNAVAILABLE` if the database cannot be reached.
    pub async fn named(&self, names: &[String]) -> Result<Vec<ChannelId>> {
        let (rights, names) = (Rights { admin: true, ..Rights::default() }, names.to_owned());
        let reading = self.reads.store.read(move |snapshot| {
            let find = |name: &String| channels::find_by_name(snapshot.db(), &rights, name);
            names.iter().map(find).collect::<Result<Vec<_>>>()
        });
        reading
            .await?
            .into_iter()
            .map(|found| found.map(|channel| channel.id).ok_or(Error::NotFound("channel")))
            .collect()
    }

    /// Creates a channel. The viewer becomes its owner and first member.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid field. `CONFLICT` if the name is
    /// taken or looks like another channel's. `RATE_LIMITED` if the user's budget of mutations or of new rooms is used
    /// up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn create(&self, viewer: &Viewer, new: NewChannel) -> Result<Channel> {
        self.name_limit.check(self.commands.actor(viewer)?.user.id)?;
        let name = validate::name("name", &new.name, self.policy.max_title)?;
        let description = validate::optional("description", new.description.as_deref(), MAX_DESCRIPTION)?;
        let visibility = new.visibility.unwrap_or(Visibility::Public);
        let publishing = new.publishing.unwrap_or(ChannelPublishing::Keys);
        self.commands.run_access(viewer, CreateChannel { name, description, visibility, publishing }).await
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
        let new = NewChannel { name: name.to_owned(), description: None, visibility: None, publishing: None };
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
    pub async fn update(&self, viewer: &Viewer, mut edit: ChannelEdit) -> Result<Channel> {
        let actor = self.commands.actor(viewer)?.user.id;
        if edit.name.is_some() {
            // Limit renames like new rooms: otherwise a user could probe for existing names at the rate of mutations.
            self.name_limit.check(actor)?;
        }
        let max = self.policy.max_title;
        edit.name = edit.name.map(|name| validate::name("name", &name, max)).transpose()?;
        let validated = |text: Option<String>| validate::optional("description", text.as_deref(), MAX_DESCRIPTION);
        edit.description = edit.description.map(validated).transpose()?;
        self.commands.run_access(viewer, UpdateChannel(edit)).await
    }

    /// Deletes a channel with all its content. It is invisible to all users at once; its rows are removed later.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the channel does not exist for the viewer. `FORBIDDEN`
    /// if the viewer is neither its owner nor an admin. `RATE_LIMITED` if the user's budget of mutations is used up.
    /// `UNAVAILABLE` if the database cannot be reached.
    pub async fn delete(&self, viewer: &Viewer, id: ChannelId) -> Result<ChannelId> {
        self.commands.actor(viewer)?;
        let result = self.commands.run_access(viewer, DeleteChannel(id)).await;
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
        self.commands.actor(viewer)?;
        self.commands.run_access(viewer, AddMember(id, user)).await
    }

    /// Removes a user from the members of a channel. Users may remove themselves.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the channel does not exist for the viewer. `FORBIDDEN`
    /// if the viewer removes another user and is neither the channel's owner nor an admin. `RATE_LIMITED` if the user's
    /// budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn remove_member(&self, viewer: &Viewer, id: ChannelId, user: UserId) -> Result<Channel> {
        self.commands.actor(viewer)?;
        self.commands.run_access(viewer, RemoveMember(id, user)).await
    }

    /// Marks the messages of a channel up to a cursor as read by the viewer.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the channel does not exist for the viewer.
    /// `CURSOR_EXPIRED` if the log no longer contains the cursor. `RATE_LIMITED` if the user's budget of mutations is
    /// used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn mark_read(&self, viewer: &Viewer, id: ChannelId, up_to: Cursor) -> Result<Channel> {
        self.commands.actor(viewer)?;
        self.commands.run(viewer, MarkChannelRead(id, up_to)).await
    }
}

struct CreateChannel {
    name: String,
    description: Option<String>,
    visibility: Visibility,
    publishing: ChannelPublishing,
}

impl ViewerCommand for CreateChannel {
    type Output = Channel;

    fn needs(&self, actor: &UserState, needs: &mut Needs) {
        needs.similar_channel(&actor.rights, &self.name);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Channel, Effects)> {
        actor.check_unlimited()?;
        check_name(state, &self.name)?;
        let mut effects = state.effects();
        let channel = Channel {
            id: NEW_CHANNEL,
            name: self.name.clone(),
            description: self.description.clone(),
            visibility: self.visibility,
            publishing: self.publishing,
            owner_id: Some(actor.user.id),
            created_at: state.now(),
            cursor: effects.next_cursor(),
        };
        effects.write(SingleWrite::AddChannel(channel.clone()));
        record(&mut effects, EventKind::ChannelAdded, &channel, actor);
        Ok((channel, effects))
    }
}

struct UpdateChannel(ChannelEdit);

impl ViewerCommand for UpdateChannel {
    type Output = Channel;

    fn needs(&self, actor: &UserState, needs: &mut Needs) {
        needs.channel(self.0.id);
        needs.similar_to_channel(&actor.rights, self.0.id, self.0.name.as_deref());
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Channel, Effects)> {
        let (edit, before) = (&self.0, manageable(state, actor, self.0.id)?);
        let mut channel = before.clone();
        channel.visibility = edit.visibility.unwrap_or(before.visibility);
        channel.publishing = edit.publishing.unwrap_or(before.publishing);
        let is_opened = before.visibility != channel.visibility && channel.visibility == Visibility::Public;
        let name = edit.name.as_ref().filter(|name| **name != before.name);
        let is_name_new = name.is_some() || is_opened;
        if let Some(name) = name {
            channel.name.clone_from(name);
        }
        if is_name_new {
            check_name(state, &channel.name)?;
        }
        if let Some(description) = &edit.description {
            channel.description.clone_from(description);
        }
        let mut effects = state.effects();
        channel.cursor = effects.next_cursor();
        effects.write(SingleWrite::UpdateChannel(channel.clone(), is_name_new));
        record(&mut effects, EventKind::ChannelUpdated, &channel, actor);
        if channel.visibility != before.visibility {
            record_visibility_changed(&mut effects, channel.id, actor.user.id);
        }
        Ok((channel, effects))
    }
}

struct DeleteChannel(ChannelId);

impl ViewerCommand for DeleteChannel {
    type Output = ChannelId;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.lock_head();
        needs.channel(self.0);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(ChannelId, Effects)> {
        let id = manageable(state, actor, self.0)?.id;
        let mut effects = state.effects();
        effects.write(SingleWrite::DeleteChannel(id, effects.next_cursor()));
        let change = NewEvent::new(EventKind::ChannelDeleted, id.0, Some(actor.user.id)).in_channel(id);
        effects.record(change, EventBody::None);
        Ok((id, effects))
    }
}

struct AddMember(ChannelId, UserId);

impl ViewerCommand for AddMember {
    type Output = Channel;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.lock_head();
        needs.channel(self.0);
        needs.user(self.1);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Channel, Effects)> {
        let (channel, mut effects) = (manageable(state, actor, self.0)?, state.effects());
        let user = state.user(self.1)?.id;
        if !state.is_member(channel.id, user) {
            effects.write(SingleWrite::AddMember(channel.id, user, effects.next_cursor().seq));
            record_access_changed(&mut effects, user, Some(channel.id), Some(actor.user.id));
        }
        Ok((channel.clone(), effects))
    }
}

struct RemoveMember(ChannelId, UserId);

impl ViewerCommand for RemoveMember {
    type Output = Channel;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.lock_head();
        needs.channel(self.0);
        needs.user(self.1);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Channel, Effects)> {
        let Self(id, user) = *self;
        let is_own = user == actor.user.id;
        let channel = if is_own { state.channel(&actor.rights, id)? } else { manageable(state, actor, id)? };
        let mut effects = state.effects();
        if state.is_member(id, user) {
            effects.write(SingleWrite::RemoveMember(id, user));
            record_access_changed(&mut effects, user, Some(id), Some(actor.user.id));
        }
        Ok((channel.clone(), effects))
    }
}

struct MarkChannelRead(ChannelId, Cursor);

impl ViewerCommand for MarkChannelRead {
    type Output = Channel;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.channel(self.0);
        needs.position(self.0, self.1);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Channel, Effects)> {
        let (channel, mut effects) = (state.channel(&actor.rights, self.0)?, state.effects());
        if let Some(newest) = state.newest_at(channel.id, self.1)? {
            effects.mark_read(actor.user.id, channel.id, newest);
        }
        Ok((channel.clone(), effects))
    }
}

/// The channel, if the actor is its owner or an admin.
fn manageable<'s>(state: &'s BatchState, actor: &UserState, id: ChannelId) -> Result<&'s Channel> {
    let channel = state.channel(&actor.rights, id)?;
    if actor.rights.admin || channel.owner_id == Some(actor.user.id) {
        return Ok(channel);
    }
    Err(Error::Forbidden("only the channel's owner or an admin may do this".into()))
}

/// Rejects a name that looks like the name of another channel that the viewer may read. Channels that the viewer may
/// not read are ignored, because a conflict would reveal their names.
fn check_name(state: &BatchState, name: &str) -> Result<()> {
    match state.similar_name(name)? {
        Some(other) if unicode::is_same(other, name) => {
            Err(Error::Conflict(format!("there is a channel named {other:?} already")))
        }
        Some(other) => Err(Error::Conflict(format!("the name {name:?} looks like that of the channel {other:?}"))),
        None => Ok(()),
    }
}

fn record(effects: &mut Effects, kind: EventKind, channel: &Channel, actor: &UserState) {
    let change = NewEvent::new(kind, channel.id.0, Some(actor.user.id)).in_channel(channel.id);
    effects.record(change, EventBody::Channel(Arc::new(channel.clone())));
}
