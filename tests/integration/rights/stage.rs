//! The server of one case: executes the steps, and checks that the log has the expected events.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidings::board::NewUser;
use tidings::model::{Cursor, Event, Role};

use super::model::{Key, Kind, Location, Model, Object, Reader, Rule, USERS, User};
use super::viewer::Viewer;
use super::{Belonging, Step};
use crate::support::{PASSWORD, Server, Session, soon, text};

/// The server of one case.
pub struct Stage {
    pub server: Server,
    pub sessions: Vec<Session>,
    pub model: Model,
    /// The cursor at the start of the case.
    pub start: Cursor,
    /// The events since `start`.
    pub log: Vec<Happened>,
    viewers: Vec<Viewer>,
    count: u64,
}

/// An event of the log, and the change that it must describe.
#[derive(Debug, Clone)]
pub struct Happened {
    pub event: Event,
    pub what: What,
}

/// A change that a step must cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A change of an object: the name of the event, and the object.
    Changed(&'static str, Key),
    /// A change of a user's rights; in one channel, if given.
    Access(usize, Option<String>),
    /// A change of visibility of a channel, for all users who are not members of it.
    Visibility(String),
    /// A notification for a user.
    Notified(usize),
}

impl What {
    /// As GraphQL calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Changed(name, _) => name,
            Self::Access(..) | Self::Visibility(_) => "AccessChanged",
            Self::Notified(_) => "NotificationAdded",
        }
    }

    /// Whether the reader may see the event now.
    pub fn is_for(&self, reader: Reader, model: &Model) -> bool {
        match self {
            Self::Changed(_, key) => model.sees(reader, key),
            Self::Access(user, _) | Self::Notified(user) => reader == Some(*user),
            Self::Visibility(channel) => !model.belongs_to(reader, channel),
        }
    }

    /// Whether the event shows an object that has been deleted, so that it is omitted.
    pub fn is_void(&self, model: &Model) -> bool {
        matches!(self, Self::Changed(name, key) if !name.ends_with("Deleted") && model.objects[key].is_gone)
    }

    /// The channel that the event belongs to.
    pub fn channel(&self, model: &Model) -> Option<String> {
        match self {
            Self::Changed(_, key) => model.channel_of(key),
            Self::Access(_, channel) => channel.clone(),
            Self::Visibility(channel) => Some(channel.clone()),
            Self::Notified(_) => None,
        }
    }
}

impl Stage {
    pub async fn set(belongings: &[Belonging]) -> Result<Self, String> {
        let server = Server::start_with(|config| {
            config.listen = (crate::scripts::own_address(), 0).into();
            config.limits.max_cost = usize::MAX;
        })
        .await;
        let mut model = Model::default();
        let mut sessions = Vec::new();
        for number in 0..USERS {
            let username = format!("user{number}");
            let role = if number == 0 { Role::Admin } else { Role::Member };
            let new = NewUser { username: username.clone(), display_name: username.clone(), role };
            server.board().add_user(new, PASSWORD.into()).await.map_err(|error| error.to_string())?;
            let session = server.board().token_for(&username).map_err(|error| error.to_string())?;
            let id = session.user.id.to_string();
            model.users.push(User { id: id.clone(), is_admin: number == 0, ..User::default() });
            sessions.push(Session { id, username, token: session.token });
        }
        let start = server.board().head();
        let mut stage = Self { server, sessions, model, start, log: Vec::new(), viewers: Vec::new(), count: 0 };
        for organization in 0..2 {
            let input = json!({"name": stage.fresh("organization")});
            let made = stage.ask(Some(0), "createOrganization", "id", input).await?.ok_or("no organization")?;
            stage.model.organizations.push(text(&made["id"]));
            for _ in 0..2 - organization {
                stage.play(Step::MakeLocation(organization)).await?;
            }
        }
        for (number, belonging) in belongings.iter().enumerate() {
            stage.play(Step::Assign { user: number + 1, belonging: *belonging, admin: false }).await?;
        }
        for number in 0..=USERS {
            let mut viewer = Viewer::new((number < USERS).then_some(number), &stage);
            viewer.back(&stage).await?;
            stage.viewers.push(viewer);
        }
        Ok(stage)
    }

    /// Stops the server at the end of a case.
    pub async fn close(mut self) {
        // A reader that does not read the close frame would delay the shutdown.
        self.viewers.iter_mut().for_each(Viewer::cut);
        self.server.close().await;
    }

    fn fresh(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what} {}", self.count)
    }

    /// Executes a step, and checks what every reader receives.
    pub async fn play(&mut self, step: Step) -> Result<(), String> {
        let mut viewers = std::mem::take(&mut self.viewers);
        match step {
            Step::Cut(reader) => viewers[reader].cut(),
            Step::Back(reader) => viewers[reader].back(self).await?,
            Step::Follow { reader, channel } => {
                // Any channel: also deleted ones, and ones that the reader may not see.
                let all: Vec<&Key> = self.model.objects.keys().filter(|(kind, _)| *kind == Kind::Channel).collect();
                if !all.is_empty() {
                    let (_, id) = all[usize::from(channel) % all.len()].clone();
                    viewers[reader].follow(self, id).await?;
                }
            }
            Step::Restart => {
                viewers.iter_mut().for_each(Viewer::cut);
                self.server.restart().await;
                for viewer in &mut viewers {
                    viewer.back(self).await?;
                }
            }
            Step::Audit => {
                for viewer in &viewers {
                    super::audit::agree(viewer, self).await?;
                }
            }
            _ => {
                let expected = self.act(step).await?;
                let before = self.log.len();
                self.settle(expected).await?;
                for viewer in &mut viewers {
                    viewer.see(self, &self.log[before..]).await?;
                }
            }
        }
        self.viewers = viewers;
        Ok(())
    }

    /// Reads the new events of the log, compares them with the expected changes, and waits until they are published.
    async fn settle(&mut self, expected: Vec<What>) -> Result<(), String> {
        let after = self.log.last().map_or(self.start, |happened| happened.event.cursor);
        let (events, _) = self.server.board().events_after(Some(after)).map_err(|error| error.to_string())?;
        let what: Vec<What> = events.iter().map(|event| self.what(event)).collect::<Result<_, _>>()?;
        if what != expected {
            return Err(format!("the step must cause {expected:?}, but the log has {what:?}"));
        }
        self.log.extend(events.into_iter().zip(what).map(|(event, what)| Happened { event, what }));
        let head = self.log.last().map_or(self.start, |happened| happened.event.cursor);
        let served = async {
            while self.server.board().head().seq < head.seq {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        soon("the head", served).await;
        Ok(())
    }

    /// The change that an event describes.
    fn what(&self, event: &Event) -> Result<What, String> {
        let name = event.kind.name();
        if name == "AccessChanged" {
            let Some(id) = event.user.map(|id| id.to_string()) else {
                return Ok(What::Visibility(
                    event.channel.ok_or("an AccessChanged event without user and channel")?.to_string(),
                ));
            };
            let user = self
                .model
                .users
                .iter()
                .position(|user| user.id == id)
                .ok_or("an AccessChanged event for an unknown user")?;
            return Ok(What::Access(user, event.channel.map(|channel| channel.to_string())));
        }
        if name == "NotificationAdded" {
            let user =
                self.model.users.iter().position(|user| Some(&user.id) == event.user.map(|id| id.to_string()).as_ref());
            return Ok(What::Notified(user.ok_or("a NotificationAdded event for an unknown user")?));
        }
        let kinds = [Kind::Channel, Kind::Message, Kind::Comment, Kind::Template];
        let kind = kinds.into_iter().find(|kind| name.starts_with(&format!("{kind:?}"))).ok_or(name)?;
        Ok(What::Changed(name, (kind, event.object.to_string())))
    }

    /// Executes a mutation; returns the changes that it must have caused.
    async fn act(&mut self, step: Step) -> Result<Vec<What>, String> {
        match step {
            Step::MakeChannel { user, private } => {
                let rule = Rule::Channel { is_private: private, members: BTreeSet::from([user]) };
                let visibility = if private { "PRIVATE" } else { "PUBLIC" };
                let input = json!({"name": self.fresh("channel"), "visibility": visibility});
                self.make(user, "createChannel", input, "name", rule).await
            }
            Step::Publish { channel, private } => {
                let Some(key) = self.model.pick(Kind::Channel, channel) else { return Ok(Vec::new()) };
                let input = json!({"id": key.1, "visibility": if private { "PRIVATE" } else { "PUBLIC" }});
                self.must("updateChannel", "id", input).await?;
                let Rule::Channel { is_private, .. } = self.rule(&key) else { return Err("no channel".into()) };
                let changed = std::mem::replace(is_private, private) != private;
                let visibility = changed.then(|| What::Visibility(key.1.clone()));
                Ok([What::Changed("ChannelUpdated", key)].into_iter().chain(visibility).collect())
            }
            Step::Join { channel, user } => self.admit("addMember", channel, user, BTreeSet::insert).await,
            Step::Leave { channel, user } => {
                self.admit("removeMember", channel, user, |members, user| members.remove(&user)).await
            }
            Step::Post { user, channel, locations } => {
                let Some((_, channel)) = self.model.pick(Kind::Channel, channel) else { return Ok(Vec::new()) };
                let (locations, ids) = self.locations(locations);
                let content = self.fresh("message");
                let input = json!({"channelId": channel, "content": content, "shareLocationIds": ids});
                let rule = Rule::Message { channel, author: user, locations };
                self.make(user, "createMessage", input, "content", rule).await
            }
            Step::Comment { user, message } => {
                let Some((_, message)) = self.model.pick(Kind::Message, message) else { return Ok(Vec::new()) };
                let input = json!({"messageId": message, "content": self.fresh("comment")});
                let place = (Kind::Message, message.clone());
                let rule = Rule::Comment { message, author: user };
                let mut made = self.make(user, "createComment", input, "content", rule).await?;
                // The author of the message is notified if that user may still read it.
                let Rule::Message { author, .. } = *self.rule(&place) else { return Err("no message".into()) };
                if !made.is_empty() && author != user && self.model.sees(Some(author), &place) {
                    made.push(What::Notified(author));
                }
                Ok(made)
            }
            Step::AddTemplate { user, locations } => {
                let (locations, ids) = self.locations(locations);
                let input = json!({"name": self.fresh("template"), "content": "Hello!", "shareLocationIds": ids});
                self.make(user, "addTemplate", input, "name", Rule::Template { author: user, locations }).await
            }
            Step::Edit { user, message } => self.edit(user, Kind::Message, message).await,
            Step::EditComment { user, comment } => self.edit(user, Kind::Comment, comment).await,
            Step::DeleteChannel(number) => self.delete(Kind::Channel, number).await,
            Step::DeleteMessage(number) => self.delete(Kind::Message, number).await,
            Step::DeleteComment(number) => self.delete(Kind::Comment, number).await,
            Step::DeleteTemplate(number) => self.delete(Kind::Template, number).await,
            Step::Assign { user, belonging: (organization, location), admin } => {
                let model = &self.model;
                let input = json!({
                    "userId": model.users[user].id,
                    "organizationId": organization.map(|number| &model.organizations[number]),
                    "locationId": location.map(|number| &model.locations[number].id),
                    "role": if admin { "ADMIN" } else { "MEMBER" },
                });
                self.must("assignUser", "id", input).await?;
                let user_now = &mut self.model.users[user];
                (user_now.is_admin, user_now.organization, user_now.location) = (admin, organization, location);
                Ok(vec![What::Access(user, None)])
            }
            Step::MakeLocation(organization) => {
                let name = self.fresh("location");
                let input = json!({"organizationId": self.model.organizations[organization], "name": name});
                let made = self.must("createLocation", "id", input).await?;
                self.model.locations.push(Location { id: text(&made["id"]), organization });
                let there = |user: &usize| self.model.users[*user].organization == Some(organization);
                Ok((0..USERS).filter(there).map(|user| What::Access(user, None)).collect())
            }
            Step::Follow { .. } | Step::Cut(_) | Step::Back(_) | Step::Restart | Step::Audit => Ok(Vec::new()),
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
    async fn make(
        &mut self,
        user: usize,
        field: &str,
        input: Value,
        label: &str,
        rule: Rule,
    ) -> Result<Vec<What>, String> {
        let (name, kind, place) = match &rule {
            Rule::Channel { .. } => ("ChannelAdded", Kind::Channel, None),
            Rule::Message { channel, .. } => ("MessageAdded", Kind::Message, Some((Kind::Channel, channel.clone()))),
            Rule::Comment { message, .. } => ("CommentAdded", Kind::Comment, Some((Kind::Message, message.clone()))),
            Rule::Template { .. } => ("TemplateAdded", Kind::Template, None),
        };
        let may = place.is_none_or(|place| self.model.sees(Some(user), &place));
        let made = self.ask(Some(user), field, &format!("id {label}"), input).await?;
        match made {
            Some(made) if may => {
                let key = (kind, text(&made["id"]));
                let object = Object { text: text(&made[label]), is_gone: false, rule };
                self.model.objects.insert(key.clone(), object);
                Ok(vec![What::Changed(name, key)])
            }
            None if !may => Ok(Vec::new()),
            other => Err(format!("{field} by user {user}: allowed is {may}, but the server answers {other:?}")),
        }
    }

    /// Edits a text as a user. It must succeed exactly if the user may see the object and is its author or an admin.
    async fn edit(&mut self, user: usize, kind: Kind, number: u8) -> Result<Vec<What>, String> {
        let Some(key) = self.model.pick(kind, number) else { return Ok(Vec::new()) };
        let (field, name) = match kind {
            Kind::Message => ("updateMessage", "MessageUpdated"),
            _ => ("updateComment", "CommentUpdated"),
        };
        let (Rule::Message { author, .. } | Rule::Comment { author, .. }) = *self.rule(&key) else {
            return Err("the object has no author".into());
        };
        let may = self.model.sees(Some(user), &key) && (author == user || self.model.users[user].is_admin);
        let content = self.fresh("edited");
        match self.ask(Some(user), field, "id", json!({"id": key.1, "content": content})).await? {
            Some(_) if may => {
                self.model.objects.get_mut(&key).expect("the model has the object").text = content;
                Ok(vec![What::Changed(name, key)])
            }
            None if !may => Ok(Vec::new()),
            other => Err(format!("{field} by user {user}: allowed is {may}, but the server answers {other:?}")),
        }
    }

    async fn delete(&mut self, kind: Kind, number: u8) -> Result<Vec<What>, String> {
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
        Ok(vec![What::Changed(name, key)])
    }

    /// Adds or removes a member of a channel, as the admin.
    async fn admit(
        &mut self,
        field: &str,
        channel: u8,
        user: usize,
        change: fn(&mut BTreeSet<usize>, usize) -> bool,
    ) -> Result<Vec<What>, String> {
        let Some(key) = self.model.pick(Kind::Channel, channel) else { return Ok(Vec::new()) };
        let query =
            format!("mutation ($channel: ID!, $user: ID!) {{ {field}(channelId: $channel, userId: $user) {{ id }} }}");
        let variables = json!({"channel": key.1, "user": self.model.users[user].id});
        self.server.data(Some(&self.sessions[0]), &query, variables).await;
        let Rule::Channel { members, .. } = self.rule(&key) else { return Err("no channel".into()) };
        let changed = change(members, user);
        Ok(if changed { vec![What::Access(user, Some(key.1))] } else { Vec::new() })
    }

    async fn must(&self, field: &str, selection: &str, input: Value) -> Result<Value, String> {
        self.ask(Some(0), field, selection, input).await?.ok_or_else(|| format!("{field} was rejected"))
    }

    /// The result of a mutation; `None` if it was rejected with `NOT_FOUND` or `FORBIDDEN`.
    async fn ask(&self, user: Reader, field: &str, selection: &str, input: Value) -> Result<Option<Value>, String> {
        let type_name = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
        let query = format!("mutation ($input: {type_name}!) {{ {field}(input: $input) {{ {selection} }} }}");
        let session = user.map(|user| &self.sessions[user]);
        let mut answer = self.server.ask(session, &query, json!({"input": input})).await;
        if answer.get("errors").is_none() {
            return Ok(Some(answer["data"][field].take()));
        }
        match answer["errors"][0]["extensions"]["code"].as_str() {
            Some("NOT_FOUND" | "FORBIDDEN") => Ok(None),
            _ => Err(format!("{query}: {answer}")),
        }
    }
}
