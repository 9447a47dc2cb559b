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
pub struct TestSubscription(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// The connection ended: the close code, or 1006 if there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected(pub u16);

impl From<Error> for Disconnected {
    fn from(_: Error) -> Self {
        Self(1006)
    }
}

impl TestSubscription {
    /// Connects, authenticates and subscribes.
    pub async fn open(
        address: SocketAddr,
        token: Option<&str>,
        query: &str,
        variables: &Value,
    ) -> Result<Self, Disconnected> {
        let mut request = format!("ws://{address}/graphql").into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
        let mut subscription = Self(connect_async(request).await?.0);
        let payload = token.map(|token| json!({"authorization": format!("Bearer {token}")}));
        subscription.send_frame(&json!({"type": "connection_init", "payload": payload})).await?;
        let answer = subscription.next_frame().await?;
        assert_eq!(answer["type"], "connection_ack", "{answer}");
        let payload = json!({"query": query, "variables": variables});
        subscription.send_frame(&json!({"type": "subscribe", "id": "1", "payload": payload})).await?;
        Ok(subscription)
    }

    /// The next frame; answers pings in between.
    pub async fn next_frame(&mut self) -> Result<Value, Disconnected> {
        loop {
            match self.0.next().await {
                None => return Err(Disconnected(1006)),
                Some(Ok(Message::Close(frame))) => {
                    return Err(Disconnected(frame.map_or(1006, |frame| frame.code.into())));
                }
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    if frame["type"] != "ping" {
                        return Ok(frame);
                    }
                    self.send_frame(&json!({"type": "pong"})).await?;
                }
                Some(message) => drop(message?),
            }
        }
    }

    async fn send_frame(&mut self, frame: &Value) -> Result<(), Disconnected> {
        Ok(self.0.send(Message::text(frame.to_string())).await?)
    }
}
