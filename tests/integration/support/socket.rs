//! A client of the GraphQL sockets that returns every frame, for tests of what client libraries hide.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{Session, with_timeout};

/// A connection of one sub-protocol.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The `connection_ack` frame.
    pub acknowledged: Value,
}

impl Socket {
    /// Connects and requests these sub-protocols; sends nothing.
    pub async fn connect(address: SocketAddr, path: &str, protocols: &str) -> Self {
        Self::try_connect(address, path, &[("sec-websocket-protocol", protocols)]).await.expect("an upgrade")
    }

    /// Connects with these request headers.
    pub async fn try_connect(address: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a header"));
        }
        let (stream, _) = with_timeout("an upgrade", tokio_tungstenite::connect_async(request)).await?;
        Ok(Self { stream, acknowledged: Value::Null })
    }

    /// Connects with `graphql-transport-ws` and waits for the acknowledgement of `connection_init`.
    pub async fn connect_and_init(address: SocketAddr, session: Option<&Session>) -> Self {
        let mut socket = Self::connect(address, "/graphql", "graphql-transport-ws").await;
        let payload = session.map(|session| json!({"authorization": format!("Bearer {}", session.token)}));
        socket.send(json!({"type": "connection_init", "payload": payload})).await;
        socket.acknowledged = socket.frame().await;
        assert_eq!(socket.acknowledged["type"], "connection_ack", "{}", socket.acknowledged);
        socket
    }

    pub async fn send(&mut self, frame: Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        with_timeout("sending", self.stream.send(message)).await.expect("the connection is open");
    }

    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({"query": query, "variables": variables});
        self.send(json!({"type": "subscribe", "id": id, "payload": payload})).await;
    }

    /// The next text frame unparsed, protocol pings included.
    pub async fn text(&mut self) -> String {
        loop {
            match with_timeout("a frame", self.stream.next()).await {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?} instead of a frame"),
            }
        }
    }

    /// The next JSON frame; answers pings in between.
    pub async fn frame(&mut self) -> Value {
        match self.next().await {
            Ok(frame) => frame,
            Err((code, reason)) => panic!("closed with {code} {reason:?} instead of a frame"),
        }
    }

    /// The next JSON frame, or the code and reason of the close (1006: the connection broke).
    pub async fn next(&mut self) -> Result<Value, (u16, String)> {
        loop {
            let message = with_timeout("a frame", self.stream.next()).await;
            match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    if frame["type"] == "ping" {
                        self.send(json!({"type": "pong"})).await;
                    } else {
                        return Ok(frame);
                    }
                }
                Some(Ok(Message::Close(Some(frame)))) => return Err((frame.code.into(), frame.reason.to_string())),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Err((1006, String::new())),
                Some(Ok(_)) => {}
            }
        }
    }

    /// The close code; skips frames that come before it.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            if let Err((code, _)) = self.next().await {
                return code;
            }
        }
    }

    /// The data of the next item of a subscription.
    pub async fn item(&mut self, id: &str) -> Value {
        let mut frame = self.frame().await;
        assert_eq!((&frame["type"], &frame["id"]), (&json!("next"), &json!(id)), "{frame}");
        assert!(frame["payload"].get("errors").is_none(), "{frame}");
        frame["payload"]["data"].take()
    }

    /// The code of the error that ends an operation.
    pub async fn error_code(&mut self, id: &str) -> String {
        let frame = self.frame().await;
        assert_eq!((&frame["type"], &frame["id"]), (&json!("error"), &json!(id)), "{frame}");
        super::server::text(&frame["payload"][0]["extensions"]["code"])
    }

    /// Waits until the server has handled all earlier frames, and asserts that no other frame is pending.
    pub async fn assert_idle(&mut self) {
        self.send(json!({"type": "ping"})).await;
        let frame = self.frame().await;
        assert_eq!(frame["type"], "pong", "{frame}");
    }
}
