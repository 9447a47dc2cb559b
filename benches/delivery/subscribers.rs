//! The subscribers: graphql-transport-ws clients that only read and report each delivery to the ledger.

use std::{
    cell::RefCell,
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    rc::Rc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::{
    Outcome, documents,
    frames::{self, CLOSE, PING, PONG, TEXT},
    implementation::Server,
    ledger::Ledger,
};

/// Number of concurrent handshakes.
const HANDSHAKES: usize = 32;
/// Number of loopback source addresses of the subscribers, so that no address runs out of ports.
const SOURCES: usize = 20;
/// Bytes that one `recv` may return. All subscribers share the buffer, because only one of them runs at a time.
const BUFFER: usize = 64 * 1024;

type Buffer = Rc<RefCell<Vec<u8>>>;

/// All subscribers of one server; dropping it closes their connections.
pub struct Subscribers {
    count: usize,
    _reading: JoinSet<()>,
}

impl Subscribers {
    /// Connects `count` subscribers, which report to `ledger`. Must run on a `LocalSet`.
    ///
    /// Returns when each has its `connection_ack` and has sent its `subscribe`. [`crate::publish::warm`] finds out when
    /// the subscriptions are live.
    pub async fn connect(server: &Server, count: usize, ledger: &Rc<Ledger>) -> Outcome<Self> {
        Self::open(server, count, ledger, None).await
    }

    /// The same for subscribers that resume at `cursor`. Missed messages arrive while others still connect.
    pub async fn resume(server: &Server, count: usize, ledger: &Rc<Ledger>, cursor: &str) -> Outcome<Self> {
        Self::open(server, count, ledger, Some(cursor)).await
    }

    /// Connects subscribers to one channel each, with a hundred subscriptions per connection.
    pub async fn of_channels(server: &Server, channels: &[String], ledger: &Rc<Ledger>) -> Outcome<Self> {
        let buffer: Buffer = Rc::new(RefCell::new(vec![0; BUFFER]));
        let mut reading = JoinSet::new();
        for (index, some) in channels.chunks(100).enumerate() {
            let subscriber = Subscriber::of_channels(server, index, some).await?;
            let (buffer, ledger) = (buffer.clone(), ledger.clone());
            reading.spawn_local(async move {
                if let Err(why) = subscriber.follow(&buffer, &ledger).await {
                    ledger.fail(format!("a follower of other channels: {why}"));
                }
            });
        }
        Ok(Self { count: channels.len(), _reading: reading })
    }

    async fn open(server: &Server, count: usize, ledger: &Rc<Ledger>, cursor: Option<&str>) -> Outcome<Self> {
        let opening = stream::iter(0..count)
            .map(|index| Subscriber::open(server.address(), server.token(), index, cursor))
            .buffered(HANDSHAKES);
        let mut opening = std::pin::pin!(opening);
        let buffer: Buffer = Rc::new(RefCell::new(vec![0; BUFFER]));
        let mut reading = JoinSet::new();
        while let Some(subscriber) = opening.try_next().await? {
            let (buffer, ledger) = (buffer.clone(), ledger.clone());
            reading.spawn_local(async move {
                let index = subscriber.index;
                if let Err(why) = subscriber.follow(&buffer, &ledger).await {
                    ledger.fail(format!("subscriber {index}: {why}"));
                }
            });
        }
        Ok(Self { count, _reading: reading })
    }

    pub fn count(&self) -> usize {
        self.count
    }
}

struct Subscriber {
    index: usize,
    stream: TcpStream,
    /// Received bytes that are not yet a complete frame.
    rest: Vec<u8>,
}

impl Subscriber {
    async fn open(address: SocketAddr, token: Option<&str>, index: usize, cursor: Option<&str>) -> Outcome<Self> {
        let stream = connect(address, index).await.map_err(|error| format!("subscriber {index}: {error}"))?;
        let mut subscriber = Self { index, stream, rest: Vec::new() };
        subscriber.upgrade(address).await.map_err(|why| format!("subscriber {index}, upgrade: {why}"))?;
        subscriber.subscribe(token, cursor).await.map_err(|why| format!("subscriber {index}, subscribing: {why}"))?;
        Ok(subscriber)
    }

    async fn of_channels(server: &Server, index: usize, channels: &[String]) -> Outcome<Self> {
        let stream = connect(server.address(), index).await.map_err(|error| error.to_string())?;
        let mut subscriber = Self { index, stream, rest: Vec::new() };
        subscriber.upgrade(server.address()).await?;
        subscriber.send_text(&documents::connection_init(server.token())).await?;
        subscriber.expect_frame(r#""connection_ack""#).await?;
        for (id, channel) in channels.iter().enumerate() {
            subscriber.send_text(&documents::follow_channel(id, channel)).await?;
        }
        subscriber.send_text(r#"{"type":"ping"}"#).await?;
        subscriber.expect_frame(r#""pong""#).await?;
        Ok(subscriber)
    }

    async fn upgrade(&mut self, address: SocketAddr) -> Outcome<()> {
        let request = format!(
            "GET /subscriptions HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\
             Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
            frames::KEY
        );
        self.send(request.as_bytes()).await?;
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.receive().await?;
        };
        let head = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        if !head.starts_with("HTTP/1.1 101") || !head.contains(frames::ACCEPT) {
            return Err(head);
        }
        self.rest.drain(..end);
        Ok(())
    }

    async fn subscribe(&mut self, token: Option<&str>, cursor: Option<&str>) -> Outcome<()> {
        self.send_text(&documents::connection_init(token)).await?;
        self.expect_frame(r#""connection_ack""#).await?;
        if let Some(cursor) = cursor {
            return self.send_text(&documents::resume(cursor)).await;
        }
        self.send_text(&documents::subscribe()).await?;
        self.send_text(r#"{"type":"ping"}"#).await?;
        self.expect_frame(r#""pong""#).await
    }

    async fn send_text(&mut self, text: &str) -> Outcome<()> {
        self.send(&frames::from_client(TEXT, text.as_bytes())).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.stream.write_all(bytes).await.map_err(|error| error.to_string())
    }

    async fn receive(&mut self) -> Outcome<()> {
        let count = self.stream.read_buf(&mut self.rest).await.map_err(|error| error.to_string())?;
        if count == 0 { Err("closed by the server".to_owned()) } else { Ok(()) }
    }

    /// Waits for a frame that contains `word`; answers the server's pings.
    async fn expect_frame(&mut self, word: &str) -> Outcome<()> {
        loop {
            let Some(frame) = frames::first(&self.rest)? else {
                self.receive().await?;
                continue;
            };
            let (length, text) = (frame.length, String::from_utf8_lossy(frame.payload).into_owned());
            self.rest.drain(..length);
            match text {
                text if text.contains(word) => return Ok(()),
                text if text.contains(r#""ping""#) => self.send_text(r#"{"type":"pong"}"#).await?,
                text => return Err(format!("expected {word}, got {text}")),
            }
        }
    }

    async fn follow(mut self, buffer: &Buffer, ledger: &Ledger) -> Outcome<()> {
        // Frames may have arrived together with the pong.
        let mut reply = take(&mut self.rest, &[], self.index, ledger)?;
        loop {
            if !reply.is_empty() {
                self.send(&reply).await?;
            }
            reply = poll_fn(|context| {
                let mut shared = buffer.borrow_mut();
                let mut space = ReadBuf::new(&mut shared);
                Pin::new(&mut self.stream).poll_read(context, &mut space).map(|outcome| {
                    outcome.map_err(|error| error.to_string())?;
                    if space.filled().is_empty() {
                        return Err("closed by the server".to_owned());
                    }
                    take(&mut self.rest, space.filled(), self.index, ledger)
                })
            })
            .await?;
        }
    }
}

/// Handles the complete frames in `rest` and `bytes`, and keeps incomplete bytes in `rest`. Returns the bytes to send
/// in reply.
fn take(rest: &mut Vec<u8>, bytes: &[u8], index: usize, ledger: &Ledger) -> Outcome<Vec<u8>> {
    // Usually `rest` is empty and nothing is copied.
    let joined: Option<Vec<u8>> = (!rest.is_empty()).then(|| [rest.as_slice(), bytes].concat());
    let all = joined.as_deref().unwrap_or(bytes);
    let (mut used, mut reply) = (0, Vec::new());
    while let Some(frame) = frames::first(&all[used..])? {
        used += frame.length;
        match frame.opcode {
            PING => reply.extend(frames::from_client(PONG, frame.payload)),
            CLOSE => {
                return Err(format!("closed by the server: {}", String::from_utf8_lossy(frame.payload)));
            }
            TEXT if frame.payload.starts_with(br#"{"type":"ping""#) => {
                reply.extend(frames::from_client(TEXT, br#"{"type":"pong"}"#));
            }
            // juniper's keep-alives are unsolicited pongs.
            TEXT if frame.payload.starts_with(br#"{"type":"pong""#) => {}
            TEXT => ledger.received(index, frame.payload)?,
            other => return Err(format!("a frame with opcode {other}")),
        }
    }
    *rest = all[used..].to_vec();
    Ok(reply)
}

async fn connect(address: SocketAddr, index: usize) -> std::io::Result<TcpStream> {
    let source = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + index % SOURCES).unwrap_or(2));
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
