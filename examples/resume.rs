//! A client that follows everything it may see and loses nothing: it keeps the cursor of the last event that it handled,
//! and resumes from it after any disconnect, at any instance, also after its own restart.
//!
//! ```sh
//! cargo run --example resume -- ws://127.0.0.1:8000/graphql cursor.txt [TOKEN]
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The subscription. `after: null` begins now; a cursor begins behind it.
const EVENTS: &str = "subscription ($after: Cursor) {
    events(after: $after) { __typename cursor ... on MessageAdded { message { content author { username } } } } }";
/// The delay before the first attempt to connect again. It doubles up to [`MAX_DELAY`].
const MIN_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(30);

/// Why a connection ended.
enum End {
    /// The client connects again, and resumes.
    Lost(String),
    /// No connection can succeed: the server refused the subscription.
    Refused(String),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Lost(error.to_string())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(file)) = (arguments.next(), arguments.next().map(PathBuf::from)) else {
        return Err("usage: resume URL CURSOR_FILE [TOKEN]".into());
    };
    let token = arguments.next();
    let mut delay = MIN_DELAY;
    loop {
        let before = read_cursor(&file);
        match follow(&url, &file, token.as_deref()).await {
            End::Refused(why) => return Err(why),
            End::Lost(why) => eprintln!("disconnected ({why}); connecting again in {delay:?}"),
        }
        tokio::time::sleep(delay).await;
        let has_progressed = read_cursor(&file) != before;
        delay = if has_progressed { MIN_DELAY } else { (2 * delay).min(MAX_DELAY) };
    }
}

/// Follows the events over one connection, until it ends.
async fn follow(url: &str, file: &Path, token: Option<&str>) -> End {
    match follow_until_lost(url, file, token).await {
        Ok(()) => End::Lost("the server closed the connection".into()),
        Err(end) => end,
    }
}

async fn follow_until_lost(url: &str, file: &Path, token: Option<&str>) -> Result<(), End> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
    let (mut socket, _) = connect_async(request).await?;
    let payload = token.map_or(json!({}), |token| json!({"authorization": format!("Bearer {token}")}));
    socket.send(text(&json!({"type": "connection_init", "payload": payload}))).await?;
    while let Some(message) = socket.next().await {
        let Message::Text(message) = message? else { continue };
        let message: Value = serde_json::from_str(&message).map_err(|error| End::Lost(error.to_string()))?;
        match message["type"].as_str() {
            Some("connection_ack") => {
                let variables = json!({"after": read_cursor(file)});
                let payload = json!({"query": EVENTS, "variables": variables});
                socket.send(text(&json!({"id": "1", "type": "subscribe", "payload": payload}))).await?;
            }
            Some("ping") => socket.send(text(&json!({"type": "pong"}))).await?,
            Some("next") => handle(&message["payload"]["data"]["events"], file)?,
            Some("error") => return Err(End::Refused(message["payload"].to_string())),
            _ => {}
        }
    }
    Ok(())
}

/// Handles an event, and then keeps its cursor. A real program writes both in one transaction.
fn handle(event: &Value, file: &Path) -> Result<(), End> {
    println!("{event}");
    let cursor = event["cursor"].as_str().ok_or_else(|| End::Refused(format!("no cursor in {event}")))?;
    std::fs::write(file, cursor).map_err(|error| End::Refused(format!("{}: {error}", file.display())))
}

fn read_cursor(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok()
}

fn text(message: &Value) -> Message {
    Message::text(message.to_string())
}
