//! Reads the rows of a batch from tables in memory, by the rule that [`Needs`] documents.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::{TAG, TestTables};
use crate::error::{Error, Result};
use crate::model::{
    Channel, ChannelId, Cursor, Event, EventKind, MessageId, Notification, NotificationId, OrganizationId, Rights, Seq,
    Tag, Timestamp, UserId, Visibility,
};
use crate::store::app_events::KeyedEvent;
use crate::store::batch::needs::{Lookup, Needs};
use crate::store::batch::state::{BatchRows, OrganizationRows};
use crate::store::idempotency::CreatedObject;
use crate::unicode::{self, NameForms};

impl TestTables {
    /// The rows that `needs` names.
    pub(in crate::store::batch) fn read(&self, needs: &Needs) -> BatchRows {
        let mut rows = BatchRows::default();
        self.read_content(needs, &mut rows);
        self.read_users(needs, &mut rows);
        for (id, reader) in &needs.notifications {
            rows.notifications.extend(self.notification(*id).map(|found| (*id, found)));
            rows.read_announcements.extend(self.read_announcements.get(&(*id, *reader)));
        }
        for (actor, key) in &needs.event_keys {
            let has_key =
                |event: &&Event| event.actor == *actor && event.key.as_ref().is_some_and(|used| used.name == *key);
            if let Some(event) = self.log.iter().map(|logged| &logged.event).find(has_key) {
                let digest = event.key.as_ref().map(|used| used.digest.clone()).unwrap_or_default();
                let keyed = KeyedEvent { cursor: event.cursor, at: event.at, object: event.object, digest };
                rows.event_keys.insert((*actor, key.clone()), keyed);
            }
        }
        for (channel, (seq, tag)) in &needs.positions {
            let cursor = Cursor { seq: Seq(*seq), tag: Tag(*tag) };
            rows.positions.insert((*channel, cursor), self.newest_at(*channel, cursor));
        }
        if !needs.metrics.is_empty() {
            rows.metrics = needs.metrics.iter().filter(|name| self.metrics.contains_key(*name)).cloned().collect();
            rows.metric_count = count(self.metrics.len());
        }
        let counts = needs.attempts.iter().map(|key| (key.clone(), self.attempts_within(key, needs.attempt_span)));
        rows.attempts = counts.collect();
        needs.lookups.iter().for_each(|lookup| self.look_up(lookup, &mut rows));
        rows
    }

    fn read_content(&self, needs: &Needs, rows: &mut BatchRows) {
        rows.keys = found(&self.keys, needs.keys.iter().cloned());
        let (mut comments, mut messages) = (needs.comments.clone(), needs.messages.clone());
        for (object, _) in rows.keys.values() {
            match object {
                CreatedObject::Message(id) => drop(messages.insert(*id)),
                CreatedObject::Comment(id) => drop(comments.insert(*id)),
                CreatedObject::User(_) => {}
            }
        }
        rows.comments = found(&self.comments, comments);
        messages.extend(rows.comments.values().map(|comment| comment.message_id));
        rows.messages = found(&self.messages, messages);
        let channels = rows.messages.values().map(|message| message.channel_id);
        rows.channels = found(&self.channels, needs.channels.iter().copied().chain(channels));
    }

    fn read_users(&self, needs: &Needs, rows: &mut BatchRows) {
        let mut ids = needs.users.clone();
        for message in needs.people.iter().filter_map(|id| rows.messages.get(id)) {
            ids.insert(message.author_id);
            ids.extend(message.ticket.and_then(|ticket| ticket.assignee_id));
        }
        ids.extend(self.named(&needs.usernames));
        rows.users = found(&self.users, ids);
        let organizations: BTreeSet<OrganizationId> =
            rows.users.values().filter_map(|user| user.organization_id).collect();
        let needed = self.locations.values().filter(|location| {
            needs.locations.contains(&location.id) || organizations.contains(&location.organization_id)
        });
        rows.locations = needed.map(|location| (location.id, location.organization_id)).collect();
        let is_read = |(channel, user): &(ChannelId, UserId)| {
            rows.channels.contains_key(channel) && rows.users.contains_key(user)
        };
        rows.members = self.members.keys().copied().filter(is_read).collect();
    }

    /// The users whose names may be these, as mentions spell them.
    fn named(&self, names: &BTreeSet<String>) -> Vec<UserId> {
        if names.is_empty() {
            return Vec::new();
        }
        let lowercased: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let skeletons: BTreeSet<String> = names.iter().map(|name| unicode::skeleton(name)).collect();
        let is_similar = |skeleton: String| !skeleton.is_empty() && skeletons.contains(&skeleton);
        let is_named = |username: &str| lowercased.contains(username) || is_similar(unicode::skeleton(username));
        self.users.values().filter(|user| is_named(&user.username)).map(|user| user.id).collect()
    }

    /// The notification, without its message if that was deleted.
    fn notification(&self, id: NotificationId) -> Option<Notification> {
        let mut notification = self.notifications.get(&id)?.clone();
        let exists = |id: &MessageId| {
            self.messages.get(id).is_some_and(|message| self.channels.contains_key(&message.channel_id))
        };
        notification.message_id = notification.message_id.filter(exists);
        Some(notification)
    }

    /// The last message of a channel at a position, also if it was deleted later.
    fn newest_at(&self, channel: ChannelId, cursor: Cursor) -> Result<Option<MessageId>> {
        let genesis = Cursor { seq: Seq(0), tag: TAG };
        if cursor != genesis && !self.log.iter().any(|logged| logged.event.cursor == cursor) {
            return Err(Error::CursorExpired { oldest: genesis });
        }
        let before = self.log.iter().map(|logged| &logged.event).filter(|event| event.cursor.seq <= cursor.seq);
        let posted = before.filter(|event| event.kind == EventKind::MessageAdded && event.channel == Some(channel));
        Ok(posted.map(|event| MessageId(event.object)).max())
    }

    fn look_up(&self, lookup: &Lookup, rows: &mut BatchRows) {
        match lookup {
            Lookup::Room(rights, name) => {
                rows.rooms.push((Arc::clone(rights), name.clone(), self.room(rights, name)));
            }
            Lookup::ApiKey(id) => rows.api_keys.extend(self.api_keys.get(id).map(|(key, _)| (*id, key.clone()))),
            Lookup::ProfileTime(identity) => {
                let at = self.profile_times.get(identity).copied().unwrap_or(Timestamp(0));
                rows.profile_times.insert(identity.clone(), at);
            }
            Lookup::EventTypes => {
                let lengths = self.event_types.iter().map(|(name, found)| (name.clone(), found.schema.len()));
                rows.event_types = Some(lengths.collect());
            }
            Lookup::ApiKeyCount => rows.api_key_count = Some(count(self.api_keys.len())),
            Lookup::SimilarChannel(rights, name) => self.look_up_channel(rights, name, None, rows),
            Lookup::SimilarToChannel(rights, id, name) => {
                let present = rows.channels.get(id).map(|channel| channel.name.clone());
                if let Some(name) = name.clone().or(present) {
                    self.look_up_channel(rights, &name, Some(*id), rows);
                }
            }
            Lookup::SimilarUsers(names, but) => {
                let others = self.users.values().filter(|user| Some(user.id) != *but);
                let known: Vec<&String> = others.map(|user| &user.username).collect();
                let found = names.iter().map(|name| (name.clone(), similar(name, known.iter().copied())));
                rows.similar_names.extend(found);
            }
            Lookup::CreatedUsers => {
                let created = rows.keys.values().filter_map(|(object, _)| object.user());
                rows.users.extend(created.map(|id| (id, self.users[&id].clone())).collect::<Vec<_>>());
            }
            Lookup::Identities(wanted) => {
                rows.identities.extend(found(&self.identities, wanted.iter().cloned()));
                rows.deleted_identities.extend(found(&self.deleted_identities, wanted.iter().cloned()));
            }
            Lookup::KnownOrganizations(ids) => {
                rows.known_organizations.extend(ids.iter().filter(|id| self.organizations.contains_key(id)));
            }
            Lookup::Users => rows.has_users = Some(!self.users.is_empty()),
            Lookup::SessionsOf(user) => {
                let own = self.sessions.values().filter(|session| session.user_id == *user);
                rows.sessions.insert(*user, own.cloned().collect());
            }
            Lookup::SessionOfFamily(family) => {
                if let Some(session) = self.sessions.values().find(|session| session.family == *family) {
                    rows.users.insert(session.user_id, self.users[&session.user_id].clone());
                    rows.session_families.insert(family.clone(), session.clone());
                }
            }
            Lookup::PasswordReset(digest) => {
                if let Some((user, (_, at))) = self.password_resets.iter().find(|(_, (known, _))| known == digest) {
                    rows.users.insert(*user, self.users[user].clone());
                    rows.password_resets.insert(digest.clone(), (*user, *at));
                }
            }
            Lookup::InviteCount => rows.invite_count = Some(count(self.invites.len())),
            Lookup::Invite(id) => rows.invites.extend(found(&self.invites, [*id])),
            Lookup::InviteWithCode(code) => {
                if let Some(invite) = self.invites.values().find(|invite| invite.code == *code) {
                    rows.channels.extend(found(&self.channels, invite.channels.iter().copied()));
                    rows.invites.insert(invite.id, invite.clone());
                }
            }
            Lookup::SimilarOrganization(name) => {
                let names = self.organizations.values().map(|organization| &organization.name);
                rows.similar_names.insert(name.clone(), similar(name, names));
                rows.organization_count = count(self.organizations.len());
            }
            Lookup::Organization(id) => self.look_up_organization(*id, false, rows),
            Lookup::OrganizationWithUsers(id) => self.look_up_organization(*id, true, rows),
            Lookup::Template(rights, id) => {
                let template = self.templates.get(id);
                let is_visible = |author| template.is_some_and(|found| rights.in_audience(&found.audience, author));
                let visible = template.filter(|template| is_visible(Some(template.author_id)));
                rows.templates.extend(visible.map(|template| (*id, template.clone())));
            }
        }
    }

    fn look_up_channel(&self, rights: &Rights, name: &str, but: Option<ChannelId>, rows: &mut BatchRows) {
        let readable = self.channels.values().filter(|channel| rights.can_read(channel) && Some(channel.id) != but);
        rows.similar_names.insert(name.to_owned(), similar(name, readable.map(|channel| &channel.name)));
    }

    fn look_up_organization(&self, id: OrganizationId, with_users: bool, rows: &mut BatchRows) {
        if self.organizations.contains_key(&id) {
            let locations = self.locations.values().filter(|location| location.organization_id == id);
            let users = self.users.values().filter(|user| with_users && user.organization_id == Some(id));
            let users = users.map(|user| user.id).collect();
            rows.organizations.insert(id, OrganizationRows { locations: locations.cloned().collect(), users });
        }
    }

    /// The channel with this name that the reader could see first.
    fn room(&self, rights: &Rights, name: &str) -> Option<Channel> {
        let readable = self.channels.values().filter(|channel| rights.can_read(channel));
        let named = readable.filter(|channel| unicode::is_same(&channel.name, name.trim()));
        let seen_since = |channel: &&Channel| {
            let joined = rights.user.and_then(|user| self.members.get(&(channel.id, user))).copied();
            let joined = joined.filter(|_| channel.visibility == Visibility::Private);
            (self.named_at[&channel.id].max(joined.unwrap_or(Seq(0))), channel.name != name.trim(), channel.id)
        };
        named.min_by_key(seen_since).cloned()
    }

    fn attempts_within(&self, key: &str, span: Duration) -> (i64, Option<Timestamp>) {
        let is_recent = |at: &&Timestamp| **at > self.now.before(span) && **at < self.now.after(span);
        let recent: Vec<_> = self.attempts.get(key).into_iter().flatten().filter(is_recent).copied().collect();
        (count(recent.len()), recent.into_iter().min())
    }
}

/// The first name that can be mistaken for this one.
fn similar<'n>(name: &str, mut among: impl Iterator<Item = &'n String>) -> Option<String> {
    let forms = NameForms::of(name);
    among.find(|other| *other == name || forms.is_confusable_with(other)).cloned()
}

/// The rows with these ids that exist.
fn found<I: Ord + Hash + Clone, R: Clone>(table: &BTreeMap<I, R>, ids: impl IntoIterator<Item = I>) -> HashMap<I, R> {
    ids.into_iter().filter_map(|id| table.get(&id).cloned().map(|row| (id, row))).collect()
}

fn count(length: usize) -> i64 {
    i64::try_from(length).expect("a small number")
}
