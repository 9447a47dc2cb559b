//! Permissions that one instance takes away and gives back without a pause, while the user writes through the others:
//! the log has no change of the user while the user may not make it.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tidings::model::{Event, EventKind, Seq};
use tokio::time::Instant;

use super::{COMMENT, Cluster, EDIT, POST, SHORT, accepted, input, seq, until};
use crate::support::database::fresh_postgres;
use crate::support::{Report, Server, Session, text};

/// Writers on all instances but the first one, which changes the permissions.
const WRITERS: usize = 9;

const ADD: &str = "mutation ($channel: ID!, $user: ID!) { addMember(channelId: $channel, userId: $user) { id } }";
const REMOVE: &str = "mutation ($channel: ID!, $user: ID!) { removeMember(channelId: $channel, userId: $user) { id } }";
const DISABLE: &str =
    "mutation ($id: ID!, $disabled: Boolean!) { setUserDisabled(userId: $id, disabled: $disabled) { id } }";
const RESTRICT: &str =
    "mutation ($id: ID!, $to: Visibility!) { updateChannel(input: { id: $id, visibility: $to }) { id } }";

const ASSIGN: &str = "mutation ($id: ID!, $role: Role!) { assignUser(input: { userId: $id, role: $role }) { id } }";

/// Codes of refusals because of permissions.
const REFUSALS: [&str; 4] = ["NOT_FOUND", "FORBIDDEN", "UNAUTHENTICATED", "BAD_USER_INPUT"];

/// Instances, an admin, and a user who is a member of a private channel that belongs to the admin.
struct Fixture {
    cluster: Cluster,
    boss: Session,
    ann: Session,
    channel: String,
}

impl Fixture {
    async fn new() -> Self {
        let cluster = Cluster::start(4).await;
        let boss = cluster.servers[0].admin("boss").await;
        let ann = cluster.servers[0].register("ann").await;
        let create = "mutation { createChannel(input: { name: \"secret\", visibility: PRIVATE }) { id } }";
        let created = cluster.servers[0].data(Some(&boss), create, json!({})).await;
        let channel = text(&created["createChannel"]["id"]);
        let fixture = Self { cluster, boss, ann, channel };
        fixture.by_boss(ADD, json!({"channel": fixture.channel, "user": fixture.ann.id})).await;
        fixture
    }

    /// The instance that a client writes to. It is never the first one.
    fn server(&self, writer: usize) -> &Server {
        &self.cluster.servers[1 + writer % 3]
    }

    async fn by_boss(&self, mutation: &str, variables: Value) -> Value {
        accepted(&self.cluster.servers[0], &self.boss, mutation, variables, &[]).await.expect("accepted")
    }

    /// Takes permissions away and gives them back on the first instance, while clients write on the others. The last
    /// change gives them back. Returns what the clients wrote. `change` is called with whether to take them away, and
    /// `write` with the number of the client.
    async fn toggle<T>(&self, change: impl AsyncFn(bool), write: impl AsyncFn(usize) -> Option<T>) -> Vec<T> {
        let (until, is_over, written) = (until(SHORT), AtomicBool::new(false), Mutex::new(Vec::new()));
        let (mut changes, refused) = (0, Mutex::new(0));
        let toggling = async {
            while Instant::now() < until {
                change(true).await;
                change(false).await;
                changes += 2;
            }
            is_over.store(true, Ordering::SeqCst);
        };
        let writing = (0..WRITERS).map(async |writer| {
            while !is_over.load(Ordering::SeqCst) {
                match write(writer).await {
                    Some(object) => written.lock().expect("a list").push(object),
                    None => *refused.lock().expect("a number") += 1,
                }
            }
        });
        join(toggling, join_all(writing)).await;
        let (written, refused) = (written.into_inner().expect("a list"), refused.into_inner().expect("a number"));
        let outdated = self.cluster.outdated().await;
        let mut report = Report::new(format!("{changes} changes of permissions while {WRITERS} clients write"));
        report.line(format!("{} accepted, {refused} refused; {outdated} batches decided again", written.len()));
        assert!(!written.is_empty() && refused > 0, "the writers did not meet the changes");
        written
    }
}

/// Checks that no event in `is_restricted` happens while the permission is taken away. `toggles` selects the events
/// that take it away and give it back in turns.
fn check(log: &[Event], toggles: impl Fn(&Event) -> bool, is_restricted: impl Fn(&Event) -> bool) {
    let mut taken = None;
    for event in log {
        if toggles(event) {
            taken = if taken.is_none() { Some(event) } else { None };
        } else if let Some(taken) = taken {
            assert!(!is_restricted(event), "{event:?} follows {taken:?}");
        }
    }
}

/// The log after the first event of this kind.
fn after_first(log: &[Event], kind: EventKind) -> &[Event] {
    let first = log.iter().position(|event| event.kind == kind).expect("an event of this kind");
    &log[first + 1..]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_member_writes_nothing_and_gets_no_notifications() {
    let fixture = Fixture::new().await;
    let Fixture { cluster, boss, ann, channel } = &fixture;
    let post = input(json!({"channelId": channel, "content": "hello"}));
    let message = accepted(&cluster.servers[0], ann, POST, post.clone(), &[]).await.expect("a message");
    let change = async |is_taken: bool| {
        let mutation = if is_taken { REMOVE } else { ADD };
        fixture.by_boss(mutation, json!({"channel": channel, "user": ann.id})).await;
    };
    let write = async |writer: usize| {
        let (by, mutation, variables) = match rand::random_range(0..4) {
            0 => (ann, POST, post.clone()),
            1 => (ann, EDIT, input(json!({"id": message["id"], "content": "an edit"}))),
            2 => (ann, COMMENT, input(json!({"messageId": message["id"], "content": "a comment"}))),
            _ => (boss, POST, input(json!({"channelId": channel, "content": "for @ann"}))),
        };
        accepted(fixture.server(writer), by, mutation, variables, &REFUSALS).await.map(|object| seq(&object))
    };
    let written = fixture.toggle(change, write).await;
    let log = cluster.log();
    let user = Some(ann.id.parse().expect("an id"));
    let is_toggle = |event: &Event| event.kind == EventKind::AccessChanged && event.user == user;
    let is_restricted = |event: &Event| {
        (event.actor == user && event.channel.is_some())
            || (event.kind == EventKind::NotificationAdded && event.user == user)
    };
    // The first change of ann's permissions adds her to the channel.
    check(after_first(&log, EventKind::AccessChanged), is_toggle, is_restricted);
    check_all_are_logged(&log, &written);
    let notified = log.iter().filter(|event| event.kind == EventKind::NotificationAdded && event.user == user).count();
    assert!(notified > 0, "ann was never notified");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_user_writes_nothing_and_is_assigned_nothing() {
    let fixture = Fixture::new().await;
    let Fixture { cluster, boss, ann, channel } = &fixture;
    let ticket = |assignee: Value| json!({"channelId": channel, "content": "@ann", "ticket": {"assigneeId": assignee}});
    // Each client assigns a ticket of its own.
    let mut tickets = Vec::new();
    for _ in 0..WRITERS {
        let created = accepted(&cluster.servers[0], boss, POST, input(ticket(Value::Null)), &[]).await;
        tickets.push(text(&created.expect("a ticket")["id"]));
    }
    let change = async |is_taken: bool| {
        fixture.by_boss(DISABLE, json!({"id": ann.id, "disabled": is_taken})).await;
    };
    let write = async |writer: usize| {
        let server = fixture.server(writer);
        let (by, mutation, variables) = match rand::random_range(0..3) {
            // The sessions of a disabled user end, so each request needs a new token.
            0 => {
                let session = server.board().accounts.token_for("ann").expect("a token");
                let by = Session { token: session.token, ..ann.clone() };
                (by, POST, input(json!({"channelId": channel, "content": "hello"})))
            }
            1 => (boss.clone(), POST, input(ticket(json!(ann.id)))),
            _ => {
                let id = &tickets[writer];
                let none = input(json!({"id": id, "ticket": {"assigneeId": null}}));
                accepted(server, boss, EDIT, none, &[]).await.expect("an edit");
                (boss.clone(), EDIT, input(json!({"id": id, "ticket": {"assigneeId": ann.id}})))
            }
        };
        accepted(server, &by, mutation, variables, &REFUSALS).await.map(|object| seq(&object))
    };
    let written = fixture.toggle(change, write).await;
    let log = cluster.log();
    let user = Some(ann.id.parse().expect("an id"));
    let is_toggle = |event: &Event| event.kind == EventKind::SessionsEnded && event.user == user;
    let is_restricted = |event: &Event| {
        event.actor == user
            || written.contains(&event.cursor.seq)
            || (event.kind == EventKind::NotificationAdded && event.user == user)
    };
    check(&log, is_toggle, is_restricted);
    check_all_are_logged(&log, &written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_writes_nothing_in_a_channel_while_it_is_private() {
    let fixture = Fixture::new().await;
    let Fixture { cluster, boss, ann, .. } = &fixture;
    let channel = cluster.servers[0].channel(boss, "general").await;
    let post = input(json!({"channelId": channel, "content": "hello"}));
    let message = accepted(&cluster.servers[0], ann, POST, post.clone(), &[]).await.expect("a message");
    let change = async |is_taken: bool| {
        let visibility = if is_taken { "PRIVATE" } else { "PUBLIC" };
        fixture.by_boss(RESTRICT, json!({"id": channel, "to": visibility})).await;
    };
    let write = async |writer: usize| {
        let (mutation, variables) = match rand::random_range(0..3) {
            0 => (POST, post.clone()),
            1 => (EDIT, input(json!({"id": message["id"], "content": "an edit"}))),
            _ => (COMMENT, input(json!({"messageId": message["id"], "content": "a comment"}))),
        };
        accepted(fixture.server(writer), ann, mutation, variables, &REFUSALS).await.map(|object| seq(&object))
    };
    let written = fixture.toggle(change, write).await;
    let log = cluster.log();
    let (user, id) = (Some(ann.id.parse().expect("an id")), Some(channel.parse().expect("an id")));
    let is_toggle = |event: &Event| (event.kind, event.user, event.channel) == (EventKind::AccessChanged, None, id);
    check(&log, is_toggle, |event| event.actor == user && event.channel == id);
    check_all_are_logged(&log, &written);
}

/// A role that is needed for the change itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_admin_edits_and_broadcasts_nothing() {
    const BROADCAST: &str = "mutation ($room: String!) { broadcast(input: { room: $room, data: \"{}\" }) }";
    let fixture = Fixture::new().await;
    let Fixture { cluster, boss, ann, channel } = &fixture;
    let message = cluster.post(boss, channel).await;
    let role = async |role: &str| {
        fixture.by_boss(ASSIGN, json!({"id": ann.id, "role": role})).await;
    };
    role("ADMIN").await;
    let change = async |is_taken: bool| role(if is_taken { "MEMBER" } else { "ADMIN" }).await;
    let write = async |writer: usize| {
        let (mutation, variables) = match rand::random_range(0..2) {
            0 => (EDIT, input(json!({"id": message, "content": "an edit"}))),
            _ => (BROADCAST, json!({"room": "secret"})),
        };
        accepted(fixture.server(writer), ann, mutation, variables, &REFUSALS).await.map(drop)
    };
    let written = fixture.toggle(change, write).await;
    let log = cluster.log();
    let user = Some(ann.id.parse().expect("an id"));
    let is_toggle = |event: &Event| event.kind == EventKind::AccessChanged && event.user == user;
    let by_ann = |event: &Event| event.actor == user;
    // The first two changes of ann's permissions made her a member of the channel and an admin.
    let log = after_first(after_first(&log, EventKind::AccessChanged), EventKind::AccessChanged);
    check(log, is_toggle, by_ann);
    assert_eq!(log.iter().filter(|event| by_ann(event)).count(), written.len());
}

/// An admin may read all channels, so their names are taken for the admin. For other users, names of private channels
/// are free, because an error would reveal them. The distant instance gets each request while its permissions in memory
/// are older.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_compared_with_the_channels_that_a_user_may_read_since_a_moment_ago() {
    const CREATE: &str = "mutation ($name: String!, $visibility: Visibility) {
        createChannel(input: { name: $name, visibility: $visibility }) { id } }";
    let cluster = Cluster::start_on(&fresh_postgres(), &[0, 30_000], |_| {}).await;
    let (near, far) = (&cluster.servers[0], &cluster.servers[1]);
    let (boss, ann) = (near.admin("boss").await, near.register("ann").await);
    far.data(Some(&ann), "{ me { id } }", json!({})).await;
    for round in 0..4 {
        let name = format!("round {round}");
        near.data(Some(&boss), CREATE, json!({"name": name, "visibility": "PRIVATE"})).await;
        let is_admin = round % 2 == 0;
        let role = if is_admin { "ADMIN" } else { "MEMBER" };
        near.data(Some(&boss), ASSIGN, json!({"id": ann.id, "role": role})).await;
        let created = accepted(far, &ann, CREATE, json!({"name": name}), &["CONFLICT"]).await;
        assert_eq!(created.is_none(), is_admin, "ann is {role} in {name:?}");
    }
}

/// Checks that the log has a change of a message or a comment at each of these positions.
fn check_all_are_logged(log: &[Event], written: &[Seq]) {
    let is_change = |event: &Event| {
        use EventKind as Kind;
        matches!(event.kind, Kind::MessageAdded | Kind::MessageUpdated | Kind::CommentAdded)
    };
    let logged: HashSet<Seq> = log.iter().filter(|event| is_change(event)).map(|event| event.cursor.seq).collect();
    let missing = written.iter().find(|seq| !logged.contains(seq));
    assert_eq!(missing, None, "an accepted change has no event");
}
