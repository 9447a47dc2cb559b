//! The server of one case: executes the steps, and checks that the log has the expected events.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidings::board::NewUser;
use tidings::model::{Cursor, Event, Role};

use super::model::{Key, Kind, Location, Model, Object, Reader, Rule, USERS, User};
use super::reader::TestReader;
use super::{Assignment, Step};
use crate::support::{PASSWORD, Server, Session, text, with_timeout};

/// The server of one case.
pub struct Fixture {
    pub server: Server,
    pub sessions: Vec<Session>,
    pub model: Model,
    /// The cursor at the start of the case.
    pub start: Cursor,
    /// The events since `start`.
    pub log: Vec<LoggedChange>,
    readers: Vec<TestReader>,
    count: u64,
}

/// An event of the log, and the change that it must describe.
#[derive(Debug, Clone)]
pub struct LoggedChange {
    pub event: Event,
    pub what: Change,
}

/// A change that a step must cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A change of an object: the name of the event, and the object.
    Object(&'static str, Key),
    /// A change of a user's rights; in one channel, if given.
    Access(usize, Option<String>),
    /// A change of visibility of a channel, for all users who are not members of it.
    Visibility(String),
    /// A notification for a user.
    Notified(usize),
    /// An application event with this text as its data.
    Published(String),
}

impl Change {
    /// The GraphQL type of the event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Object(name, _) => name,
            Self::Access(..) | Self::Visibility(_) => "AccessChanged",
            Self::Notified(_) => "NotificationAdded",
            Self::Published(_) => "AppEvent",
        }
    }

    /// Whether the reader may see the event now.
    pub fn is_visible_to(&self, reader: Reader, model: &Model) -> bool {
        match self {
            Self::Object(_, key) => model.can_see(reader, key),
            Self::Access(user, _) | Self::Notified(user) => reader == Some(*user),
            Self::Visibility(channel) => !model.belongs_to(reader, channel),
            Self::Published(data) => model.allows(reader, &model.published[data]),
        }
    }

    /// Whether the event shows an object that has been deleted, so that it is omitted.
    pub fn is_omitted(&self, model: &Model) -> bool {
        match self {
            Self::Object(name, key) => !name.ends_with("Deleted") && model.objects[key].is_deleted,
            Self::Published(data) => model.is_channel_deleted(&model.published[data]),
            Self::Access(..) | Self::Visibility(_) | Self::Notified(_) => false,
        }
    }

    /// The channel that the event belongs to.
    pub fn channel(&self, model: &Model) -> Option<String> {
        match self {
            Self::Object(_, key) => model.channel_of(key),
            Self::Access(_, channel) => channel.clone(),
            Self::Visibility(channel) => Some(channel.clone()),
            Self::Published(data) => model.channel_in(&model.published[data]),
            Self::Notified(_) => None,
        }
    }
}

impl Fixture {
    pub async fn new(assignments: &[Assignment]) -> Result<Self, String> {
        let server = Server::start_with(|config| {
            config.listen = (crate::scripts::unused_loopback_address(), 0).into();
            config.limits.max_cost = usize::MAX;
        })
        .await;
        let mut model = Model::default();
        let mut sessions = Vec::new();
        for number in 0..USERS {
            let username = format!("user{number}");
            let role = if number == 0 { Role::Admin } else { Role::Member };
            let new = NewUser { username: username.clone(), display_name: username.clone(), role };
            server.board().accounts.add(new, PASSWORD.into()).await.map_err(|error| error.to_string())?;
            let session = server.board().accounts.token_for(&username).map_err(|error| error.to_string())?;
            let id = session.user.id.to_string();
            model.users.push(User { id: id.clone(), is_admin: number == 0, ..User::default() });
            sessions.push(Session { id, username, token: session.token });
        }
        let start = server.board().log.head();
        let mut fixture = Self { server, sessions, model, start, log: Vec::new(), readers: Vec::new(), count: 0 };
        for organization in 0..2 {
            let input = json!({"name": fixture.fresh("organization")});
            let created = fixture.mutate(Some(0), "createOrganization", "id", input).await?.ok_or("no organization")?;
            fixture.model.organizations.push(text(&created["id"]));
            for _ in 0..2 - organization {
                fixture.run_step(Step::MakeLocation(organization)).await?;
            }
        }
        for (number, assignment) in assignments.iter().enumerate() {
            fixture.run_step(Step::Assign { user: number + 1, assignment: *assignment, admin: false }).await?;
        }
        for number in 0..=USERS {
            let mut reader = TestReader::new((number < USERS).then_some(number), &fixture);
            reader.reconnect(&fixture).await?;
            fixture.readers.push(reader);
        }
        Ok(fixture)
    }

    /// Stops the server at the end of a case.
    pub async fn close(mut self) {
        // A reader that does not read the close frame would delay the shutdown.
        self.readers.iter_mut().for_each(TestReader::disconnect);
        self.server.close().await;
    }

    fn fresh(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what} {}", self.count)
    }

    /// Executes a step, and checks what every reader receives.
    pub async fn run_step(&mut self, step: Step) -> Result<(), String> {
        let mut readers = std::mem::take(&mut self.readers);
        match step {
            Step::Disconnect(reader) => readers[reader].disconnect(),
            Step::Reconnect(reader) => readers[reader].reconnect(self).await?,
            Step::Follow { reader, channel } => {
                // Any channel: also deleted ones, and ones that the reader may not see.
                let all: Vec<&Key> = self.model.objects.keys().filter(|(kind, _)| *kind == Kind::Channel).collect();
                if !all.is_empty() {
                    let (_, id) = all[usize::from(channel) % all.len()].clone();
                    readers[reader].follow(self, id).await?;
                }
            }
            Step::Restart => {
                readers.iter_mut().for_each(TestReader::disconnect);
                self.server.restart().await;
                for reader in &mut readers {
                    reader.reconnect(self).await?;
                }
            }
            Step::Audit => {
                for reader in &readers {
                    super::audit::verify(reader, self).await?;
                }
            }
            _ => {
                let expected = self.execute_step(step).await?;
                let before = self.log.len();
                self.settle(expected).await?;
                for reader in &mut readers {
                    reader.receive(self, &self.log[before..]).await?;
                }
            }
        }
        self.readers = readers;
        Ok(())
    }

    /// Reads the new events of the log, compares them with the expected changes, and waits until they are published.
    async fn settle(&mut self, expected: Vec<Change>) -> Result<(), String> {
        let after = self.log.last().map_or(self.start, |logged| logged.event.cursor);
        let (events, _) = self.server.board().log.events_after(Some(after)).map_err(|error| error.to_string())?;
        let what: Vec<Change> = events.iter().map(|event| self.what(event)).collect::<Result<_, _>>()?;
        if what != expected {
            return Err(format!("the step must cause {expected:?}, but the log has {what:?}"));
        }
        self.log.extend(events.into_iter().zip(what).map(|(event, what)| LoggedChange { event, what }));
        let head = self.log.last().map_or(self.start, |logged| logged.event.cursor);
        let served = async {
            while self.server.board().log.head().seq < head.seq {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        with_timeout("the head", served).await;
        Ok(())
    }

    /// The change that an event describes.
    fn what(&self, event: &Event) -> Result<Change, String> {
        let name = event.kind.name();
        if name == "AccessChanged" {
            let Some(id) = event.user.map(|id| id.to_string()) else {
                return Ok(Change::Visibility(
                    event.channel.ok_or("an AccessChanged event without user and channel")?.to_string(),
                ));
            };
            let user = self
                .model
                .users
                .iter()
                .position(|user| user.id == id)
                .ok_or("an AccessChanged event for an unknown user")?;
            return Ok(Change::Access(user, event.channel.map(|channel| channel.to_string())));
        }
        if name == "NotificationAdded" {
            let user =
                self.model.users.iter().position(|user| Some(&user.id) == event.user.map(|id| id.to_string()).as_ref());
            return Ok(Change::Notified(user.ok_or("a NotificationAdded event for an unknown user")?));
        }
        if name == "AppEvent" {
            let data = event.payload.as_deref().ok_or("an AppEvent without data")?;
            return Ok(Change::Published(serde_json::from_str(data).map_err(|error| error.to_string())?));
        }
        let kinds = [Kind::Channel, Kind::Message, Kind::Comment, Kind::Template];
        let kind = kinds.into_iter().find(|kind| name.starts_with(&format!("{kind:?}"))).ok_or(name)?;
        Ok(Change::Object(name, (kind, event.object.to_string())))
    }

    /// Executes a mutation; returns the changes that it must have caused.
    async fn execute_step(&mut self, step: Step) -> Result<Vec<Change>, String> {
        match step {
            Step::MakeChannel { user, private } => {
                // Members may publish in the channels that begin as private ones.
                let rule =
                    Rule::Channel { is_private: private, members: BTreeSet::from([user]), members_publish: private };
                let visibility = if private { "PRIVATE" } else { "PUBLIC" };
                let publishing = if private { "MEMBERS" } else { "KEYS" };
                let name = self.fresh("channel");
                let input = json!({"name": name, "visibility": visibility, "publishing": publishing});
                self.create(user, "createChannel", input, "name", rule).await
            }
            Step::SetVisibility { channel, private } => {
                let Some(key) = self.model.pick(Kind::Channel, channel) else { return Ok(Vec::new()) };
                let input = json!({"id": key.1, "visibility": if private { "PRIVATE" } else { "PUBLIC" }});
                self.execute_as_admin("updateChannel", "id", input).await?;
                let Rule::Channel { is_private, .. } = self.rule(&key) else { return Err("no channel".into()) };
                let changed = std::mem::replace(is_private, private) != private;
                let visibility = changed.then(|| Change::Visibility(key.1.clone()));
                Ok([Change::Object("ChannelUpdated", key)].into_iter().chain(visibility).collect())
            }
            Step::Join { channel, user } => self.change_member("addMember", channel, user, BTreeSet::insert).await,
            Step::Leave { channel, user } => {
                self.change_member("removeMember", channel, user, |members, user| members.remove(&user)).await
            }
            Step::Post { user, channel, locations } => {
                let Some((_, channel)) = self.model.pick(Kind::Channel, channel) else { return Ok(Vec::new()) };
                let (locations, ids) = self.locations(locations);
                let content = self.fresh("message");
                let input = json!({"channelId": channel, "content": content, "shareLocationIds": ids});
                let rule = Rule::Message { channel, author: user, locations };
                self.create(user, "createMessage", input, "content", rule).await
            }
            Step::Publish { user, channel, locations } => self.publish(user, channel, locations).await,
            Step::Comment { user, message } => {
                let Some((_, message)) = self.model.pick(Kind::Message, message) else { return Ok(Vec::new()) };
                let input = json!({"messageId": message, "content": self.fresh("comment")});
                let place = (Kind::Message, message.clone());
                let rule = Rule::Comment { message, author: user };
                let mut created = self.create(user, "createComment", input, "content", rule).await?;
                // The author of the message is notified if that user may still read it.
                let Rule::Message { author, .. } = *self.rule(&place) else { return Err("no message".into()) };
                if !created.is_empty() && author != user && self.model.can_see(Some(author), &place) {
                    created.push(Change::Notified(author));
                }
                Ok(created)
            }
            Step::AddTemplate { user, locations } => {
                let (locations, ids) = self.locations(locations);
                let input = json!({"name": self.fresh("template"), "content": "Hello!", "shareLocationIds": ids});
                self.create(user, "addTemplate", input, "name", Rule::Template { author: user, locations }).await
            }
            Step::Edit { user, message } => self.edit(user, Kind::Message, message).await,
            Step::EditComment { user, comment } => self.edit(user, Kind::Comment, comment).await,
            Step::DeleteChannel(number) => self.delete(Kind::Channel, number).await,
            Step::DeleteMessage(number) => self.delete(Kind::Message, number).await,
            Step::DeleteComment(number) => self.delete(Kind::Comment, number).await,
            Step::DeleteTemplate(number) => self.delete(Kind::Template, number).await,
            Step::Assign { user, assignment: (organization, location), admin } => {
                let model = &self.model;
                let input = json!({
                    "userId": model.users[user].id,
                    "organizationId": organization.map(|number| &model.organizations[number]),
                    "locationId": location.map(|number| &model.locations[number].id),
                    "role": if admin { "ADMIN" } else { "MEMBER" },
                });
                self.execute_as_admin("assignUser", "id", input).await?;
                let user_now = &mut self.model.users[user];
                (user_now.is_admin, user_now.organization, user_now.location) = (admin, organization, location);
                Ok(vec![Change::Access(user, None)])
            }
            Step::MakeLocation(organization) => {
                let name = self.fresh("location");
                let input = json!({"organizationId": self.model.organizations[organization], "name": name});
                let created = self.execute_as_admin("createLocation", "id", input).await?;
                self.model.locations.push(Location { id: text(&created["id"]), organization });
                let in_organization = |user: &usize| self.model.users[*user].organization == Some(organization);
                Ok((0..USERS).filter(in_organization).map(|user| Change::Access(user, None)).collect())
            }
            Step::Follow { .. } | Step::Disconnect(_) | Step::Reconnect(_) | Step::Restart | Step::Audit => {
                Ok(Vec::new())
            }
        }
    }

    fn rule(&mut self, key: &Key) -> &mut Rule {
        &mut self.model.objects.get_mut(key).expect("the model has the object").rule
    }

    fn locations(&self, bits: u8) -> (Vec<usize>, Vec<String>) {
        let among =
            self.model.locations.iter().enumerate().filter(|(number, _)| *number < 8 && bits >> number & 1 == 1);
        among.map(|(number, location)| (number, location.id.clone())).unzip()
    }

    /// Creates an object as a user. It must succeed exactly if the user may see the object that contains it.
    async fn create(
        &mut self,
        user: usize,
        field: &str,
        input: Value,
        label: &str,
        rule: Rule,
    ) -> Result<Vec<Change>, String> {
        let (name, kind, place) = match &rule {
            Rule::Channel { .. } => ("ChannelAdded", Kind::Channel, None),
            Rule::Message { channel, .. } => ("MessageAdded", Kind::Message, Some((Kind::Channel, channel.clone()))),
            Rule::Comment { message, .. } => ("CommentAdded", Kind::Comment, Some((Kind::Message, message.clone()))),
            Rule::Template { .. } => ("TemplateAdded", Kind::Template, None),
        };
        let may = place.is_none_or(|place| self.model.can_see(Some(user), &place));
        let created = self.mutate(Some(user), field, &format!("id {label}"), input).await?;
        match created {
            Some(created) if may => {
                let key = (kind, text(&created["id"]));
                let object = Object { text: text(&created[label]), is_deleted: false, rule };
                self.model.objects.insert(key.clone(), object);
                Ok(vec![Change::Object(name, key)])
            }
            None if !may => Ok(Vec::new()),
            other => Err(format!("{field} by user {user}: allowed is {may}, but the server answers {other:?}")),
        }
    }

    /// Publishes an application event as a user. It must succeed exactly if the user is an admin or, where members may
    /// publish, a member.
    async fn publish(&mut self, user: usize, channel: u8, locations: u8) -> Result<Vec<Change>, String> {
        let Some(key) = self.model.pick(Kind::Channel, channel) else { return Ok(Vec::new()) };
        let (locations, ids) = self.locations(locations);
        let data = self.fresh("event");
        let input = json!({"channelId": key.1, "type": "t", "data": data, "shareLocationIds": ids});
        let Rule::Channel { members, members_publish, .. } = self.rule(&key).clone() else {
            return Err("no channel".into());
        };
        let may = self.model.users[user].is_admin || (members_publish && members.contains(&user));
        match self.mutate(Some(user), "publish", "cursor", input).await? {
            Some(_) if may => {
                let rule = Rule::Message { channel: key.1, author: user, locations };
                self.model.published.insert(data.clone(), rule);
                Ok(vec![Change::Published(data)])
            }
            None if !may => Ok(Vec::new()),
            other => Err(format!("publish by user {user}: allowed is {may}, but the server answers {other:?}")),
        }
    }

    /// Edits a text as a user. It must succeed exactly if the user may see the object and is its author or an admin.
    async fn edit(&mut self, user: usize, kind: Kind, number: u8) -> Result<Vec<Change>, String> {
        let Some(key) = self.model.pick(kind, number) else { return Ok(Vec::new()) };
        let (field, name) = match kind {
            Kind::Message => ("updateMessage", "MessageUpdated"),
            _ => ("updateComment", "CommentUpdated"),
        };
        let (Rule::Message { author, .. } | Rule::Comment { author, .. }) = *self.rule(&key) else {
            return Err("the object has no author".into());
        };
        let may = self.model.can_see(Some(user), &key) && (author == user || self.model.users[user].is_admin);
        let content = self.fresh("edited");
        match self.mutate(Some(user), field, "id", json!({"id": key.1, "content": content})).await? {
            Some(_) if may => {
                self.model.objects.get_mut(&key).expect("the model has the object").text = content;
                Ok(vec![Change::Object(name, key)])
            }
            None if !may => Ok(Vec::new()),
            other => Err(format!("{field} by user {user}: allowed is {may}, but the server answers {other:?}")),
        }
    }

    async fn delete(&mut self, kind: Kind, number: u8) -> Result<Vec<Change>, String> {
        let Some(key) = self.model.pick(kind, number) else { return Ok(Vec::new()) };
        let name = match kind {
            Kind::Channel => "ChannelDeleted",
            Kind::Message => "MessageDeleted",
            Kind::Comment => "CommentDeleted",
            Kind::Template => "TemplateDeleted",
        };
        let query = format!("mutation ($id: ID!) {{ delete{kind:?}(id: $id) }}");
        self.server.data(Some(&self.sessions[0]), &query, json!({"id": key.1})).await;
        self.model.delete(&key);
        Ok(vec![Change::Object(name, key)])
    }

    /// Adds or removes a member of a channel, as the admin.
    async fn change_member(
        &mut self,
        field: &str,
        channel: u8,
        user: usize,
        change: fn(&mut BTreeSet<usize>, usize) -> bool,
    ) -> Result<Vec<Change>, String> {
        let Some(key) = self.model.pick(Kind::Channel, channel) else { return Ok(Vec::new()) };
        let query =
            format!("mutation ($channel: ID!, $user: ID!) {{ {field}(channelId: $channel, userId: $user) {{ id }} }}");
        let variables = json!({"channel": key.1, "user": self.model.users[user].id});
        self.server.data(Some(&self.sessions[0]), &query, variables).await;
        let Rule::Channel { members, .. } = self.rule(&key) else { return Err("no channel".into()) };
        let changed = change(members, user);
        Ok(if changed { vec![Change::Access(user, Some(key.1))] } else { Vec::new() })
    }

    async fn execute_as_admin(&self, field: &str, selection: &str, input: Value) -> Result<Value, String> {
        self.mutate(Some(0), field, selection, input).await?.ok_or_else(|| format!("{field} was rejected"))
    }

    /// The result of a mutation; `None` if it was rejected with `NOT_FOUND` or `FORBIDDEN`.
    async fn mutate(&self, user: Reader, field: &str, selection: &str, input: Value) -> Result<Option<Value>, String> {
        let type_name = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
        let query = format!("mutation ($input: {type_name}!) {{ {field}(input: $input) {{ {selection} }} }}");
        let session = user.map(|user| &self.sessions[user]);
        let mut answer = self.server.execute(session, &query, json!({"input": input})).await;
        if answer.get("errors").is_none() {
            return Ok(Some(answer["data"][field].take()));
        }
        match answer["errors"][0]["extensions"]["code"].as_str() {
            Some("NOT_FOUND" | "FORBIDDEN") => Ok(None),
            _ => Err(format!("{query}: {answer}")),
        }
    }
}
