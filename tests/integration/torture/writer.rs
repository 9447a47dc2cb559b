//! A writer that repeats every mutation until it is acknowledged.

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{LAST_TITLE, code, random_program, retry_delay};
use crate::support::Program;

const CREATE: &str = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id cursor } }";
const COMMENT: &str = "mutation ($input: CreateCommentInput!) { createComment(input: $input) { id } }";
const UPDATE: &str = "mutation ($input: UpdateMessageInput!) { updateMessage(input: $input) { id } }";
const DELETE: &str = "mutation ($id: ID!) { deleteMessage(id: $id) }";

// The first messages of each writer are long, so that the log soon exceeds what the server keeps in memory.
const LONG_MESSAGES: usize = 200;
const LONG_CONTENT: usize = 20_000;

/// A message and the acknowledged changes of it.
#[derive(Debug, Clone)]
pub struct WrittenMessage {
    pub id: String,
    /// Unique; never changed.
    pub title: String,
    pub content: String,
    /// The id of the comment; the content of the comment is the title.
    pub comment: Option<String>,
    pub updated: bool,
    pub deleted: bool,
    /// How many times a mutation of this message was repeated.
    pub repetitions: u64,
}

impl WrittenMessage {
    /// The events that the log must hold for this message.
    pub fn events(&self) -> Vec<(&'static str, &str)> {
        let mut events = vec![("MessageAdded", self.id.as_str())];
        events.extend(self.comment.as_deref().map(|comment| ("CommentAdded", comment)));
        events.extend(self.updated.then_some(("MessageUpdated", self.id.as_str())));
        events.extend(self.deleted.then_some(("MessageDeleted", self.id.as_str())));
        events
    }
}

/// A writer of the torture test.
pub struct Writer<'p> {
    /// The instances; each request goes to a random one.
    programs: &'p [Program],
    number: u64,
    token: String,
    channel: String,
    random: StdRng,
    /// The current mutation, and how many times it was repeated.
    current: (String, u64),
}

impl<'p> Writer<'p> {
    pub fn new(programs: &'p [Program], number: u64, token: String, channel: String, random: StdRng) -> Self {
        Self { programs, number, token, channel, random, current: (String::new(), 0) }
    }

    /// Writes until `until`; each mutation is repeated until it is acknowledged.
    pub async fn write(
        mut self,
        until: Instant,
        deadline: Instant,
        progress: &watch::Sender<usize>,
    ) -> Result<Vec<WrittenMessage>, String> {
        let mut written = Vec::new();
        while Instant::now() < until {
            let title = format!("{}-{}", self.number, written.len());
            let content =
                if written.len() < LONG_MESSAGES { format!("{title:.<LONG_CONTENT$}") } else { title.clone() };
            let message = timeout_at(deadline, self.message(title, content)).await;
            let message = message.map_err(|_| self.timeout_error())??;
            progress.send_modify(|acknowledged| *acknowledged += message.events().len());
            written.push(message);
        }
        Ok(written)
    }

    /// Posts the last message of each channel.
    pub async fn end(mut self, channels: &[String], deadline: Instant) -> Result<(), String> {
        for channel in channels {
            self.channel.clone_from(channel);
            timeout_at(deadline, self.create(LAST_TITLE, LAST_TITLE)).await.map_err(|_| self.timeout_error())??;
        }
        Ok(())
    }

    /// Creates a message and, at random, comments on it, updates it and deletes it.
    async fn message(&mut self, title: String, content: String) -> Result<WrittenMessage, String> {
        let (id, cursor, mut repetitions) = self.create(&title, &content).await?;
        let mut message =
            WrittenMessage { id, title, content, comment: None, updated: false, deleted: false, repetitions: 0 };
        if self.random.random_bool(0.25) {
            let key = format!("{} comment", message.title);
            let input = json!({"messageId": message.id, "content": message.title, "idempotencyKey": key});
            let data = self.retry_until_acknowledged(COMMENT, json!({"input": input}), None).await?;
            message.comment = Some(text(&data["createComment"]["id"])?);
            repetitions += self.current.1;
        }
        if self.random.random_bool(0.25) {
            message.content.push_str(" changed");
            message.updated = true;
            let input = json!({"id": message.id, "content": message.content, "ifCursor": cursor});
            // This writer is the only one that changes the message. So a conflict means that an earlier attempt was
            // applied.
            self.retry_until_acknowledged(UPDATE, json!({"input": input}), Some("CONFLICT")).await?;
            repetitions += self.current.1;
        }
        // An idempotency key is removed together with the message. A message whose mutations were repeated is therefore
        // not deleted: a paused instance may still execute the first attempt, which would then create the message
        // again.
        if self.random.random_bool(0.15) && repetitions == 0 {
            message.deleted = true;
            self.retry_until_acknowledged(DELETE, json!({"id": message.id}), Some("NOT_FOUND")).await?;
            repetitions += self.current.1;
        }
        Ok(WrittenMessage { repetitions, ..message })
    }

    /// Posts a message; returns its id, its cursor and how many times the mutation was repeated.
    async fn create(&mut self, title: &str, content: &str) -> Result<(String, String, u64), String> {
        let key = format!("{title} in {}", self.channel);
        let input = json!({"channelId": self.channel, "title": title, "content": content, "idempotencyKey": key});
        let data = self.retry_until_acknowledged(CREATE, json!({"input": input}), None).await?;
        let message = &data["createMessage"];
        Ok((text(&message["id"])?, text(&message["cursor"])?, self.current.1))
    }

    /// Sends a mutation until it is acknowledged. `done` is the error code that means an earlier attempt was applied.
    async fn retry_until_acknowledged(
        &mut self,
        query: &str,
        variables: Value,
        done: Option<&str>,
    ) -> Result<Value, String> {
        self.current = (format!("{query} with {variables}"), 0);
        loop {
            // Without a complete answer in time the mutation may or may not have been applied.
            let program = random_program(self.programs, &mut self.random);
            if let Ok(mut response) = program.execute(Some(&self.token), query, &variables).await {
                match code(&response) {
                    None => return Ok(response["data"].take()),
                    Some(code) if code == "UNAVAILABLE" => {}
                    Some(code) if self.current.1 > 0 && done == Some(&code) => return Ok(Value::Null),
                    Some(_) => return Err(format!("the mutation was rejected: {}: {response}", self.current.0)),
                }
            }
            self.current.1 += 1;
            retry_delay(&mut self.random).await;
        }
    }

    fn timeout_error(&self) -> String {
        let (what, times) = &self.current;
        format!("writer {} got no acknowledgement in time: {what}, repeated {times} times", self.number)
    }
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is not a string"))
}
