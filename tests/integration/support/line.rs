//! A client with one GraphQL subscription, for tests in which connections break.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// One `graphql-transport-ws` connection with one subscription.
pub struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// The connection ended: the close code, or 1006 if there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost(pub u16);

impl From<Error> for Lost {
    fn from(_: Error) -> Self {
        Self(1006)
    }
}

impl Line {
    /// Connects, authenticates and subscribes.
    pub async fn open(address: SocketAddr, token: Option<&str>, query: &str, variables: &Value) -> Result<Self, Lost> {
        let mut request = format!("ws://{address}/graphql").into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
        let mut line = Self(connect_async(request).await?.0);
        let payload = token.map(|token| json!({"authorization": format!("Bearer {token}")}));
        line.say(&json!({"type": "connection_init", "payload": payload})).await?;
        let answer = line.hear().await?;
        assert_eq!(answer["type"], "connection_ack", "{answer}");
        let payload = json!({"query": query, "variables": variables});
        line.say(&json!({"type": "subscribe", "id": "1", "payload": payload})).await?;
        Ok(line)
    }

    /// The next frame; answers pings in between.
    pub async fn hear(&mut self) -> Result<Value, Lost> {
        loop {
            match self.0.next().await {
                None => return Err(Lost(1006)),
                Some(Ok(Message::Close(frame))) => return Err(Lost(frame.map_or(1006, |frame| frame.code.into()))),
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    if frame["type"] != "ping" {
                        return Ok(frame);
                    }
                    self.say(&json!({"type": "pong"})).await?;
                }
                Some(message) => drop(message?),
            }
        }
    }

    async fn say(&mut self, frame: &Value) -> Result<(), Lost> {
        Ok(self.0.send(Message::text(frame.to_string())).await?)
    }
}
