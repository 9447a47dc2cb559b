//! A client of Server-Sent Events streams that returns every frame unchanged.

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use super::with_timeout;

/// An open event stream.
pub struct EventStream {
    response: Response,
    unread: String,
}

/// One frame: the fields between two empty lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseFrame {
    pub event: Option<String>,
    pub id: Option<String>,
    pub retry: Option<String>,
    pub data: Option<String>,
}

impl SseFrame {
    /// The GraphQL response in the `data` field.
    pub fn result(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_else(|| panic!("{self:?} has no data"));
        serde_json::from_str(data).expect("JSON")
    }

    /// The code of the first error in the `data` field.
    pub fn code(&self) -> String {
        super::text(&self.result()["errors"][0]["extensions"]["code"])
    }

    pub fn is_complete(&self) -> bool {
        self.event.as_deref() == Some("complete") && self.data.as_deref() == Some("")
    }
}

impl EventStream {
    /// Sends a request and checks that the response is an event stream.
    pub async fn open(request: RequestBuilder) -> Self {
        let response =
            with_timeout("a response", request.header("accept", "text/event-stream").send()).await.expect("a response");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { response, unread: String::new() }
    }

    /// The next frame as text; `None` at the end of the response; an error if the connection broke.
    pub async fn raw(&mut self) -> Result<Option<String>, reqwest::Error> {
        loop {
            if let Some(length) = self.unread.find("\n\n") {
                let rest = self.unread.split_off(length + 2);
                let mut frame = std::mem::replace(&mut self.unread, rest);
                frame.truncate(length);
                return Ok(Some(frame));
            }
            match with_timeout("a frame", self.response.chunk()).await? {
                Some(chunk) => self.unread.push_str(std::str::from_utf8(&chunk).expect("text in whole characters")),
                None => {
                    assert_eq!(self.unread, "", "the response ended inside a frame");
                    return Ok(None);
                }
            }
        }
    }

    /// The next frame; `None` at the end of the response.
    pub async fn frame(&mut self) -> Option<SseFrame> {
        self.try_frame().await.expect("the connection is open")
    }

    /// The next frame; `None` at the end of the response; an error if the connection broke.
    pub async fn try_frame(&mut self) -> Result<Option<SseFrame>, reqwest::Error> {
        let Some(raw) = self.raw().await? else { return Ok(None) };
        let mut frame = SseFrame::default();
        for line in raw.lines().filter(|line| !line.starts_with(':')) {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?}"));
            let field = match name {
                "event" => &mut frame.event,
                "id" => &mut frame.id,
                "retry" => &mut frame.retry,
                "data" => &mut frame.data,
                _ => panic!("{line:?}"),
            };
            assert_eq!(*field, None, "{raw}");
            *field = Some(value.strip_prefix(' ').unwrap_or(value).to_owned());
        }
        Ok(Some(frame))
    }

    /// The next frame that has data.
    pub async fn next(&mut self) -> SseFrame {
        loop {
            let frame = self.frame().await.expect("a frame and not the end");
            if frame.data.is_some() {
                return frame;
            }
        }
    }

    /// Asserts that the stream ends without another frame that has data.
    pub async fn assert_ends(&mut self) {
        while let Some(frame) = self.frame().await {
            assert_eq!(frame.data, None, "a frame with data came instead of the end");
        }
    }
}
