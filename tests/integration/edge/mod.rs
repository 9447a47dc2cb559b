//! The environment of a server: proxies, load balancers, browsers on other origins, and old clients.

mod origins;
mod proxies;
mod rejection_logs;
mod requests;

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::with_timeout;

// The headers of a WebSocket upgrade, without `Host`.
const SOCKET: &str = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: websocket\r\n";

/// The answer to a request with this request line and these headers, without a body.
async fn answer(address: SocketAddr, first: &str, headers: &str) -> Answer {
    send_raw_request(address, &format!("{first}\r\n{headers}\r\n")).await
}

/// The answer to raw request bytes. For an upgrade, only the head of the answer is read.
async fn send_raw_request(address: SocketAddr, request: &str) -> Answer {
    let mut connection = with_timeout("a connection", TcpStream::connect(address)).await.expect("a connection");
    connection.write_all(request.as_bytes()).await.expect("the connection is open");
    let mut read = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = with_timeout("a response", connection.read(&mut piece)).await.unwrap_or(0);
        read.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let is_whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let has_body = !(request.starts_with("HEAD")
                || ["101", "204"].iter().any(|code| head.split(' ').nth(1) == Some(*code)));
            let length = head.to_ascii_lowercase().split("content-length: ").nth(1).map(|rest| {
                rest.split("\r\n").next().and_then(|length| length.parse::<usize>().ok()).expect("a length")
            });
            !has_body || length.is_some_and(|length| body.len() >= length)
        });
        if is_whole || count == 0 {
            return Answer(text);
        }
    }
}

struct Answer(String);

impl Answer {
    fn status(&self) -> u16 {
        let status = self.0.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no answer: {:?}", self.0))
    }

    /// The values of a header, joined by commas; empty if there is none.
    fn header(&self, name: &str) -> String {
        let head = self.0.split("\r\n\r\n").next().unwrap_or_default();
        let values = head.lines().filter_map(|line| line.split_once(": "));
        values
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}
