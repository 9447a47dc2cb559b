//! Every root field of the schema, for every kind of viewer. A new field without a row fails the test.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidings::board::NewApiKey;
use tidings::model::{ApiScope, ChannelId, UserId};

use crate::support::{PASSWORD, Server, Session, text};

/// The expected result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The requested data.
    Data,
    /// `null`, or a list without the object: it does not exist for this viewer.
    Absent,
    /// An error with this code.
    Code(&'static str),
}

use Expect::{Absent, Code, Data};

const UNAUTHENTICATED: Expect = Code("UNAUTHENTICATED");
const NOT_FOUND: Expect = Code("NOT_FOUND");
const FORBIDDEN: Expect = Code("FORBIDDEN");

/// A field, a document, and the expected results.
type Row = (&'static str, &'static str, Expected);

/// The expected results for each viewer in [`VIEWERS`] and each key in [`KEYS`].
#[derive(Debug, Clone, Copy)]
struct Expected([Expect; 5], [Expect; 7]);

/// An anonymous viewer, an outsider, a member, the author (who owns the channel), and an admin.
const VIEWERS: [&str; 5] = ["anonymous", "outsider", "member", "author", "root"];

/// API keys: the user, the scopes, and whether the key is limited to the channel of the objects or to another one.
const KEYS: [(&str, &[ApiScope], Option<Limit>); 7] = [
    ("author", &[ApiScope::Read], None),
    ("author", &[ApiScope::Write], None),
    ("author", &[ApiScope::Publish], None),
    ("author", &[ApiScope::Read, ApiScope::Write], Some(Limit::Here)),
    ("author", &[ApiScope::Read, ApiScope::Write], Some(Limit::Elsewhere)),
    ("root", &[ApiScope::Admin], None),
    ("root", &[ApiScope::Read, ApiScope::Write], None),
];

#[derive(Debug, Clone, Copy)]
enum Limit {
    Here,
    Elsewhere,
}

/// What signed-in viewers read, wherever it is.
const READ_KEYS: [Expect; 7] = [Data, FORBIDDEN, FORBIDDEN, Data, Data, Data, Data];
/// What signed-in viewers read that belongs to no channel.
const READ_OUTSIDE: [Expect; 7] = [Data, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Data, Data];
/// What signed-in viewers write that belongs to no channel.
const WRITE_OUTSIDE: [Expect; 7] = [FORBIDDEN, Data, FORBIDDEN, FORBIDDEN, FORBIDDEN, Data, Data];
const READERS_WRITE: [Expect; 7] = [FORBIDDEN, Data, FORBIDDEN, Data, NOT_FOUND, Data, NOT_FOUND];

/// What needs no permission.
const ALL_VIEWERS: Expected = Expected([Data; 5], [Data; 7]);
/// What anonymous viewers read, but keys only with a scope.
const ALL_READ: Expected = Expected([Data; 5], READ_KEYS);
const ALL_READ_OUTSIDE: Expected = Expected([Data; 5], READ_OUTSIDE);
const SIGNED_IN_ROW: [Expect; 5] = [UNAUTHENTICATED, Data, Data, Data, Data];
const SIGNED_IN_READ: Expected = Expected(SIGNED_IN_ROW, READ_KEYS);
const SIGNED_IN_READ_OUTSIDE: Expected = Expected(SIGNED_IN_ROW, READ_OUTSIDE);
const SIGNED_IN_WRITE: Expected = Expected(SIGNED_IN_ROW, WRITE_OUTSIDE);
/// What needs a session, because it changes the own account.
const SESSIONS_DO: Expected = Expected(SIGNED_IN_ROW, [FORBIDDEN; 7]);
const READERS_SEE: Expected =
    Expected([Absent, Absent, Data, Data, Data], [Data, FORBIDDEN, FORBIDDEN, Data, Absent, Data, Absent]);
const READERS_DO: Expected = Expected([UNAUTHENTICATED, NOT_FOUND, Data, Data, Data], READERS_WRITE);
const READERS_READ: Expected = Expected(
    [UNAUTHENTICATED, NOT_FOUND, Data, Data, Data],
    [Data, FORBIDDEN, FORBIDDEN, Data, NOT_FOUND, Data, NOT_FOUND],
);
const READERS_RECEIVE: Expected = Expected([NOT_FOUND, NOT_FOUND, Data, Data, Data], READERS_READ.1);
const AUTHORS_DO: Expected = Expected([UNAUTHENTICATED, NOT_FOUND, FORBIDDEN, Data, Data], READERS_WRITE);
const ADMINS_DO: Expected = Expected(
    [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, FORBIDDEN, Data],
    [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Data, FORBIDDEN],
);
/// Publishing: admins, and keys with the scope `PUBLISH`.
const PUBLISHERS_DO: Expected = Expected(
    [UNAUTHENTICATED, NOT_FOUND, FORBIDDEN, FORBIDDEN, Data],
    [FORBIDDEN, FORBIDDEN, Data, FORBIDDEN, FORBIDDEN, Data, FORBIDDEN],
);

const QUERIES: &[Row] = &[
    ("me", "{ me { id } }", Expected([Absent, Data, Data, Data, Data], READ_KEYS)),
    ("user", "query ($victim: ID!) { user(id: $victim) { id } }", SIGNED_IN_READ),
    ("users", "query ($victimName: String) { users(search: $victimName) { nodes { id } } }", SIGNED_IN_READ_OUTSIDE),
    ("channel", "query ($channel: ID!) { channel(id: $channel) { id } }", READERS_SEE),
    ("channel", "query ($name: String!) { channel(name: $name) { id } }", READERS_SEE),
    ("channels", "{ channels(first: 100) { nodes { id } } }", READERS_SEE),
    ("message", "query ($message: ID!) { message(id: $message) { id } }", READERS_SEE),
    ("messages", "{ messages(first: 100) { nodes { id } } }", READERS_SEE),
    ("messages", "query ($channel: ID!) { messages(channelId: $channel) { nodes { id } } }", READERS_SEE),
    ("messages", "query ($victim: ID!) { messages(assigneeId: $victim, status: OPEN) { nodes { id } } }", READERS_SEE),
    ("appEvents", "query ($channel: ID!) { appEvents(channelId: $channel) { nodes { type } } }", READERS_RECEIVE),
    ("templates", "{ templates(last: 10) { nodes { id } } }", SIGNED_IN_READ_OUTSIDE),
    ("notifications", "{ notifications(unreadOnly: true) { nodes { id } } }", SIGNED_IN_READ_OUTSIDE),
    ("presence", "query ($channel: ID!) { presence(channelId: $channel) { id } }", READERS_READ),
    ("metrics", "{ metrics { metric value updatedAt } }", ALL_READ),
    ("organizations", "{ organizations { id } }", SIGNED_IN_READ_OUTSIDE),
    ("apiKeys", "{ apiKeys { id } }", ADMINS_DO),
    ("eventTypes", "{ eventTypes { type } }", SIGNED_IN_READ_OUTSIDE),
    ("invites", "{ invites { id code } }", ADMINS_DO),
    ("sessions", "{ sessions { id current } }", SESSIONS_DO),
    ("cursor", "{ cursor }", ALL_VIEWERS),
];

const MUTATIONS: &[Row] = &[
    (
        "register",
        "mutation ($fresh: String!) { register(input: { username: $fresh, password: \"long enough\" }) { token } }",
        ALL_VIEWERS,
    ),
    (
        "login",
        "mutation ($victimName: String!, $password: String!) { login(input: { username: $victimName, password: $password }) { token } }",
        ALL_VIEWERS,
    ),
    ("updateProfile", "mutation { updateProfile(input: { email: \"a@example.org\" }) { id } }", SESSIONS_DO),
    ("createUser", "mutation ($fresh: String!) { createUser(input: { username: $fresh }) { id } }", ADMINS_DO),
    ("createUsers", "mutation ($fresh: String!) { createUsers(inputs: [{ username: $fresh }]) { id } }", ADMINS_DO),
    (
        "createPasswordReset",
        "mutation ($victim: ID!) { createPasswordReset(userId: $victim) { expiresAt } }",
        ADMINS_DO,
    ),
    ("deleteUser", "mutation ($victim: ID!) { deleteUser(id: $victim, content: KEEP) }", ADMINS_DO),
    ("createInvite", "mutation { createInvite(input: { maxUses: 1 }) { id } }", ADMINS_DO),
    ("revokeInvite", "mutation ($invite: ID!) { revokeInvite(id: $invite) { id } }", ADMINS_DO),
    (
        "requestPasswordReset",
        "mutation ($victimName: String!) { requestPasswordReset(login: $victimName) }",
        ALL_VIEWERS,
    ),
    (
        "resetPassword",
        "mutation ($reset: String!, $password: String!) { resetPassword(input: { token: $reset, new: $password }) { token } }",
        ALL_VIEWERS,
    ),
    (
        "updateUser",
        "mutation ($victim: ID!, $fresh: String!) { updateUser(input: { id: $victim, displayName: $fresh }) { id } }",
        ADMINS_DO,
    ),
    (
        "renewSession",
        "mutation ($refreshToken: String!) { renewSession(refreshToken: $refreshToken) { token } }",
        ALL_VIEWERS,
    ),
    (
        "endSession",
        "mutation ($session: ID!) { endSession(id: $session) }",
        Expected([UNAUTHENTICATED, NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND], [FORBIDDEN; 7]),
    ),
    ("refreshToken", "mutation { refreshToken { token } }", SESSIONS_DO),
    (
        "changePassword",
        "mutation ($password: String!) { changePassword(input: { current: $password, new: $password }) { token } }",
        SESSIONS_DO,
    ),
    ("logoutEverywhere", "mutation { logoutEverywhere }", SESSIONS_DO),
    ("createChannel", "mutation ($fresh: String!) { createChannel(input: { name: $fresh }) { id } }", SIGNED_IN_WRITE),
    (
        "updateChannel",
        "mutation ($channel: ID!) { updateChannel(input: { id: $channel, description: \"new\" }) { id } }",
        AUTHORS_DO,
    ),
    ("deleteChannel", "mutation ($channel: ID!) { deleteChannel(id: $channel) }", AUTHORS_DO),
    (
        "addMember",
        "mutation ($channel: ID!, $victim: ID!) { addMember(channelId: $channel, userId: $victim) { id } }",
        AUTHORS_DO,
    ),
    (
        "removeMember",
        "mutation ($channel: ID!, $victim: ID!) { removeMember(channelId: $channel, userId: $victim) { id } }",
        AUTHORS_DO,
    ),
    (
        "createMessage",
        "mutation ($channel: ID!) { createMessage(input: { channelId: $channel, content: \"new\" }) { id } }",
        READERS_DO,
    ),
    (
        "updateMessage",
        "mutation ($message: ID!) { updateMessage(input: { id: $message, content: \"new\" }) { id } }",
        AUTHORS_DO,
    ),
    (
        "updateMessage",
        "mutation ($message: ID!) { updateMessage(input: { id: $message, ticket: { status: CLOSED } }) { id } }",
        READERS_DO,
    ),
    ("deleteMessage", "mutation ($message: ID!) { deleteMessage(id: $message) }", AUTHORS_DO),
    (
        "createComment",
        "mutation ($message: ID!) { createComment(input: { messageId: $message, content: \"new\" }) { id } }",
        READERS_DO,
    ),
    (
        "updateComment",
        "mutation ($comment: ID!) { updateComment(input: { id: $comment, content: \"new\" }) { id } }",
        AUTHORS_DO,
    ),
    ("deleteComment", "mutation ($comment: ID!) { deleteComment(id: $comment) }", AUTHORS_DO),
    ("addTemplate", "mutation { addTemplate(input: { name: \"new\", content: \"new\" }) { id } }", SIGNED_IN_WRITE),
    (
        "deleteTemplate",
        "mutation ($template: ID!) { deleteTemplate(id: $template) }",
        Expected(
            [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, Data, Data],
            [FORBIDDEN, Data, FORBIDDEN, FORBIDDEN, FORBIDDEN, Data, FORBIDDEN],
        ),
    ),
    (
        "markChannelRead",
        "mutation ($channel: ID!, $before: Cursor!) { markChannelRead(channelId: $channel, upTo: $before) { id } }",
        READERS_DO,
    ),
    (
        "notifyUser",
        "mutation ($victim: ID!) { notifyUser(input: { userId: $victim, title: \"new\", message: \"new\" }) { id } }",
        ADMINS_DO,
    ),
    (
        "markNotificationRead",
        "mutation ($announcement: ID!) { markNotificationRead(id: $announcement) { id } }",
        SIGNED_IN_WRITE,
    ),
    (
        "markNotificationRead",
        "mutation ($note: ID!) { markNotificationRead(id: $note) { readAt } }",
        Expected(
            [UNAUTHENTICATED, NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND],
            [FORBIDDEN, NOT_FOUND, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND, NOT_FOUND],
        ),
    ),
    ("broadcast", "mutation ($name: String!) { broadcast(input: { room: $name, data: \"{}\" }) }", ADMINS_DO),
    (
        "publish",
        "mutation ($channel: ID!) { publish(input: { channelId: $channel, type: \"t\", data: 1 }) { cursor } }",
        PUBLISHERS_DO,
    ),
    (
        "publish",
        "mutation ($name: String!) { publish(input: { channel: $name, type: \"t\", data: 1 }) { cursor } }",
        PUBLISHERS_DO,
    ),
    (
        "publishMany",
        "mutation ($channel: ID!) { publishMany(inputs: [{ channelId: $channel, type: \"t\", data: 1 }]) { cursor } }",
        PUBLISHERS_DO,
    ),
    ("defineEventType", "mutation { defineEventType(input: { type: \"defined\", schema: true }) { type } }", ADMINS_DO),
    ("deleteEventType", "mutation ($defined: String!) { deleteEventType(type: $defined) }", ADMINS_DO),
    ("signal", "mutation ($channel: ID!) { signal(channelId: $channel, type: \"t\") }", READERS_DO),
    (
        "publishMetric",
        "mutation ($fresh: String!) { publishMetric(input: { metric: $fresh, value: 1.5 }) { metric } }",
        ADMINS_DO,
    ),
    (
        "createOrganization",
        "mutation ($fresh: String!) { createOrganization(input: { name: $fresh }) { id } }",
        ADMINS_DO,
    ),
    (
        "createLocation",
        "mutation ($fresh: String!) { createLocation(input: { organizationId: 1, name: $fresh }) { id } }",
        ADMINS_DO,
    ),
    (
        "assignUser",
        "mutation ($victim: ID!) { assignUser(input: { userId: $victim, organizationId: 1 }) { id } }",
        ADMINS_DO,
    ),
    (
        "createApiKey",
        "mutation ($victim: ID!) { createApiKey(input: { name: \"new\", userId: $victim, scopes: [READ] }) { secret } }",
        ADMINS_DO,
    ),
    ("revokeApiKey", "mutation ($key: ID!) { revokeApiKey(id: $key) { revokedAt } }", ADMINS_DO),
    (
        "setUserDisabled",
        "mutation ($victim: ID!) { setUserDisabled(userId: $victim, disabled: true) { id } }",
        ADMINS_DO,
    ),
];

// Each document starts at a cursor before the events, so that there is something to receive.
const SUBSCRIPTIONS: &[Row] = &[
    (
        "messageAdded",
        "subscription ($channel: ID!, $before: Cursor) { messageAdded(channelId: $channel, after: $before) { id } }",
        READERS_RECEIVE,
    ),
    (
        "messageUpdated",
        "subscription ($message: ID!, $before: Cursor) { messageUpdated(messageId: $message, after: $before) { id } }",
        READERS_RECEIVE,
    ),
    (
        "messageDeleted",
        "subscription ($channel: ID!, $before: Cursor) { messageDeleted(channelId: $channel, after: $before) { id } }",
        READERS_RECEIVE,
    ),
    (
        "commentAdded",
        "subscription ($message: ID!, $before: Cursor) { commentAdded(messageId: $message, after: $before) { id } }",
        READERS_RECEIVE,
    ),
    (
        "templateAdded",
        "subscription ($before: Cursor) { templateAdded(after: $before) { id } }",
        SIGNED_IN_READ_OUTSIDE,
    ),
    (
        "notificationAdded",
        "subscription ($before: Cursor) { notificationAdded(after: $before) { id userId } }",
        ALL_READ_OUTSIDE,
    ),
    (
        "appEvent",
        "subscription ($channel: ID!, $before: Cursor) { appEvent(channelId: $channel, after: $before) { type } }",
        READERS_RECEIVE,
    ),
    ("signal", "subscription ($channel: ID!) { signal(channelId: $channel) { type } }", READERS_RECEIVE),
    ("metricUpdated", "subscription { metricUpdated { metric value } }", ALL_READ),
    (
        "presenceChanged",
        "subscription ($channel: ID!) { presenceChanged(channelId: $channel) { user { id } present } }",
        READERS_READ,
    ),
    (
        "events",
        "subscription ($channel: ID!, $before: Cursor) { events(channelId: $channel, after: $before) { cursor } }",
        READERS_RECEIVE,
    ),
];

/// One viewer of the matrix.
#[derive(Debug, Clone, Copy)]
enum Viewer {
    /// The user with this name.
    User(&'static str),
    /// The key with this index in [`KEYS`].
    Key(usize),
}

impl Expected {
    fn by_viewer(self) -> impl Iterator<Item = (Viewer, Expect)> {
        let users = VIEWERS.into_iter().map(Viewer::User).zip(self.0);
        users.chain((0..KEYS.len()).map(Viewer::Key).zip(self.1))
    }
}

#[test]
fn every_field_has_a_row() {
    let sdl = tidings::graphql::sdl();
    for (root, rows) in [("Query", QUERIES), ("Mutation", MUTATIONS), ("Subscription", SUBSCRIPTIONS)] {
        let start = sdl.find(&format!("type {root} {{")).expect("the root type");
        let body = &sdl[start..start + sdl[start..].find("\n}").expect("the end of the type")];
        let fields = body
            .lines()
            .skip(1)
            .filter(|line| line.starts_with("  ") && !line.starts_with("   ") && !line.trim().starts_with(['"', ')']));
        let fields: BTreeSet<&str> =
            fields.map(|line| line.trim().split(['(', ':']).next().unwrap_or_default()).collect();
        let known: BTreeSet<&str> = rows.iter().map(|(field, ..)| *field).collect();
        assert_eq!(fields, known, "{root}");
    }
}

#[tokio::test]
async fn every_query_and_mutation_is_granted_to_exactly_the_listed_viewers() {
    let fixture = Fixture::new().await;
    let mut wrong = Vec::new();
    for (field, document, expected) in QUERIES.iter().chain(MUTATIONS) {
        for (viewer, expected) in expected.by_viewer() {
            let objects = fixture.objects().await;
            let session = fixture.session(viewer, &objects).await;
            let answer = fixture.server.execute(session.as_ref(), document, objects.variables.clone()).await;
            let got = objects.classify(field, &answer);
            if got != Some(expected) {
                wrong.push(format!("{viewer:?}: {document}\n    expected {expected:?}, got {answer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_subscription_delivers_to_exactly_the_listed_viewers() {
    let fixture = Fixture::new().await;
    for (field, document, expected) in SUBSCRIPTIONS {
        for (viewer, expected) in expected.by_viewer() {
            let objects = fixture.objects().await;
            let mut socket = fixture.server.socket(fixture.session(viewer, &objects).await.as_ref()).await;
            socket.subscribe("s", document, objects.variables.clone()).await;
            // A signal is not stored, so it is sent until the subscription is open.
            let sending = async {
                let send = "mutation ($channel: ID!) { signal(channelId: $channel, type: \"t\") }";
                loop {
                    if *field != "signal" {
                        std::future::pending::<()>().await;
                    }
                    let author = fixture.user_session("author");
                    fixture.server.execute(author.as_ref(), send, objects.variables.clone()).await;
                }
            };
            let frame = tokio::select! {
                frame = socket.frame() => frame,
                never = sending => never,
            };
            let got = match frame["type"].as_str() {
                Some("next") => objects.classify(field, &frame["payload"]),
                _ => objects.classify(field, &json!({"errors": frame["payload"]})),
            };
            assert_eq!(got, Some(expected), "{viewer:?}: {document}: {frame}");
        }
    }
}

/// A server with users; each document is executed against its own objects.
struct Fixture {
    server: Server,
    count: std::cell::Cell<usize>,
    /// The id of a key to revoke. It may be revoked already.
    key: String,
}

/// A private channel with every kind of object in it.
struct Objects {
    variables: Value,
}

impl Fixture {
    async fn new() -> Self {
        let server = Server::start().await;
        for name in ["outsider", "member", "author"] {
            server.register(name).await;
        }
        let admin = server.admin("root").await;
        server
            .data(Some(&admin), "mutation { createOrganization(input: { name: \"first\" }) { id } }", json!({}))
            .await;
        let make = "mutation { createApiKey(input: { name: \"k\", scopes: [READ] }) { apiKey { id } } }";
        let key = text(&server.data(Some(&admin), make, json!({})).await["createApiKey"]["apiKey"]["id"]);
        Self { server, count: std::cell::Cell::new(0), key }
    }

    async fn session(&self, viewer: Viewer, objects: &Objects) -> Option<Session> {
        match viewer {
            Viewer::User(name) => self.user_session(name),
            Viewer::Key(number) => Some(self.key(number, objects).await),
        }
    }

    /// A new key. Its secret is used like the token of a session.
    async fn key(&self, number: usize, objects: &Objects) -> Session {
        let (name, scopes, limit) = KEYS[number];
        let user = self.user_session(name).expect("a session");
        let channel = limit.map(|limit| match limit {
            Limit::Here => &objects.variables["channel"],
            Limit::Elsewhere => &objects.variables["elsewhere"],
        });
        let channel = channel.map(|id| ChannelId(text(id).parse().expect("an id")));
        let new = NewApiKey {
            name: "key".into(),
            user: UserId(user.id.parse().expect("an id")),
            scopes: scopes.to_vec(),
            channels: channel.map(|id| vec![id]),
            mutations_per_second: None,
            expires_at: None,
        };
        let (_, secret) = self.server.board().api_keys.add(new).await.expect("a key");
        Session { token: secret, ..user }
    }

    /// A new session, because some documents end all sessions of the user.
    fn user_session(&self, name: &str) -> Option<Session> {
        if name == "anonymous" {
            return None;
        }
        let session = self.server.board().accounts.token_for(name).expect("a token");
        Some(Session { id: session.user.id.to_string(), username: name.into(), token: session.token })
    }

    async fn objects(&self) -> Objects {
        let number = self.count.replace(self.count.get() + 1);
        let victim = self.server.register(&format!("victim{number}")).await;
        let (author, member) = (self.user_session("author"), self.user_session("member").expect("a session"));
        let before = self.server.cursor(author.as_ref()).await;
        let name = format!("channel{number}");
        let run = |query: &'static str, variables: Value| self.server.data(author.as_ref(), query, variables);
        let created = run(
            "mutation ($n: String!) { createChannel(input: { name: $n, visibility: PRIVATE }) { id } }",
            json!({"n": name}),
        )
        .await;
        let channel = text(&created["createChannel"]["id"]);
        let created = run(
            "mutation ($c: ID!, $m: ID!, $v: ID!) {
                addMember(channelId: $c, userId: $m) { id }
                assignable: addMember(channelId: $c, userId: $v) { id }
                createMessage(input: { channelId: $c, content: \"here\", ticket: { assigneeId: $v } }) { id }
                removeMember(channelId: $c, userId: $v) { id }
                doomed: createMessage(input: { channelId: $c, content: \"gone\" }) { id }
                addTemplate(input: { name: \"t\", content: \"t\" }) { id } }",
            json!({"c": channel, "m": member.id, "v": victim.id}),
        )
        .await;
        let (message, doomed) = (text(&created["createMessage"]["id"]), text(&created["doomed"]["id"]));
        let commented = run(
            "mutation ($m: ID!, $d: ID!) {
                createComment(input: { messageId: $m, content: \"here\" }) { id }
                updateMessage(input: { id: $m, title: \"a title\" }) { id }
                deleteMessage(id: $d) }",
            json!({"m": message, "d": doomed}),
        )
        .await;
        // The template is the victim's, because subscribers do not receive their own templates.
        let add = "mutation { addTemplate(input: { name: \"t\", content: \"t\" }) { id } }";
        self.server.data(Some(&victim), add, json!({})).await;
        let notify = "mutation ($v: ID!, $c: ID!) {
            note: notifyUser(input: { userId: $v, title: \"t\", message: \"t\" }) { id }
            all: notifyUser(input: { title: \"t\", message: \"t\" }) { id }
            publish(input: { channelId: $c, type: \"t\", data: 1 }) { cursor } }";
        let notified =
            self.server.data(self.user_session("root").as_ref(), notify, json!({"v": victim.id, "c": channel})).await;
        let login =
            "mutation ($n: String!, $p: String!) { login(input: { username: $n, password: $p }) { refreshToken } }";
        let credentials = json!({"n": victim.username, "p": PASSWORD});
        let opened = self.server.data(None, login, credentials).await;
        let sessions = self.server.data(Some(&victim), "{ sessions { id } }", json!({})).await;
        let root = self.user_session("root");
        let reset = "mutation ($v: ID!) { createPasswordReset(userId: $v) { url } }";
        let link =
            text(&self.server.data(root.as_ref(), reset, json!({"v": victim.id})).await["createPasswordReset"]["url"]);
        let invite = "mutation { createInvite(input: {}) { id } }";
        let invited = self.server.data(root.as_ref(), invite, json!({})).await;
        let elsewhere = self.server.channel(author.as_ref().expect("a session"), &format!("elsewhere{number}")).await;
        let defined = format!("defined{number}");
        let define = "mutation ($t: String!) { defineEventType(input: { type: $t, schema: true }) { type } }";
        self.server.data(root.as_ref(), define, json!({"t": defined})).await;
        let variables = json!({
            "defined": defined,
            "elsewhere": elsewhere, "key": self.key,
            "invite": invited["createInvite"]["id"],
            "reset": link.rsplit('/').next(),
            "refreshToken": opened["login"]["refreshToken"], "session": sessions["sessions"][0]["id"],
            "note": notified["note"]["id"], "announcement": notified["all"]["id"],
            "channel": channel, "message": message, "comment": commented["createComment"]["id"],
            "template": created["addTemplate"]["id"], "victim": victim.id, "name": name, "before": before,
            "fresh": format!("fresh{number}"), "password": PASSWORD, "victimName": victim.username,
        });
        Objects { variables }
    }
}

impl Objects {
    /// Classifies a response; `None` if its error code is not an expected one.
    fn classify(&self, field: &str, answer: &Value) -> Option<Expect> {
        if let Some(code) = answer["errors"][0]["extensions"]["code"].as_str() {
            return [UNAUTHENTICATED, NOT_FOUND, FORBIDDEN]
                .into_iter()
                .find(|expect| matches!(expect, Code(known) if *known == code));
        }
        let value = &answer["data"][field];
        let wanted = match field {
            "channel" | "channels" => Some(&self.variables["channel"]),
            "message" | "messages" => Some(&self.variables["message"]),
            _ => None,
        };
        let found = match (wanted, value["nodes"].as_array()) {
            (_, None) => !value.is_null(),
            (Some(id), Some(nodes)) => nodes.iter().any(|node| node["id"] == *id),
            (None, Some(nodes)) => !nodes.is_empty(),
        };
        Some(if found { Data } else { Absent })
    }
}
