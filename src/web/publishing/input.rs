//! Reads the body of `POST /api/v1/events`: one event, a list of events, or one event in each line (NDJSON). Lines are
//! parsed as they arrive, so a long body is never in memory as a whole.

use bytes::Buf;
use futures_util::{Stream, StreamExt as _};
use http::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{AppState, body, request};
use crate::board::{ChannelAddress, MAX_PUBLISHED, NewAppEvent};
use crate::error::{Error, Result};
use crate::model::{JsonText, MemoryLease, replace_lone_surrogates};

/// The most lines of one request.
const MAX_LINES: usize = 100_000;

/// The most bytes of a body in lines.
const MAX_NDJSON_BYTES: usize = 32 << 20;

/// The most bytes of one line. An event has at most 64 KiB of data.
const MAX_LINE_BYTES: usize = 128 << 10;

/// Memory that an event takes until it is committed, besides its texts, which exist up to three times.
const EVENT_BYTES: usize = 1 << 10;

/// How many bytes more than needed are reserved at once.
const LEASE_STEP: usize = 1 << 20;

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// One event or a list of events, in JSON.
    Json,
    /// One event in each line.
    Lines,
}

impl BodyForm {
    /// The form that the content type names; `None` for another content type.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Lines),
            _ => request::is_json(headers).then_some(Self::Json),
        }
    }

    /// What the numbers of events count.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Json => "event",
            Self::Lines => "line",
        }
    }
}

/// The events of a body.
pub struct Input {
    pub events: Vec<NewAppEvent>,
    /// The number of each event, for error messages: its place in the list, or its line. Counted from 1.
    pub numbers: Vec<usize>,
    /// The memory of the events.
    pub lease: MemoryLease,
    /// How much memory the events need.
    bytes: usize,
}

/// Why a body is not acceptable.
pub enum BodyError {
    /// A limit on its size, with its name and value.
    TooLarge(String),
    /// The body took longer than allowed.
    TooSlow,
    /// The connection ended before the end of the body.
    Broken,
    /// Requests of this kind take all memory that is reserved for them.
    OutOfMemory,
    /// An event, with its number.
    Event(usize, Error),
}

/// Reads the events of a body.
///
/// # Errors
/// Why the body is not acceptable.
pub async fn read<B: Buf, E>(
    site: &AppState,
    headers: &HeaderMap,
    stream: impl Stream<Item = Result<B, E>>,
    form: BodyForm,
    lease: MemoryLease,
) -> Result<Input, BodyError> {
    let mut input = Input { events: Vec::new(), numbers: Vec::new(), lease, bytes: 0 };
    let timeout = site.settings.sockets.request_timeout;
    match form {
        BodyForm::Json => {
            let limits = body::BodyLimits { bytes: site.settings.max_body_bytes, timeout };
            let read = body::read(headers, stream, limits).await.map_err(|error| match error {
                body::ReadError::TooLarge => {
                    BodyError::TooLarge("the body is too large: send application/x-ndjson".into())
                }
                body::ReadError::TooSlow => BodyError::TooSlow,
                body::ReadError::Broken => BodyError::Broken,
            })?;
            input.add_json(&read)?;
        }
        BodyForm::Lines => {
            let reading = input.read_lines(stream);
            tokio::time::timeout(timeout, reading).await.unwrap_or(Err(BodyError::TooSlow))?;
        }
    }
    Ok(input)
}

impl Input {
    async fn read_lines<B: Buf, E>(&mut self, stream: impl Stream<Item = Result<B, E>>) -> Result<(), BodyError> {
        let mut stream = std::pin::pin!(stream);
        let (mut line, mut number, mut total) = (Vec::new(), 1, 0);
        while let Some(chunk) = stream.next().await {
            let mut chunk = chunk.map_err(|_| BodyError::Broken)?;
            total += chunk.remaining();
            if total > MAX_NDJSON_BYTES {
                return Err(BodyError::TooLarge(format!("the body has more than {MAX_NDJSON_BYTES} bytes")));
            }
            while chunk.has_remaining() {
                let part = chunk.chunk();
                let end = part.iter().position(|byte| *byte == b'\n');
                let taken = end.unwrap_or(part.len());
                line.extend_from_slice(&part[..taken]);
                if line.len() > MAX_LINE_BYTES {
                    let why = format!("the line has more than {MAX_LINE_BYTES} bytes");
                    return Err(BodyError::Event(number, Error::input("body", why)));
                }
                chunk.advance(taken + usize::from(end.is_some()));
                if end.is_some() {
                    self.add_line(number, &line)?;
                    line.clear();
                    number += 1;
                }
            }
        }
        self.add_line(number, &line)
    }

    /// Adds the event of a line. An empty line has none.
    fn add_line(&mut self, number: usize, line: &[u8]) -> Result<(), BodyError> {
        let line = if number == 1 { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line };
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        if self.events.len() == MAX_LINES {
            return Err(BodyError::TooLarge(format!("the body has more than {MAX_LINES} events")));
        }
        let text = std::str::from_utf8(line).map_err(|_| BodyError::Event(number, not_an_event()))?;
        self.add(number, &replace_lone_surrogates(text))
    }

    /// Adds the one event of a JSON body, or those of its list.
    fn add_json(&mut self, body: &[u8]) -> Result<(), BodyError> {
        let refuse = |why: &str| BodyError::Event(1, Error::input("body", why));
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let text = std::str::from_utf8(body).map_err(|_| refuse("the body is not JSON"))?;
        let text = replace_lone_surrogates(text);
        if !text.trim_start().starts_with('[') {
            return self.add(1, &text);
        }
        let list: Vec<&RawValue> = serde_json::from_str(&text).map_err(|_| refuse("the body is not JSON"))?;
        if list.len() > MAX_PUBLISHED {
            let why = format!("the list has {} events; at most {MAX_PUBLISHED} are allowed", list.len());
            return Err(BodyError::TooLarge(why));
        }
        list.iter().enumerate().try_for_each(|(index, event)| self.add(index + 1, event.get()))
    }

    fn add(&mut self, number: usize, text: &str) -> Result<(), BodyError> {
        self.bytes += EVENT_BYTES + 3 * text.len();
        // The lease grows in steps, because each step locks the budget.
        if self.bytes > self.lease.bytes() && !self.lease.try_grow_to(self.bytes + LEASE_STEP) {
            return Err(BodyError::OutOfMemory);
        }
        self.events.push(event(text).map_err(|error| BodyError::Event(number, error))?);
        self.numbers.push(number);
        Ok(())
    }
}

/// The JSON form of an event.
#[derive(Deserialize)]
struct EventFields<'a> {
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    app_type: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
}

/// Parses an event. Unknown fields are ignored.
fn event(text: &str) -> Result<NewAppEvent> {
    // serde would also accept an array that has the fields in order.
    let text = text.trim();
    let fields: Option<EventFields<'_>> = Some(text).filter(|text| text.starts_with('{')).and_then(parsed);
    let fields = fields.ok_or_else(not_an_event)?;
    let channel = fields.channel.ok_or_else(|| missing("channel"))?;
    let app_type = fields.app_type.ok_or_else(|| missing("type"))?;
    let data = fields.data.ok_or_else(|| missing("data"))?;
    Ok(NewAppEvent {
        channel: address(channel)?,
        app_type: string("type", app_type)?,
        data: JsonText::parse(data.get()).map_err(|why| Error::input("data", why))?,
        key: fields.key.map(|key| string("key", key)).transpose()?,
        locations: Vec::new(),
    })
}

/// A channel: a number or a text of digits is an id, any other text is a name.
fn address(channel: &RawValue) -> Result<ChannelAddress> {
    match ChannelAddress::of(channel.get()) {
        ChannelAddress::Name(_) => Ok(ChannelAddress::of(&string("channel", channel)?)),
        id @ ChannelAddress::Id(_) => Ok(id),
    }
}

fn string(field: &'static str, value: &RawValue) -> Result<String> {
    parsed(value.get()).ok_or_else(|| Error::input(field, format!("{field} must be a string")))
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str(text).ok()
}

fn missing(field: &'static str) -> Error {
    Error::input(field, format!("{field} is missing or null"))
}

fn not_an_event() -> Error {
    Error::input("body", "not a JSON object with the fields channel, type, data and key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ChannelId;

    #[test]
    fn a_channel_is_an_id_if_it_consists_of_digits_and_else_a_name() {
        let name = |text: &str| ChannelAddress::Name(text.into());
        for (json, expected) in [
            ("7", ChannelAddress::Id(ChannelId(7))),
            ("\"7\"", ChannelAddress::Id(ChannelId(7))),
            ("\"07\"", name("07")),
            ("\"orders 7\"", name("orders 7")),
            ("\"\\u00fcber\"", name("über")),
        ] {
            let parsed = event(&format!("{{\"channel\":{json},\"type\":\"t\",\"data\":1}}")).expect(json);
            assert_eq!(parsed.channel, expected, "{json}");
        }
    }

    #[test]
    fn errors_name_the_field() {
        for (json, expected) in [
            ("", "body"),
            ("7", "body"),
            ("[\"c\",\"t\",1]", "body"),
            ("{\"channel\":\"c\"", "body"),
            ("{}", "channel"),
            ("{\"channel\":1.5,\"type\":\"t\",\"data\":1}", "channel"),
            ("{\"channel\":\"c\",\"data\":1}", "type"),
            ("{\"channel\":\"c\",\"type\":1,\"data\":1}", "type"),
            ("{\"channel\":\"c\",\"type\":\"t\"}", "data"),
            ("{\"channel\":\"c\",\"type\":\"t\",\"data\":null}", "data"),
            ("{\"channel\":\"c\",\"type\":\"t\",\"data\":1e999}", "data"),
            ("{\"channel\":\"c\",\"type\":\"t\",\"data\":1,\"key\":7}", "key"),
        ] {
            let refused = event(json).map(drop);
            assert!(matches!(&refused, Err(Error::BadInput { field, .. }) if field == expected), "{json}: {refused:?}");
        }
    }
}
