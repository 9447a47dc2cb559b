//! Writes that overlap: several instances change the same objects at the same time. A proxy between each instance and
//! the database adds a round-trip time, so that one instance commits between the reads and the commit of another one.

mod deletions;
mod edits;
mod event_types;
mod order;
mod permissions;
mod tickets;
mod unique;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tidings::config::Config;
use tidings::model::{Cursor, Event, EventKind, Seq};
use tokio::time::Instant;

use super::{on_database, port_and_name};
use crate::support::database::fresh_postgres;
use crate::support::delay_proxy::DelayProxy;
use crate::support::{Server, Session, text};

/// The round-trip times between the instances and the database, in microseconds.
const ROUND_TRIPS: [u64; 4] = [500, 1_000, 2_000, 1_000];

const POST: &str = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id cursor } }";
const EDIT: &str = "mutation ($input: UpdateMessageInput!) { updateMessage(input: $input) { id cursor } }";
const COMMENT: &str = "mutation ($input: CreateCommentInput!) { createComment(input: $input) { id cursor } }";
const EDIT_COMMENT: &str = "mutation ($input: UpdateCommentInput!) { updateComment(input: $input) { id cursor } }";

/// Instances on one database, each behind a proxy.
struct Cluster {
    servers: Vec<Server>,
    _proxies: Vec<DelayProxy>,
}

impl Cluster {
    async fn start(count: usize) -> Self {
        Self::start_with(count, |_| {}).await
    }

    /// Starts instances with settings that differ from the tests' defaults.
    async fn start_with(count: usize, change: impl Fn(&mut Config)) -> Self {
        Self::start_on(&fresh_postgres(), &ROUND_TRIPS[..count], change).await
    }

    /// Starts an instance on this database for each round-trip time.
    async fn start_on(url: &str, round_trips: &[u64], change: impl Fn(&mut Config)) -> Self {
        let (port, name) = port_and_name(url);
        let (mut servers, mut proxies) = (Vec::new(), Vec::new());
        for round_trip in round_trips {
            let proxy = DelayProxy::start(port, Duration::from_micros(*round_trip));
            let set = on_database(&format!("postgres://tidings@127.0.0.1:{}/{name}", proxy.port()));
            let server = Server::start_with(|config| {
                set(config);
                change(config);
            });
            servers.push(server.await);
            proxies.push(proxy);
        }
        Self { servers, _proxies: proxies }
    }

    /// The instance for this number. Numbers are distributed evenly over the instances.
    fn server(&self, number: usize) -> &Server {
        &self.servers[number % self.servers.len()]
    }

    /// All events, after checks that hold for every log: numbers have no gaps, times never decrease, and ids grow.
    fn log(&self) -> Vec<Event> {
        let (mut events, mut after) = (Vec::new(), None);
        loop {
            let (page, end) = self.servers[0].board().log.events_after(after).expect("the log");
            if page.is_empty() {
                break;
            }
            events.extend(page);
            after = Some(end);
        }
        let mut newest: HashMap<EventKind, i64> = HashMap::new();
        for (index, pair) in events.windows(2).enumerate() {
            assert_eq!(pair[1].cursor.seq, pair[0].cursor.seq.next(), "the log has a gap after event {index}");
            assert!(pair[1].at >= pair[0].at, "the time decreases: {pair:?}");
        }
        for event in &events {
            use EventKind as Kind;
            if matches!(event.kind, Kind::MessageAdded | Kind::CommentAdded | Kind::NotificationAdded) {
                let before = newest.insert(event.kind, event.object);
                assert!(
                    before.is_none_or(|before| before < event.object),
                    "ids decrease at {event:?} after {before:?}"
                );
            }
        }
        events
    }

    /// Posts a message that must be accepted; returns its id.
    async fn post(&self, by: &Session, channel: &str) -> String {
        self.servers[0].post(by, channel, "0").await
    }

    /// How many batches the instances have decided again.
    async fn outdated(&self) -> u64 {
        self.total("tidings_commits_outdated_total ").await
    }

    /// The sum of a metric over all instances.
    async fn total(&self, metric: &str) -> u64 {
        let mut total = 0;
        for server in &self.servers {
            let answer = server.http().get(server.url("/metrics")).send().await.expect("a response");
            let page = answer.text().await.expect("text");
            let value = page.lines().find_map(|line| line.strip_prefix(metric)).expect("the metric");
            total += value.parse::<u64>().expect("a number");
        }
        total
    }
}

/// How long clients write. `TIDINGS_RACES_SECONDS` overrides the default.
fn until(default: Duration) -> Instant {
    let seconds = std::env::var("TIDINGS_RACES_SECONDS").ok();
    let seconds = seconds.map(|text| Duration::from_secs(text.parse().expect("a number of seconds")));
    Instant::now() + seconds.unwrap_or(default)
}

const SHORT: Duration = Duration::from_secs(2);

/// The object that a mutation returns; `None` if it is refused with one of these codes. No other error may happen.
async fn accepted(server: &Server, by: &Session, mutation: &str, variables: Value, codes: &[&str]) -> Option<Value> {
    let mut response = server.execute(Some(by), mutation, variables).await;
    if response.get("errors").is_none() {
        let fields = response["data"].as_object_mut().expect("data");
        return fields.values_mut().next().map(Value::take);
    }
    let code = text(&response["errors"][0]["extensions"]["code"]);
    assert!(codes.contains(&code.as_str()), "{mutation}: {response}");
    None
}

/// The position of a change in the log, from an object that a mutation returned.
fn seq(object: &Value) -> Seq {
    text(&object["cursor"]).parse::<Cursor>().expect("a cursor").seq
}

fn number(id: &Value) -> i64 {
    text(id).parse().expect("a number")
}

/// The input of a mutation.
fn input(input: Value) -> Value {
    json!({ "input": input })
}
