//! A client of the JSON socket. It checks every frame, in both directions, against the published JSON schema.

use std::net::SocketAddr;
use std::sync::OnceLock;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{Session, with_timeout};

pub const CONNECT: &str = "/api/v1/websocket/connect";
pub const TICKETS: &str = "/api/v1/ws";

/// A client of the JSON socket.
pub struct JsonSocket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl JsonSocket {
    pub async fn open(address: SocketAddr, path: &str, session: Option<&Session>) -> Self {
        let token = session.map_or_else(String::new, |session| format!("?token={}", session.token));
        Self::open_as(address, &format!("{path}{token}")).await
    }

    /// Connects to a path that has its own query string.
    pub async fn open_as(address: SocketAddr, path: &str) -> Self {
        let connecting = tokio_tungstenite::connect_async(format!("ws://{address}{path}"));
        Self(with_timeout("an upgrade", connecting).await.expect("an upgrade").0)
    }

    /// Connects with a small receive buffer, so that unread frames soon fill the buffers of the kernel.
    pub async fn open_narrow(address: SocketAddr, path: &str, session: &Session) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(8 << 10).expect("a small buffer");
        let stream =
            MaybeTlsStream::Plain(with_timeout("a connection", socket.connect(address)).await.expect("a connection"));
        let url = format!("ws://{address}{path}?token={}", session.token);
        let upgrading = tokio_tungstenite::client_async(url, stream);
        Self(with_timeout("an upgrade", upgrading).await.expect("an upgrade").0)
    }

    pub async fn send(&mut self, frame: Value) {
        check("client", &frame);
        self.send_raw(Message::text(frame.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        with_timeout("sending", self.0.send(message)).await.expect("the connection is open");
    }

    /// The next frame, or the close code (1006: the connection broke).
    pub async fn next(&mut self) -> Result<Value, u16> {
        loop {
            match with_timeout("a frame", self.0.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).expect("JSON");
                    check("server", &frame);
                    return Ok(frame);
                }
                Some(Ok(Message::Close(Some(frame)))) => return Err(frame.code.into()),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Err(1006),
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next frame as text.
    pub async fn text(&mut self) -> String {
        loop {
            match with_timeout("a frame", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?} instead of a frame"),
            }
        }
    }

    pub async fn frame(&mut self) -> Value {
        self.next().await.unwrap_or_else(|code| panic!("closed with {code} instead of a frame"))
    }

    /// The close code; fails if a frame comes first.
    pub async fn close_code(&mut self) -> u16 {
        match self.next().await {
            Err(code) => code,
            Ok(frame) => panic!("{frame} instead of a close"),
        }
    }

    /// The next frame, which must have this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.frame().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// Sends a frame and returns the next one, which must have this type.
    pub async fn request(&mut self, frame: Value, kind: &str) -> Value {
        self.send(frame).await;
        self.expect(kind).await
    }

    /// Asserts that no frame is pending; returns the cursor up to which everything has been delivered.
    pub async fn assert_idle(&mut self) -> String {
        let pong = self.request(json!({"type": "ping"}), "pong").await;
        super::text(&pong["cursor"])
    }
}

fn check(side: &str, frame: &Value) {
    static VALIDATORS: OnceLock<[jsonschema::Validator; 2]> = OnceLock::new();
    let validators = VALIDATORS.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json-socket.schema.json");
        let text = std::fs::read_to_string(path).expect("the schema");
        ["client", "server"].map(|side| {
            let mut schema: Value = serde_json::from_str(&text).expect("JSON");
            schema["oneOf"] = json!([{"$ref": format!("#/$defs/{side}")}]);
            jsonschema::validator_for(&schema).expect("a schema")
        })
    });
    let validator = &validators[usize::from(side == "server")];
    assert!(validator.is_valid(frame), "not a frame of the {side}: {frame}");
}
