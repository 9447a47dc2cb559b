//! What the server records about each operation: the span of its log lines, the count of its error, and the line of
//! `--log-requests`. Nothing here contains a variable, a text or a token.

use std::sync::Arc;
use std::time::Instant;

use tracing::Span;

use super::refusal::Refusal;
use super::request_id::RequestId;
use super::state::AppState;
use crate::graphql::{Caller, ErrorCode, OperationType, Prepared, Rejection, Request};
use crate::model::{Label as _, UserId};

/// Maximum length of an operation name in the log, in bytes.
const MAX_NAME: usize = 100;

/// How an operation reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// GraphQL over HTTP.
    Http,
    /// GraphQL over a WebSocket.
    WebSocket,
    /// GraphQL with server-sent events.
    Sse,
    /// The JSON socket.
    Json,
}

impl TransportKind {
    fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Json => "json",
        }
    }
}

/// Where an operation comes from.
#[derive(Clone, Copy)]
pub struct OperationSource<'a> {
    /// The state of the server.
    pub site: &'a Arc<AppState>,
    /// The transport.
    pub transport: TransportKind,
    /// The number of the connection.
    pub connection_id: u64,
    /// The id of the request. The operations of a batch share it.
    pub request_id: &'a RequestId,
    /// The signed-in user.
    pub user_id: Option<UserId>,
}

impl OperationSource<'_> {
    /// Prepares a GraphQL operation, and begins its record. If the operation is rejected, the record has the reason.
    pub fn prepare(&self, request: &Request, caller: &Caller) -> (Result<Prepared, Rejection>, OperationRecord) {
        let prepared = self.site.engine.prepare(request, caller);
        let record = match &prepared {
            Ok(prepared) => self.begin(Some(prepared.kind()), prepared.operation_name()),
            Err(rejection) => {
                let mut record = self.begin(None, request.operation_name.as_deref());
                record.fail(rejection);
                record
            }
        };
        (prepared, record)
    }

    /// Records an operation that was rejected before it could be prepared.
    pub fn reject(&self, rejection: &Rejection) -> OperationRecord {
        let mut record = self.begin(None, None);
        record.fail(rejection);
        record
    }

    /// Records a request that was refused before its operation was known.
    pub fn refuse(&self, refusal: Refusal, code: ErrorCode) {
        self.begin(None, None).refuse(refusal, code);
    }

    /// Begins the record of an operation. The span has no parent, because it names the connection itself: it may
    /// outlive the span of the connection, and lines of the log have each field only once.
    pub fn begin(&self, kind: Option<OperationType>, name: Option<&str>) -> OperationRecord {
        let kind = kind.map(kind_label);
        let (name, user_id) = (name.and_then(loggable), self.user_id.map(|user| user.0));
        let span = tracing::info_span!(
            parent: None,
            "operation",
            connection_id = self.connection_id,
            request_id = self.request_id.as_str(),
            user_id,
            operation_name = name,
            transport = self.transport.label(),
            kind,
        );
        let line = self.site.settings.log_requests.then(|| {
            Box::new(Line {
                connection_id: self.connection_id,
                request_id: self.request_id.clone(),
                user_id,
                operation_name: name.map(Into::into),
                transport: self.transport.label(),
                kind,
                started: Instant::now(),
                items: 0,
                reason: None,
            })
        });
        OperationRecord { site: Arc::clone(self.site), span, outcome: None, line }
    }
}

/// The record of one operation. It ends when it is dropped. It is small, because every open subscription has one.
pub struct OperationRecord {
    site: Arc<AppState>,
    span: Span,
    /// `ok` or an error code; `None` while the operation runs.
    outcome: Option<&'static str>,
    /// `None` without `--log-requests`.
    line: Option<Box<Line>>,
}

/// The fields of a line of `--log-requests`.
struct Line {
    connection_id: u64,
    request_id: RequestId,
    user_id: Option<i64>,
    operation_name: Option<Box<str>>,
    transport: &'static str,
    kind: Option<&'static str>,
    started: Instant,
    /// The number of items that the client was sent.
    items: u64,
    reason: Option<&'static str>,
}

impl OperationRecord {
    /// The span of the operation.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Runs a part of the operation in its span.
    pub fn in_scope<T>(&self, part: impl FnOnce() -> T) -> T {
        self.span.in_scope(part)
    }

    /// Notes that the subscription is open. At level info, log lines of the delivery have no context from then on: the
    /// spans of ten thousand open subscriptions would need megabytes, and time for each item.
    /// Returns whether the items of the subscription are recorded.
    pub fn opened(&mut self) -> bool {
        let is_debugging = tracing::enabled!(tracing::Level::DEBUG);
        if !is_debugging {
            self.span = Span::none();
        }
        is_debugging || self.line.is_some()
    }

    /// Notes that the client was sent an item.
    pub fn item(&mut self) {
        if let Some(line) = &mut self.line {
            line.items += 1;
        }
    }

    /// Notes that the operation was executed. `error` is the code of the first error in its response.
    pub fn finish(&mut self, error: Option<ErrorCode>) {
        match error {
            Some(code) => self.end(Refusal::of_code(code), code),
            None => {
                self.outcome.get_or_insert("ok");
            }
        }
    }

    /// Notes that the operation failed or was rejected.
    pub fn fail(&mut self, rejection: &Rejection) {
        self.end(Refusal::of_rejection(rejection), rejection.code());
    }

    /// Notes that the operation was refused for a reason that its error code does not tell.
    pub fn refuse(&mut self, refusal: Refusal, code: ErrorCode) {
        self.end(Some(refusal), code);
    }

    /// Only the first end of an operation counts.
    fn end(&mut self, refusal: Option<Refusal>, code: ErrorCode) {
        if self.outcome.is_some() {
            return;
        }
        self.outcome = Some(code.label());
        if let Some(line) = &mut self.line {
            line.reason = refusal.map(Refusal::label);
        }
        self.span.in_scope(|| self.site.counts.fail(refusal, code));
    }
}

impl Drop for OperationRecord {
    fn drop(&mut self) {
        let Some(line) = &self.line else { return };
        let is_subscription = line.kind == Some(kind_label(OperationType::Subscription));
        // Without a parent: the line has the id of the connection already.
        tracing::info!(
            parent: None,
            connection_id = line.connection_id,
            request_id = line.request_id.as_str(),
            user_id = line.user_id,
            transport = line.transport,
            kind = line.kind,
            operation_name = line.operation_name.as_deref(),
            duration_ms = line.started.elapsed().as_micros() as f64 / 1000.0,
            items = is_subscription.then_some(line.items),
            // Without an outcome, the client, the shutdown or the end of the connection ended the operation.
            outcome = self.outcome.unwrap_or("stopped"),
            reason = line.reason,
            "operation finished"
        );
    }
}

fn kind_label(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}

/// The name of an operation as the log shows it: the first 100 characters. `None` if it is not a name of GraphQL,
/// because a client can send any text as `operationName`.
fn loggable(name: &str) -> Option<&str> {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_name =
        name.bytes().next().is_some_and(is_letter) && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit());
    is_name.then(|| &name[..name.len().min(MAX_NAME)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_graphql_are_logged_and_long_ones_are_cut() {
        assert_eq!(loggable("Feed_2"), Some("Feed_2"));
        assert_eq!(loggable(&"n".repeat(300)).map(str::len), Some(MAX_NAME));
        for text in ["", "2nd", "a b", "a\nb", "größe", "mutation{login(password:\"x\")}"] {
            assert_eq!(loggable(text), None, "{text:?}");
        }
    }
}
