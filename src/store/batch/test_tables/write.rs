//! Writes the effects of a batch to tables in memory.

use super::{TestTables, next};
use crate::model::{
    ApiKey, ApiKeyId, Channel, ChannelId, Invite, InviteId, Location, LocationId, Organization, OrganizationId,
    SessionId, Template, TemplateId, User, UserId, UserSession,
};
use crate::store::batch::effects::{CommentChange, Effects, MessageChange, SingleWrite};
use crate::store::batch::numbers::{Numbers, Settle as _};
use crate::store::idempotency::CreatedObject;

impl TestTables {
    /// Writes the effects and settles them. Returns the numbers of the batch.
    pub(in crate::store::batch) fn write(&mut self, effects: &mut Effects) -> Numbers {
        let base = self.head().seq.0;
        let last = &mut self.last_ids;
        let mut numbers = Numbers {
            base: Some(base),
            at: self.now.0,
            messages: effects.messages.iter().map(|_| next(&mut last.messages)).collect(),
            comments: effects.comments.iter().map(|_| next(&mut last.comments)).collect(),
            notifications: effects.notifications.iter().map(|_| next(&mut last.notifications)).collect(),
            users: Vec::new(),
            single: None,
        };
        effects.settle(&numbers);
        for single in &mut effects.singles {
            single.settle(&numbers);
            self.write_single(single, &mut numbers);
        }
        effects.settle(&numbers);
        self.write_content(effects);
        let notifications = effects.notifications.iter().map(|added| &added.notification);
        self.notifications.extend(notifications.map(|notification| (notification.id, notification.clone())));
        for (id, _) in &effects.read_notifications {
            self.notifications.get_mut(id).expect("the notification exists").read_at = Some(self.now);
        }
        self.read_announcements.extend(&effects.read_announcements);
        for ((user, channel), up_to) in &effects.read_markers {
            let marker = self.read_markers.entry((*user, *channel)).or_insert(*up_to);
            *marker = (*marker).max(*up_to);
        }
        self.metrics.extend(effects.metrics.clone());
        for key in &effects.attempts {
            self.attempts.entry(key.clone()).or_default().push(self.now);
        }
        self.log.extend(effects.events.iter().cloned());
        numbers
    }

    fn write_content(&mut self, effects: &Effects) {
        self.messages.extend(effects.messages.iter().map(|message| (message.id, message.clone())));
        for (id, change) in &effects.message_changes {
            match change {
                MessageChange::Update(message) => self.messages.insert(*id, message.clone()),
                MessageChange::Delete => self.messages.remove(id),
            };
        }
        self.comments.extend(effects.comments.iter().map(|comment| (comment.id, comment.clone())));
        for (id, change) in &effects.comment_changes {
            match change {
                CommentChange::Update(comment) => {
                    self.comments.insert(*id, comment.clone());
                }
                CommentChange::Delete => {
                    self.comments.remove(id);
                    self.keys.retain(|_, (object, _)| *object != CreatedObject::Comment(*id));
                }
            }
        }
        for used in &effects.keys {
            let before = self.keys.insert((used.author, used.key.clone()), (used.object, used.digest.clone()));
            assert_eq!(before, None, "a key is used once");
        }
    }

    /// Adds the ids of the objects that the write creates to `numbers`.
    fn write_single(&mut self, single: &SingleWrite, numbers: &mut Numbers) {
        match single {
            SingleWrite::AddChannel(channel) => numbers.single = Some(self.add_channel(channel)),
            SingleWrite::UpdateChannel(channel, is_name_new) => {
                self.channels.insert(channel.id, channel.clone());
                if *is_name_new {
                    self.named_at.insert(channel.id, channel.cursor.seq);
                }
            }
            SingleWrite::DeleteChannel(id, _) => drop(self.channels.remove(id)),
            SingleWrite::AddMember(channel, user, since) => {
                assert_eq!(self.members.insert((*channel, *user), *since), None, "a user joins once");
            }
            SingleWrite::AddMembers(members) => {
                self.members.extend(members.iter().map(|(channel, user, since)| ((*channel, *user), *since)));
            }
            SingleWrite::RemoveMember(channel, user) => drop(self.members.remove(&(*channel, *user))),
            SingleWrite::AddTemplate(template) => {
                let id = TemplateId(next(&mut self.last_ids.templates));
                self.templates.insert(id, Template { id, ..template.clone() });
                numbers.single = Some(id.0);
            }
            SingleWrite::DeleteTemplate(id) => drop(self.templates.remove(id)),
            SingleWrite::AddUsers(rows) => {
                for row in rows {
                    let id = UserId(next(&mut self.last_ids.users));
                    self.users.insert(id, User { id, ..row.user.clone() });
                    self.password_hashes.insert(id, row.password_hash.clone());
                    self.identities.extend(row.identity.clone().map(|identity| (identity, id)));
                    self.profile_times.extend(row.identity.clone().map(|identity| (identity, row.profile_at)));
                    numbers.users.push(id.0);
                }
            }
            SingleWrite::UpdateUser(user) => drop(self.users.insert(user.id, user.clone())),
            SingleWrite::AddApiKey(key, digest) => {
                let id = ApiKeyId(next(&mut self.last_ids.api_keys));
                self.api_keys.insert(id, (ApiKey { id, ..key.clone() }, digest.clone()));
                numbers.single = Some(id.0);
            }
            SingleWrite::RevokeApiKey(id) => {
                self.api_keys.get_mut(id).expect("the key exists").0.revoked_at = Some(self.now);
            }
            SingleWrite::SetProfileTime(identity, at) => drop(self.profile_times.insert(identity.clone(), *at)),
            SingleWrite::SetEventType(definition) => {
                drop(self.event_types.insert(definition.name.to_string(), definition.clone()));
            }
            SingleWrite::DeleteEventType(name) => drop(self.event_types.remove(name)),
            SingleWrite::SetPasswordHash(id, hash) => {
                self.password_hashes.insert(*id, hash.clone());
                self.password_resets.remove(id);
            }
            SingleWrite::SetPasswordReset(user, digest, expires_at) => {
                self.password_resets.insert(*user, (digest.clone(), *expires_at));
            }
            SingleWrite::DeleteUser(user, _) => {
                self.users.insert(user.id, user.clone());
                self.password_hashes.insert(user.id, String::new());
                self.password_resets.remove(&user.id);
                self.sessions.retain(|_, session| session.user_id != user.id);
                let owned = self.identities.iter().filter(|(_, owner)| **owner == user.id);
                let owned: Vec<_> = owned.map(|(identity, _)| (identity.clone(), self.now)).collect();
                self.deleted_identities.extend(owned);
                self.identities.retain(|_, owner| *owner != user.id);
                self.api_keys.retain(|_, (key, _)| key.user_id != user.id);
            }
            SingleWrite::StartSession(session) => {
                let id = SessionId(next(&mut self.last_ids.sessions));
                self.sessions.insert(id, UserSession { id, ..session.clone() });
                self.user_mut(session.user_id).last_session = id;
                numbers.single = Some(id.0);
            }
            SingleWrite::RenewSession(session) => drop(self.sessions.insert(session.id, session.clone())),
            SingleWrite::EndSession(id) => drop(self.sessions.remove(id)),
            SingleWrite::EndSessions(user) => {
                self.sessions.retain(|_, session| session.user_id != *user);
                self.sessions_ended_at.insert(*user, self.now);
            }
            SingleWrite::AddInvite(invite) => {
                let id = InviteId(next(&mut self.last_ids.invites));
                self.invites.insert(id, Invite { id, ..invite.clone() });
                numbers.single = Some(id.0);
            }
            SingleWrite::UpdateInvite(invite) => drop(self.invites.insert(invite.id, invite.clone())),
            SingleWrite::AddOrganization(organization) => {
                let id = OrganizationId(next(&mut self.last_ids.organizations));
                self.organizations.insert(id, Organization { id, ..organization.clone() });
                numbers.single = Some(id.0);
            }
            SingleWrite::AddLocation(location) => {
                let id = LocationId(next(&mut self.last_ids.locations));
                self.locations.insert(id, Location { id, ..location.clone() });
                numbers.single = Some(id.0);
            }
        }
    }

    fn add_channel(&mut self, channel: &Channel) -> i64 {
        let id = ChannelId(next(&mut self.last_ids.channels));
        self.channels.insert(id, Channel { id, ..channel.clone() });
        self.named_at.insert(id, channel.cursor.seq);
        self.members.extend(channel.owner_id.map(|owner| ((id, owner), channel.cursor.seq)));
        id.0
    }
}
