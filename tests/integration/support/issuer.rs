//! An issuer of tokens: it signs whatever a test wants, and publishes the keys that a test wants. The private keys in
//! `issuer_keys.json` are for tests only.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tidings::config::{Config, IssuerSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::Session;

/// A key of an issuer.
#[derive(Debug, Clone)]
pub struct TestKey {
    pub algorithm: Algorithm,
    /// The public key as a JWK.
    pub public: Value,
    /// The public key as PEM.
    pub public_pem: String,
    private_der: Vec<u8>,
}

/// How an issuer answers requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Behaviour {
    Answer,
    /// Accepts connections, and never answers.
    Hang,
    /// Sends every client to another address.
    Redirect(String),
    Status(u16),
    /// Answers the request for keys with this text.
    Text(String),
}

/// An issuer on a port of this machine. It stops when it is dropped.
pub struct TestIssuer {
    address: SocketAddr,
    state: Arc<State>,
    serving: Option<JoinHandle<()>>,
}

struct State {
    keys: Mutex<Vec<Value>>,
    behaviour: Mutex<Behaviour>,
    requests: AtomicUsize,
    /// The text of its claim `iss`.
    name: Mutex<String>,
}

impl TestKey {
    /// The key with this id in `issuer_keys.json`: `rsa-1`, `rsa-2`, `ps-1`, `ec-1`, `ec-2` or `ed-1`.
    pub fn named(id: &str) -> Self {
        let keys: Vec<Value> = serde_json::from_str(include_str!("issuer_keys.json")).expect("keys");
        let key = keys.into_iter().find(|key| key["public"]["kid"] == id).unwrap_or_else(|| panic!("no key {id}"));
        let text = |name: &str| key[name].as_str().expect("a text").to_owned();
        Self {
            algorithm: serde_json::from_value(key["algorithm"].clone()).expect("an algorithm"),
            public: key["public"].clone(),
            public_pem: text("publicPem"),
            private_der: URL_SAFE_NO_PAD.decode(text("privateDer")).expect("base64url"),
        }
    }

    /// The header of a token that this key signs.
    pub fn header(&self) -> Header {
        Header { kid: self.public["kid"].as_str().map(str::to_owned), ..Header::new(self.algorithm) }
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    pub fn sign_with(&self, header: &Header, claims: &Value) -> String {
        let der = &self.private_der;
        let key = match self.public["kty"].as_str() {
            Some("RSA") => EncodingKey::from_rsa_der(der),
            Some("EC") => EncodingKey::from_ec_der(der),
            _ => EncodingKey::from_ed_der(der),
        };
        jsonwebtoken::encode(header, claims, &key).expect("a token")
    }
}

impl TestIssuer {
    /// Starts an issuer that publishes these keys.
    pub async fn start(keys: &[&TestKey]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            keys: Mutex::default(),
            behaviour: Mutex::new(Behaviour::Answer),
            requests: AtomicUsize::new(0),
            name: Mutex::new(format!("http://{address}")),
        });
        let serving = Some(tokio::spawn(serve(listener, Arc::clone(&state))));
        let issuer = Self { address, state, serving };
        issuer.publish(keys);
        issuer
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the published keys.
    pub fn publish(&self, keys: &[&TestKey]) {
        *self.state.keys.lock().expect("keys") = keys.iter().map(|key| key.public.clone()).collect();
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().expect("a behaviour") = behaviour;
    }

    /// Changes the name in the discovery document.
    pub fn rename(&self, name: &str) {
        name.clone_into(&mut self.state.name.lock().expect("a name"));
    }

    /// How many requests the issuer has received.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Stops the issuer: its port refuses connections.
    pub async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            drop(serving.await);
        }
    }

    /// Settings that trust this issuer.
    pub fn settings(&self) -> IssuerSettings {
        IssuerSettings::new(self.url().parse().expect("an issuer"), "tidings")
    }

    /// Makes a server trust this issuer.
    pub fn trusted(&self) -> impl FnOnce(&mut Config) + use<> {
        let settings = self.settings();
        move |config| config.issuers = settings
    }

    /// The claims of a valid token of this user.
    pub fn claims(&self, subject: &str) -> Value {
        let now = now();
        json!({ "iss": self.url(), "aud": "tidings", "sub": subject, "iat": now, "exp": now + 600 })
    }

    /// A session with a token of this user, and with these further claims.
    pub fn session(&self, key: &TestKey, subject: &str, more: &Value) -> Session {
        let claims = merged(self.claims(subject), more);
        Session { id: String::new(), username: subject.to_owned(), token: key.sign(&claims) }
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// The claims with others added or replaced; `null` removes one.
pub fn merged(mut claims: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().expect("claims") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("claims").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// The present time, in seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs()
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        connections.spawn(answer(stream, Arc::clone(&state)));
    }
}

async fn answer(mut stream: TcpStream, state: Arc<State>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(length) if length > 0 => request.extend_from_slice(&chunk[..length]),
            _ => return,
        }
    }
    state.requests.fetch_add(1, Ordering::SeqCst);
    let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, location, body) = state.response(&path).await;
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{location}\r\n",
        body.len()
    );
    drop(stream.write_all(head.as_bytes()).await);
    drop(stream.write_all(body.as_bytes()).await);
}

impl State {
    /// The status, a header, and the body.
    async fn response(&self, path: &str) -> (u16, String, String) {
        let behaviour = self.behaviour.lock().expect("a behaviour").clone();
        let name = self.name.lock().expect("a name").clone();
        match (behaviour, path) {
            (Behaviour::Hang, _) => std::future::pending().await,
            (Behaviour::Redirect(to), _) => (302, format!("location: {to}{path}\r\n"), String::new()),
            (Behaviour::Status(status), _) => (status, String::new(), String::new()),
            (_, "/.well-known/openid-configuration") => {
                (200, String::new(), json!({ "issuer": name, "jwks_uri": format!("{name}/keys") }).to_string())
            }
            (Behaviour::Text(text), "/keys") => (200, String::new(), text),
            (_, "/keys") => {
                let keys = self.keys.lock().expect("keys").clone();
                (200, String::new(), json!({ "keys": keys }).to_string())
            }
            _ => (404, String::new(), String::new()),
        }
    }
}
