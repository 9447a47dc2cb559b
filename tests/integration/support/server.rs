//! A tidings server in the process of the test.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::app::App;
use tidings::board::Board;
use tidings::config::Config;

use super::{Socket, with_timeout};

/// A tidings server in this process, with its own database.
pub struct Server {
    app: Option<App>,
    config: Config,
    client: reqwest::Client,
    directory: TempDir,
}

/// A signed-in user.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: String,
    #[allow(dead_code)] // shown when a test fails
    pub username: String,
    pub token: String,
}

/// The password of every test user.
pub const PASSWORD: &str = "correct horse battery";

impl Server {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a server with settings that differ from the tests' defaults.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = Config {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            database: super::database::fresh(directory.path()).into(),
            ..Config::default()
        };
        config.limits.mutations_per_second = 0;
        config.limits.new_rooms_per_minute = 0;
        config.sessions.attempts_per_minute = 0;
        config.sessions.sign_ins_per_minute = 0;
        config.sessions.registrations_per_minute = 0;
        // Tests register members, and create admins with `Self::admin`.
        config.sessions.first_user_admin = false;
        config.tokens.secret = super::database::secret();
        change(&mut config);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut server = Self { app: None, config, client, directory };
        server.open().await;
        server
    }

    /// Starts again after [`Self::close`], on the same port and database.
    pub async fn open(&mut self) {
        let app = App::start(self.config.clone()).await.expect("the server starts");
        self.config.listen = app.address();
        self.app = Some(app);
    }

    /// Stops the server as SIGTERM does.
    pub async fn close(&mut self) {
        if let Some(app) = self.app.take() {
            with_timeout("the end of the server", app.stop()).await;
        }
    }

    pub async fn restart(&mut self) {
        self.close().await;
        self.open().await;
    }

    pub fn address(&self) -> SocketAddr {
        self.config.listen
    }

    pub fn board(&self) -> &Arc<Board> {
        self.app.as_ref().expect("the process runs").board()
    }

    pub fn vitals(&self) -> &tidings::supervisor::Supervisor {
        self.app.as_ref().expect("the process runs").vitals()
    }

    /// The URL of the database, in the form that the command line takes.
    pub fn database_url(&self) -> String {
        self.config.database.url.to_string()
    }

    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.client
    }

    /// The whole response to an operation.
    pub async fn execute(&self, session: Option<&Session>, query: &str, variables: Value) -> Value {
        let mut request = self.client.post(self.url("/graphql")).json(&json!({"query": query, "variables": variables}));
        if let Some(session) = session {
            request = request.bearer_auth(&session.token);
        }
        let response = with_timeout("a response", request.send()).await.expect("a response");
        assert!(!response.status().is_server_error(), "{} for {query}", response.status());
        response.json().await.expect("a response in JSON")
    }

    /// The data of an operation that must succeed.
    pub async fn data(&self, session: Option<&Session>, query: &str, variables: Value) -> Value {
        let mut response = self.execute(session, query, variables).await;
        assert!(response.get("errors").is_none(), "{query}: {response}");
        response["data"].take()
    }

    /// The error code of an operation that must fail.
    pub async fn error_code(&self, session: Option<&Session>, query: &str, variables: Value) -> String {
        let response = self.execute(session, query, variables).await;
        let code = response["errors"][0]["extensions"]["code"].as_str();
        code.unwrap_or_else(|| panic!("{query} was not rejected: {response}")).to_owned()
    }

    /// Registers a user.
    pub async fn register(&self, username: &str) -> Session {
        let input = json!({"username": username, "password": PASSWORD, "displayName": username});
        let query = "mutation ($input: RegisterInput!) { register(input: $input) { token user { id username } } }";
        let data = self.data(None, query, json!({"input": input})).await;
        session(&data["register"])
    }

    /// Signs a user in.
    pub async fn login(&self, username: &str) -> Session {
        let input = json!({"username": username, "password": PASSWORD});
        let query = "mutation ($input: LoginInput!) { login(input: $input) { token user { id username } } }";
        let data = self.data(None, query, json!({"input": input})).await;
        session(&data["login"])
    }

    /// A session with a token that was issued elsewhere.
    pub async fn login_with(&self, username: &str, token: &str) -> Session {
        let session = Session { id: String::new(), username: username.into(), token: token.into() };
        let data = self.data(Some(&session), "{ me { id } }", json!({})).await;
        Session { id: text(&data["me"]["id"]), ..session }
    }

    /// Creates an admin as the command line does, and signs the user in.
    pub async fn admin(&self, username: &str) -> Session {
        let new = tidings::board::NewUser {
            username: username.into(),
            display_name: username.into(),
            role: tidings::model::Role::Admin,
        };
        self.board().accounts.add(new, PASSWORD.into()).await.expect("an admin");
        self.login(username).await
    }

    /// Creates a channel; returns its id.
    pub async fn channel(&self, session: &Session, name: &str) -> String {
        let query = "mutation ($name: String!) { createChannel(input: { name: $name }) { id } }";
        text(&self.data(Some(session), query, json!({"name": name})).await["createChannel"]["id"])
    }

    /// Posts a message; returns its id.
    pub async fn post(&self, session: &Session, channel: &str, content: &str) -> String {
        let query = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }";
        let input = json!({"channelId": channel, "content": content});
        text(&self.data(Some(session), query, json!({"input": input})).await["createMessage"]["id"])
    }

    /// The cursor of the log's head.
    pub async fn cursor(&self, session: Option<&Session>) -> String {
        text(&self.data(session, "{ cursor }", json!({})).await["cursor"])
    }

    /// An initialised `graphql-transport-ws` connection.
    pub async fn socket(&self, session: Option<&Session>) -> Socket {
        Socket::connect_and_init(self.address(), session).await
    }
}

/// The text of a JSON string.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string")).to_owned()
}

fn session(value: &Value) -> Session {
    Session { id: text(&value["user"]["id"]), username: text(&value["user"]["username"]), token: text(&value["token"]) }
}
