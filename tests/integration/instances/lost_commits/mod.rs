//! Connections that are lost at every moment of a batch: nothing is applied twice, and nothing acknowledged is missing.

mod overlapping;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidings::model::EventKind;

use super::database_outage::database_behind_a_proxy;
use super::on_database;
use crate::support::{NetworkFault, Proxy, Report, Server, Session, text, with_timeout};

/// Each way to lose a commit.
const LOST: [NetworkFault; 3] = [NetworkFault::DropCommit, NetworkFault::DropCommitAnswer, NetworkFault::HoldCommit];

const POST: &str = "mutation ($channel: ID!, $text: String!) {
    createMessage(input: { channelId: $channel, content: $text }) { id } }";
const EDIT: &str = "mutation ($message: ID!, $text: String!) {
    updateMessage(input: { id: $message, content: $text }) { id } }";
const COMMENT: &str = "mutation ($message: ID!, $text: String!) {
    createComment(input: { messageId: $message, content: $text }) { id } }";
const MARK: &str =
    "mutation ($channel: ID!, $cursor: Cursor!) { markChannelRead(channelId: $channel, upTo: $cursor) { id } }";
const CREATE_CHANNEL: &str = "mutation ($text: String!) { createChannel(input: { name: $text }) { id } }";

/// An instance behind a proxy, an instance with a direct connection, an admin, a channel and a message.
struct Fixture {
    server: Server,
    near: Server,
    proxy: Proxy,
    boss: Session,
    channel: String,
    message: String,
}

impl Fixture {
    async fn new() -> Self {
        let (url, proxy, through) = database_behind_a_proxy().await;
        let server = Server::start_with(on_database(&through)).await;
        let near = Server::start_with(on_database(&url)).await;
        let boss = server.admin("boss").await;
        let channel = server.channel(&boss, "general").await;
        let message = server.post(&boss, &channel, "a message").await;
        Self { server, near, proxy, boss, channel, message }
    }

    /// The variables that the mutations above may use.
    fn variables(&self, text: &str) -> Value {
        json!({"channel": self.channel, "message": self.message, "text": text})
    }

    /// Runs a mutation while its commit is lost. It must be acknowledged. Then the server receives the commit, if it
    /// was held.
    async fn lose(&self, fault: NetworkFault, mutation: &str, variables: Value) -> Value {
        self.proxy.set_fault(fault);
        let data = self.server.data(Some(&self.boss), mutation, variables).await;
        if fault == NetworkFault::HoldCommit {
            self.proxy.deliver_commit().await;
        }
        assert_eq!(self.proxy.fault(), NetworkFault::None, "the proxy saw no commit of {mutation}");
        data
    }

    /// How many events of each kind the log has.
    fn events(&self) -> BTreeMap<&'static str, usize> {
        let (mut counts, mut after) = (BTreeMap::new(), None);
        loop {
            let (page, end) = self.near.board().log.events_after(after).expect("the log");
            if page.is_empty() {
                return counts;
            }
            page.iter().for_each(|event| *counts.entry(event.kind.name()).or_default() += 1);
            after = Some(end);
        }
    }

    /// Runs a mutation with each way to lose its commit. Each time, the log must get exactly one event of this kind.
    async fn check(&self, kind: EventKind, mutation: &str, variables: impl AsyncFn(usize) -> Value) {
        for (round, fault) in LOST.into_iter().enumerate() {
            let variables = variables(round).await;
            let mut expected = self.events();
            self.lose(fault, mutation, variables).await;
            *expected.entry(kind.name()).or_default() += 1;
            assert_eq!(self.events(), expected, "{mutation} with {fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_message_whose_commit_is_lost_or_late_is_applied_once() {
    let fixture = Fixture::new().await;
    let text = async |round: usize| fixture.variables(&format!("text {round}"));
    fixture.check(EventKind::MessageAdded, POST, text).await;
    fixture.check(EventKind::CommentAdded, COMMENT, text).await;
    fixture.check(EventKind::MessageUpdated, EDIT, text).await;
    let delete = "mutation ($message: ID!) { deleteMessage(id: $message) }";
    let fresh = async |_| json!({"message": fixture.near.post(&fixture.boss, &fixture.channel, "fresh").await});
    fixture.check(EventKind::MessageDeleted, delete, fresh).await;
    let notify = "mutation ($text: String!) { notifyUser(input: { title: $text, message: $text }) { id } }";
    fixture.check(EventKind::NotificationAdded, notify, text).await;
    let broadcast = "mutation { broadcast(input: { room: \"general\", data: \"{}\" }) }";
    fixture.check(EventKind::RoomBroadcast, broadcast, async |_| json!({})).await;
}

/// These changes lock the log head first, so that they end with COMMIT.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_under_the_lock_whose_commit_is_lost_or_late_is_applied_once() {
    let fixture = Fixture::new().await;
    let ann = fixture.near.register("ann").await;
    let text = async |round: usize| fixture.variables(&format!("text {round}"));
    fixture.check(EventKind::ChannelAdded, CREATE_CHANNEL, text).await;
    let template = "mutation ($text: String!) { addTemplate(input: { name: $text, content: $text }) { id } }";
    fixture.check(EventKind::TemplateAdded, template, text).await;
    let add = "mutation ($channel: ID!, $user: ID!) { addMember(channelId: $channel, userId: $user) { id } }";
    let other = async |round: usize| {
        let channel = fixture.near.channel(&fixture.boss, &format!("other {round}")).await;
        json!({"channel": channel, "user": ann.id})
    };
    fixture.check(EventKind::AccessChanged, add, other).await;
}

/// The log does not contain these changes, so the server must be able to repeat them without harm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_without_events_whose_commit_is_lost_or_late_never_overwrites_a_later_one() {
    let fixture = Fixture::new().await;
    let Fixture { server, near, boss, channel, .. } = &fixture;
    let ann = near.register("ann").await;
    for (round, fault) in LOST.into_iter().enumerate() {
        let before = fixture.events();
        let publish =
            "mutation ($value: Float!) { publishMetric(input: { metric: \"load\", value: $value }) { value } }";
        fixture.proxy.set_fault(fault);
        server.data(Some(boss), publish, json!({"value": round})).await;
        near.data(Some(boss), publish, json!({"value": 10 + round})).await;
        if fault == NetworkFault::HoldCommit {
            fixture.proxy.deliver_commit().await;
        }
        assert_eq!(fixture.proxy.fault(), NetworkFault::None);
        let shown = near.data(None, "{ metrics { metric value } }", json!({})).await;
        let value = json!({"metric": "load", "value": (10 + round) as f64});
        assert!(shown["metrics"].as_array().expect("a list").contains(&value), "{fault:?}: {shown}");
        assert_eq!(fixture.events(), before);

        near.post(&ann, channel, "unread").await;
        let cursor = near.cursor(None).await;
        fixture.lose(fault, MARK, json!({"channel": channel, "cursor": cursor})).await;
        let query = "query ($id: ID!) { channel(id: $id) { unreadCount } }";
        let unread = near.data(Some(boss), query, json!({"id": channel})).await;
        assert_eq!(unread["channel"]["unreadCount"], 0, "{fault:?}");

        let notify =
            "mutation ($user: ID!) { notifyUser(input: { userId: $user, title: \"a\", message: \"b\" }) { id } }";
        let notified = near.data(Some(boss), notify, json!({"user": boss.id})).await;
        let read = "mutation ($id: ID!) { markNotificationRead(id: $id) { readAt } }";
        fixture.lose(fault, read, json!({"id": notified["notifyUser"]["id"]})).await;
        let left = "{ notifications(unreadOnly: true) { nodes { id } } }";
        assert_eq!(near.data(Some(boss), left, json!({})).await["notifications"]["nodes"], json!([]), "{fault:?}");
    }
}

/// The log cannot tell whether an organization was created, and a repetition would create it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_of_an_organization_whose_commit_is_lost_is_unknown_and_it_is_not_repeated() {
    let fixture = Fixture::new().await;
    for (fault, count) in [(NetworkFault::DropCommit, 0), (NetworkFault::DropCommitAnswer, 1)] {
        let create = "mutation ($name: String!) { createOrganization(input: { name: $name }) { id } }";
        fixture.proxy.set_fault(fault);
        let name = json!({"name": format!("{fault:?}")});
        let outcome = super::attempt(&fixture.server, &fixture.boss, create, &name).await.1;
        assert_eq!((outcome.as_str(), fixture.proxy.fault()), ("UNAVAILABLE", NetworkFault::None));
        let query = "{ organizations { name } }";
        let stored = fixture.near.data(Some(&fixture.boss), query, json!({})).await;
        let stored = stored["organizations"].as_array().expect("a list").iter().filter(|stored| **stored == name);
        assert_eq!(stored.count(), count, "{fault:?}");
    }
}

/// The connection on which one of the first chunks of a few concurrent requests arrives is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_at_any_moment_of_a_batch_loses_and_repeats_nothing() {
    const ROUNDS: u32 = 40;
    let fixture = Fixture::new().await;
    let cursor = fixture.near.cursor(None).await;
    let mut acknowledged = BTreeMap::new();
    for round in 1..=ROUNDS {
        fixture.proxy.set_fault(NetworkFault::None);
        // After a failed attempt to connect, the server refuses everything for a moment.
        let mark = json!({"channel": fixture.channel, "cursor": cursor});
        let is_ready = async || super::attempt(&fixture.server, &fixture.boss, MARK, &mark).await.1 == "OK";
        with_timeout("a server that is ready", async { while !is_ready().await {} }).await;
        fixture.proxy.set_fault(NetworkFault::DropAfter(round));
        let requests = [POST, COMMENT, EDIT, MARK, CREATE_CHANNEL].map(async |mutation| {
            let mut variables = fixture.variables(&format!("round {round}"));
            variables["cursor"] = json!(cursor);
            (mutation, super::attempt(&fixture.server, &fixture.boss, mutation, &variables).await.1)
        });
        for (mutation, code) in join_all(requests).await {
            assert!(code == "OK" || code == "UNAVAILABLE", "{mutation}: {code}");
            acknowledged.insert((mutation, round), code == "OK");
        }
    }
    fixture.proxy.set_fault(NetworkFault::None);
    let stored = stored_texts(&fixture).await;
    for ((mutation, round), is_acknowledged) in &acknowledged {
        let Some(texts) = stored.get(mutation) else { continue };
        let count = texts.iter().filter(|text| **text == format!("round {round}")).count();
        let expected = if *is_acknowledged { 1..=1 } else { 0..=1 };
        assert!(expected.contains(&count), "{mutation} in round {round} is stored {count} times");
    }
    let edits = acknowledged.iter().filter(|((mutation, _), is_acknowledged)| *mutation == EDIT && **is_acknowledged);
    let (edits, events) = (edits.count(), fixture.events()["MessageUpdated"]);
    assert!((edits..=ROUNDS as usize).contains(&events), "{events} events of {edits} acknowledged edits");
    let all = acknowledged.values().filter(|is_acknowledged| **is_acknowledged).count();
    let mut report = Report::new(format!("a connection is lost, at {ROUNDS} different moments"));
    report.line(format!("{all} of {} requests acknowledged", acknowledged.len()));
    assert!(all * 2 > acknowledged.len(), "only {all} of {} requests were acknowledged", acknowledged.len());
}

/// The texts of all messages, comments and channels, by the mutation that created them.
async fn stored_texts(fixture: &Fixture) -> BTreeMap<&'static str, Vec<String>> {
    let query = "query ($message: ID!) {
        messages(first: 100) { nodes { content } } channels(first: 100) { nodes { name } }
        message(id: $message) { comments(first: 100) { nodes { content } } } }";
    let data = fixture.near.data(Some(&fixture.boss), query, json!({"message": fixture.message})).await;
    let texts = |list: &Value, field: &str| {
        list["nodes"].as_array().expect("a list").iter().map(|node| text(&node[field])).collect::<Vec<_>>()
    };
    let mut posts = texts(&data["messages"], "content");
    // The oldest message is that of the fixture, which is edited.
    posts.pop();
    BTreeMap::from([
        (POST, posts),
        (COMMENT, texts(&data["message"]["comments"], "content")),
        (CREATE_CHANNEL, texts(&data["channels"], "name")),
    ])
}
