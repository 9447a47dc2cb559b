//! The reference servers: the cost of delivering if a server does nothing else.
//!
//! One thread, plain sockets, prepared bytes. A published message becomes one frame, which is written to every
//! subscribed socket: immediately, or together with the other frames that arrived meanwhile. It only works with the
//! client of this benchmark, because it searches for substrings where a server would parse.

use std::{
    cell::{Cell, RefCell},
    io::Write as _,
    rc::Rc,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime,
    sync::Notify,
    task::{LocalSet, spawn_local, yield_now},
};

use crate::{
    Outcome, documents,
    frames::{self, TEXT},
    http,
};

/// When a frame is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    OnePerDelivery,
    Coalesced,
}

struct Reference {
    writes: Writes,
    published: Cell<u64>,
    /// Non-blocking sockets outside of tokio: the write is the whole delivery.
    sockets: RefCell<Vec<std::net::TcpStream>>,
    pending: RefCell<Vec<u8>>,
    due: Notify,
    query: Vec<u8>,
}

/// Serves until standard input closes.
pub fn run(writes: Writes) -> Outcome<()> {
    let reference = Rc::new(Reference {
        writes,
        published: Cell::new(0),
        sockets: RefCell::default(),
        pending: RefCell::default(),
        due: Notify::new(),
        query: response(&format!(
            r#"{{"data":{{"messages":{{"nodes":[{}]}}}}}}"#,
            vec![message(0, &documents::content(0)); 20].join(",")
        )),
    });
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    LocalSet::new().block_on(&runtime, reference.serve()).map_err(|error| error.to_string())
}

/// Ends this process when standard input closes, so that it does not outlive its parent.
pub fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

impl Reference {
    async fn serve(self: Rc<Self>) -> std::io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("listening on http://{}", listener.local_addr()?);
        end_with_stdin();
        spawn_local(self.clone().deliver_pending());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let reference = self.clone();
            spawn_local(async move {
                if let Err(error) = reference.serve_connection(stream).await {
                    eprintln!("connection: {error}");
                }
            });
        }
    }

    /// Serves a connection: publishing requests, until it ends or becomes a subscriber.
    async fn serve_connection(&self, mut stream: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
        let mut received = Vec::new();
        while stream.read_buf(&mut received).await? > 0 {
            if received.starts_with(b"GET") {
                if received.ends_with(b"\r\n\r\n") {
                    return self.upgrade(stream).await;
                }
                continue;
            }
            while let Some((start, length)) = http::body_in(&received)? {
                let Some(body) = received.get(start..start + length) else {
                    break;
                };
                let answer = self.answer(std::str::from_utf8(body)?)?;
                stream.write_all(&answer).await?;
                received.drain(..start + length);
            }
        }
        Ok(())
    }

    fn answer(&self, body: &str) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let Some((_, rest)) = body.split_once(r#""content":""#) else {
            return Ok(self.query.clone());
        };
        let content = rest.get(..documents::CONTENT).ok_or("a short message")?;
        let id = self.published.get() + 1;
        self.published.set(id);
        let payload =
            format!(r#"{{"type":"next","id":"1","payload":{{"data":{{"messageAdded":{}}}}}}}"#, message(id, content));
        let frame = frames::from_server(TEXT, payload.as_bytes());
        match self.writes {
            Writes::OnePerDelivery => self.write(&frame),
            Writes::Coalesced => {
                self.pending.borrow_mut().extend(frame);
                self.due.notify_one();
            }
        }
        Ok(response(&format!(r#"{{"data":{{"createMessage":{{"id":"{id}"}}}}}}"#)))
    }

    async fn deliver_pending(self: Rc<Self>) {
        loop {
            self.due.notified().await;
            // Handle all other input that has arrived first; its frames are written in the same call.
            yield_now().await;
            let pending = self.pending.take();
            self.write(&pending);
        }
    }

    fn write(&self, bytes: &[u8]) {
        for mut socket in self.sockets.borrow().iter() {
            // The load keeps the backlog far below the size of a socket buffer. If a buffer is full, the measurement is
            // invalid.
            if !matches!(socket.write(bytes), Ok(count) if count == bytes.len()) {
                eprintln!("a subscriber's socket is full or gone");
                std::process::exit(1);
            }
        }
    }

    /// Upgrades `stream`, and makes it a subscriber when it sends the ping that ends a subscriber's handshake.
    async fn upgrade(&self, mut stream: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
        let upgraded = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
            frames::ACCEPT
        );
        stream.write_all(upgraded.as_bytes()).await?;
        let mut received = Vec::new();
        while stream.read_buf(&mut received).await? > 0 {
            while let Some(frame) = frames::first(&received)? {
                let (length, text) = (frame.length, String::from_utf8_lossy(frame.payload).into_owned());
                received.drain(..length);
                if text.contains("connection_init") {
                    stream.write_all(&frames::from_server(TEXT, br#"{"type":"connection_ack"}"#)).await?;
                }
                if text.contains(r#""ping""#) {
                    stream.write_all(&frames::from_server(TEXT, br#"{"type":"pong"}"#)).await?;
                    self.sockets.borrow_mut().push(stream.into_std()?);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn message(id: u64, content: &str) -> String {
    format!(
        r#"{{"id":"{id}","title":"bench","content":"{content}","authorId":"1","createdAt":"2026-01-01T00:00:00.000000Z"}}"#
    )
}

fn response(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}
