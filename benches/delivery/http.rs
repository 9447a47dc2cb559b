//! One keep-alive HTTP connection to a server under test, one request at a time.
//!
//! Handwritten for the same reason as [`crate::frames`]: with 16 connections, a general client would use more CPU per
//! mutation than the measured server. It only supports responses with `Content-Length`, and fails on others.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Outcome;

/// A connection, and the head of every request.
pub struct Connection {
    stream: TcpStream,
    head: String,
    answer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr, token: Option<&str>) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("connect {address}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\n{authorization}Content-Length: "
        );
        Ok(Self { stream, head, answer: Vec::with_capacity(16 * 1024) })
    }

    /// Executes one operation; returns the body of the response.
    ///
    /// # Errors
    /// If the status is not 200 or the body has `errors`.
    pub async fn post(&mut self, body: &str) -> Outcome<&str> {
        let body = self.execute(body).await?;
        if body.contains(r#""errors""#) { Err(format!("the request failed: {body}")) } else { Ok(body) }
    }

    /// Executes one operation, which may be refused; returns the body of the response.
    ///
    /// # Errors
    /// If the status is not 200.
    pub async fn execute(&mut self, body: &str) -> Outcome<&str> {
        self.ask(format!("{}{}\r\n\r\n{body}", self.head, body.len())).await
    }

    /// Requests a path; returns the body of the response.
    ///
    /// # Errors
    /// If the status is not 200.
    pub async fn get(&mut self, path: &str) -> Outcome<&str> {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
    }

    async fn ask(&mut self, request: String) -> Outcome<&str> {
        self.stream.write_all(request.as_bytes()).await.map_err(|error| format!("publishing: {error}"))?;
        let start = self.receive().await?;
        let (head, body) = self.answer.split_at(start);
        let body = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        if !head.starts_with(b"HTTP/1.1 200") {
            return Err(format!("the request failed: {} {body}", String::from_utf8_lossy(head)));
        }
        Ok(body)
    }

    /// Reads one complete response; returns where its body starts.
    async fn receive(&mut self) -> Outcome<usize> {
        self.answer.clear();
        loop {
            let count = self.stream.read_buf(&mut self.answer).await.map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("the server closed a publishing connection".to_owned());
            }
            if let Some((start, length)) = body_in(&self.answer)?
                && self.answer.len() >= start + length
            {
                return Ok(start);
            }
        }
    }
}

/// Where the body of the HTTP message at the beginning of `bytes` starts, and its length, once the head is complete.
pub fn body_in(bytes: &[u8]) -> Outcome<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| format!("an HTTP message without Content-Length:\n{head}"))?;
    Ok(Some((end + 4, length)))
}
