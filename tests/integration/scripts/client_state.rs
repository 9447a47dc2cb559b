//! The state that a client keeps, from a query and then from each event, as `docs/clients.md` describes.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidings::model::Cursor;

use super::fixture::{CHANNEL, COMMENT, Fixture, Key, Kind, MESSAGE};
use super::subscriber::{Document, ReceivedEvent};
use crate::support::text;

/// All objects that a client knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientState(BTreeMap<Key, Value>);

impl ClientState {
    /// Queries what a subscription follows; returns the state and the cursor at which to subscribe.
    pub async fn query(fixture: &Fixture, document: Document) -> (Self, Cursor) {
        let comments = format!("comments(first: 100) {{ nodes {{ {COMMENT} }} pageInfo {{ hasNextPage }} }}");
        let messages =
            format!("messages(first: 100) {{ nodes {{ {MESSAGE} {comments} }} pageInfo {{ hasNextPage }} }}");
        let everything =
            format!("channels(first: 100) {{ nodes {{ {CHANNEL} }} pageInfo {{ hasNextPage }} }} {messages}");
        let query = match document {
            Document::Channel => format!("query ($id: ID!) {{ cursor channel(id: $id) {{ {CHANNEL} {messages} }} }}"),
            _ => format!("query {{ cursor {everything} }}"),
        };
        let variables = json!({"id": fixture.first_channel});
        let mut data = fixture.server.data(Some(&fixture.writer), &query, variables).await;
        let mut state = Self::default();
        if document == Document::Channel {
            let mut channel = data["channel"].take();
            if let Some(fields) = channel.as_object_mut() {
                let messages = fields.remove("messages").expect("its messages");
                state.put(Kind::Channel, channel);
                state.put_messages(messages);
            }
        } else {
            nodes(data["channels"].take()).into_iter().for_each(|channel| state.put(Kind::Channel, channel));
            state.put_messages(data["messages"].take());
        }
        (state, text(&data["cursor"]).parse().expect("a cursor"))
    }

    fn put_messages(&mut self, page: Value) {
        for mut message in nodes(page) {
            let comments = message.as_object_mut().and_then(|fields| fields.remove("comments"));
            nodes(comments.expect("its comments")).into_iter().for_each(|comment| self.put(Kind::Comment, comment));
            self.put(Kind::Message, message);
        }
    }

    fn put(&mut self, kind: Kind, value: Value) {
        self.0.insert((kind, text(&value["id"])), value);
    }

    /// Applies an event.
    pub fn apply(&mut self, seen: &ReceivedEvent) -> Result<(), String> {
        if seen.object == Kind::AppEvent {
            // The event changes no object.
            return Ok(());
        }
        let key = (seen.object, seen.id.clone());
        match &seen.value {
            Some(value) => {
                let before = self.0.insert(key, value.clone());
                if before.is_some() == seen.name.ends_with("Added") {
                    return Err(format!("{seen:?} does not fit the state before it: {before:?}"));
                }
            }
            None => {
                self.0.remove(&key);
                match seen.object {
                    Kind::Comment | Kind::AppEvent => {}
                    Kind::Message => self.0.retain(|_, value| value["messageId"] != json!(seen.id)),
                    Kind::Channel => {
                        let inside = |value: &Value| value["channelId"] == json!(seen.id);
                        let messages: Vec<Value> =
                            self.0.values().filter(|value| inside(value)).map(|value| value["id"].clone()).collect();
                        self.0.retain(|_, value| !inside(value) && !messages.contains(&value["messageId"]));
                    }
                }
            }
        }
        Ok(())
    }

    /// The objects that are in one state and not in the other, or that differ.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let keys = self.0.keys().chain(other.0.keys());
        let differ = keys.filter(|key| self.0.get(*key) != other.0.get(*key));
        differ.map(|key| format!("{key:?}: {:?} and {:?}", self.0.get(key), other.0.get(key))).collect()
    }
}

fn nodes(mut page: Value) -> Vec<Value> {
    assert_eq!(page["pageInfo"]["hasNextPage"], json!(false), "the first page must hold all objects of a script");
    match page["nodes"].take() {
        Value::Array(nodes) => nodes,
        other => panic!("{other} is not a list of nodes"),
    }
}
