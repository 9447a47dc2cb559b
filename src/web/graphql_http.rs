//! GraphQL over HTTP according to the GraphQL-over-HTTP specification: media types, methods, status codes and batches.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use futures_util::future::join_all;
use http::header::{ACCEPT, ALLOW, HeaderMap, HeaderName, RETRY_AFTER, SEC_WEBSOCKET_KEY, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Response, StatusCode};

use serde_json::value::RawValue;

use super::compression::compressed;
use super::content_negotiation::{Media, preferences};
use super::request::{self, Parsed};
use super::response::Answer;
use super::sse::Events;
use super::{AppState, Peer, body, client_identity, origins, pages, socket};
use crate::error::Error;
use crate::graphql::{self, Caller, OperationType, Rejection, Request, ResponseBatch, ResponseText, Unreadable};
use crate::model::Timestamp;

/// A GraphQL response whose media type is not chosen yet.
struct Reply {
    status: StatusCode,
    body: ResponseText,
    header: Option<(HeaderName, &'static str)>,
}

impl Reply {
    fn new(status: StatusCode, body: impl Into<ResponseText>) -> Self {
        Self { status, body: body.into(), header: None }
    }

    /// A response to a malformed request: nothing was executed.
    fn malformed(status: StatusCode, message: &str) -> Self {
        let error = serde_json::json!([{ "message": message, "extensions": { "code": "BAD_USER_INPUT" } }]);
        Self::new(status, graphql::errors_response(&error))
    }

    /// A response to a rejected operation: nothing was executed.
    fn rejected(refusal: &Rejection, media: Media) -> Self {
        let (status, header) = match refusal.error() {
            Some(Error::Unauthenticated(_)) => (StatusCode::UNAUTHORIZED, Some((WWW_AUTHENTICATE, "Bearer"))),
            Some(Error::Unavailable(_)) => (StatusCode::SERVICE_UNAVAILABLE, Some((RETRY_AFTER, "1"))),
            Some(Error::Internal(_)) => (StatusCode::INTERNAL_SERVER_ERROR, None),
            // Apollo Server responds with 200 in every media type, and Apollo's clients expect it.
            _ if matches!(refusal, Rejection::PersistedQuery) => (StatusCode::OK, None),
            _ if media == Media::Response => (StatusCode::BAD_REQUEST, None),
            _ => (StatusCode::OK, None),
        };
        Self { status, body: graphql::errors_response(&refusal.errors()).into(), header }
    }

    fn into_response(self, media: Media) -> Response<ResponseText> {
        let mut response = body::response(self.status, media.content_type(), Bytes::new()).map(|_| self.body);
        response.headers_mut().extend(self.header.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        response
    }
}

/// Handles a request to `/graphql`.
pub async fn handle<B: Buf, E>(
    site: Arc<AppState>,
    method: Method,
    peer: Peer,
    headers: HeaderMap,
    query: String,
    stream: impl Stream<Item = Result<B, E>>,
) -> Answer {
    let mut answer: Answer = match method {
        Method::GET | Method::HEAD if accepts_html(&site, &headers) => {
            return pages::graphiql_response(&headers).into();
        }
        Method::OPTIONS => origins::preflight(&site, &headers).into(),
        // A WebSocket handshake without `Upgrade`: a proxy has dropped that header.
        Method::GET if headers.contains_key(SEC_WEBSOCKET_KEY) => socket::upgrade_required(&site).into(),
        Method::GET | Method::HEAD | Method::POST => {
            let outcome = match Media::of(&headers) {
                Some(media) => {
                    let request = HttpRequest {
                        site: &site,
                        method: &method,
                        peer: &peer,
                        headers: &headers,
                        query: &query,
                        media,
                    };
                    request.execute(stream).await.unwrap_or_else(|reply| Executed::Reply(reply.into_response(media)))
                }
                None => Executed::Reply(not_acceptable().into_response(Media::Json)),
            };
            match outcome {
                Executed::Reply(response) => compressed(&site.compressing, &headers, response).await.into(),
                Executed::Events(events) => Answer::Events(events),
            }
        }
        _ => {
            let mut response = body::text(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
            response.into()
        }
    };
    origins::add_headers(&site, &headers, answer.headers_mut());
    answer
}

fn not_acceptable() -> Reply {
    Reply::malformed(
        StatusCode::NOT_ACCEPTABLE,
        "acceptable media types are application/graphql-response+json, application/json and text/event-stream",
    )
}

fn accepts_html(site: &AppState, headers: &HeaderMap) -> bool {
    site.settings.graphiql && preferences(headers, &ACCEPT).any(|(name, weight)| name == "text/html" && weight > 0.0)
}

/// The result of a request.
enum Executed {
    /// A response in one piece, with the memory that is reserved for it.
    Reply(Response<ResponseText>),
    /// A stream of server-sent events.
    Events(Response<Events>),
}

/// A request and the media type of its response.
struct HttpRequest<'a> {
    site: &'a Arc<AppState>,
    method: &'a Method,
    peer: &'a Peer,
    headers: &'a HeaderMap,
    query: &'a str,
    media: Media,
}

impl HttpRequest<'_> {
    async fn execute<B: Buf, E>(&self, stream: impl Stream<Item = Result<B, E>>) -> Result<Executed, Reply> {
        let Self { site, media, .. } = *self;
        if media == Media::Events && !origins::may_subscribe(site, self.headers) {
            return Err(Reply::malformed(
                StatusCode::FORBIDDEN,
                "pages of this origin may not subscribe: the operator can allow the origin in TIDINGS_ALLOWED_ORIGINS",
            ));
        }
        let (caller, expires_at) = match self.caller().await {
            Ok(outcome) => outcome,
            Err(error) => return self.reject(error.into()),
        };
        let may_write = *self.method == Method::POST;
        let parsed = match self.parse(stream).await? {
            Ok(parsed) => parsed,
            Err(Unreadable::Form(message)) => return Err(Reply::malformed(StatusCode::BAD_REQUEST, &message)),
            Err(Unreadable::Refused(refusal)) => return self.reject(refusal),
        };
        match parsed {
            Parsed::One(request) if media == Media::Events => self.stream(request, caller, expires_at).await,
            Parsed::One(request) => {
                let reply = answer(site, request, caller, media, may_write, &site.engine.batch()).await;
                Ok(Executed::Reply(reply.into_response(media)))
            }
            Parsed::Batch(_) if media == Media::Events => {
                Err(Reply::malformed(StatusCode::BAD_REQUEST, "a stream of events takes one operation, not a batch"))
            }
            Parsed::Batch(batch) => {
                Ok(Executed::Reply(answer_batch(site, batch, &caller, media).await.into_response(media)))
            }
        }
    }

    async fn caller(&self) -> crate::error::Result<(Caller, Option<Timestamp>)> {
        let token = client_identity::token(self.headers, self.query)?;
        let address = client_identity::address(self.site, self.peer.address.ip(), self.headers);
        client_identity::caller(self.site, token.as_deref(), address).await
    }

    async fn parse<B: Buf, E>(
        &self,
        stream: impl Stream<Item = Result<B, E>>,
    ) -> Result<Result<Parsed, Unreadable>, Reply> {
        let bad = |message: &str| Reply::malformed(StatusCode::BAD_REQUEST, message);
        if *self.method != Method::POST {
            return Ok(request::from_query(self.query).map(Parsed::One));
        }
        if !request::is_json(self.headers) {
            return Err(Reply::malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
        }
        if let Some(encoding) = request::encoding(self.headers) {
            let message = format!("the body is encoded with {encoding}: send it unencoded, without Content-Encoding");
            return Err(Reply::malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message));
        }
        let settings = &self.site.settings;
        let limits = body::BodyLimits { bytes: settings.max_body_bytes, timeout: settings.sockets.request_timeout };
        let read = body::read(self.headers, stream, limits).await.map_err(|error| match error {
            body::ReadError::TooLarge => Reply::malformed(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            body::ReadError::TooSlow => {
                Reply::malformed(StatusCode::REQUEST_TIMEOUT, "the body was not received in time")
            }
            body::ReadError::Broken => bad("the body is incomplete"),
        })?;
        Ok(request::from_body(&read))
    }

    /// Starts a stream of events. Errors of the operation are sent in the stream: a browser's EventSource gives a page
    /// no access to the body of an error response.
    async fn stream(&self, request: Request, caller: Caller, expires_at: Option<Timestamp>) -> Result<Executed, Reply> {
        let prepared = match self.site.engine.prepare(request, &caller) {
            Ok(prepared) => prepared,
            Err(refusal) => return self.reject(refusal),
        };
        if prepared.kind() == OperationType::Mutation && *self.method != Method::POST {
            return Err(mutation_needs_post());
        }
        let prepared = match client_identity::last_event_id(self.headers, self.query) {
            Ok(Some(cursor)) => prepared.after(cursor),
            Ok(None) => prepared,
            Err(error) => return self.reject(error.into()),
        };
        match Events::open(self.site, self.peer, prepared, caller, expires_at).await {
            Ok(events) => Ok(Executed::Events(events.into_response())),
            Err(error) => self.reject(error.into()),
        }
    }

    /// Rejects an operation. A missing or invalid session is reported by status 401 in every media type. Other reasons
    /// are reported in the media type of the response; in a stream of events that is an event.
    fn reject(&self, refusal: Rejection) -> Result<Executed, Reply> {
        let is_unauthenticated = matches!(refusal.error(), Some(Error::Unauthenticated(_)));
        match self.media {
            Media::Events if !is_unauthenticated => Ok(Executed::Events(Events::rejected(&refusal).into_response())),
            media => Err(Reply::rejected(&refusal, media)),
        }
    }
}

fn mutation_needs_post() -> Reply {
    Reply { header: Some((ALLOW, "POST")), ..Reply::malformed(StatusCode::METHOD_NOT_ALLOWED, "mutations need POST") }
}

async fn answer(
    site: &Arc<AppState>,
    request: Request,
    caller: Caller,
    media: Media,
    may_write: bool,
    batch: &Arc<ResponseBatch>,
) -> Reply {
    let prepared = match site.engine.prepare(request, &caller) {
        Ok(prepared) => prepared.in_batch(batch),
        Err(refusal) => return Reply::rejected(&refusal, media),
    };
    match prepared.kind() {
        OperationType::Mutation if !may_write => return mutation_needs_post(),
        OperationType::Subscription => {
            let hint = "subscriptions go over a WebSocket (graphql-transport-ws) or as text/event-stream";
            return Reply::malformed(StatusCode::BAD_REQUEST, hint);
        }
        OperationType::Query | OperationType::Mutation => {}
    }
    match site.engine.answer(prepared, caller).await {
        Ok(answer) if answer.is_fault => Reply::new(StatusCode::INTERNAL_SERVER_ERROR, answer.body),
        Ok(answer) => Reply::new(StatusCode::OK, answer.body),
        Err(refusal) => Reply::rejected(&refusal, media),
    }
}

/// Executes the operations of a batch concurrently, mutations included. A client that needs an order sends one
/// operation with several root fields.
async fn answer_batch(site: &Arc<AppState>, batch: Vec<Box<RawValue>>, caller: &Caller, media: Media) -> Reply {
    let max = site.settings.max_batch;
    if batch.is_empty() || batch.len() > max {
        return Reply::malformed(StatusCode::BAD_REQUEST, &format!("a batch has 1 to {max} operations"));
    }
    // The limit on the size of a response holds for the batch as a whole.
    let shared = site.engine.batch();
    let answers = batch.iter().map(|one| async {
        match request::from_batch(one) {
            Ok(request) => answer(site, request, caller.clone(), media, true, &shared).await,
            Err(Unreadable::Form(message)) => Reply::malformed(StatusCode::BAD_REQUEST, &message),
            Err(Unreadable::Refused(refusal)) => Reply::rejected(&refusal, media),
        }
    });
    let bodies = join_all(answers).await.into_iter().map(|reply| reply.body).collect();
    Reply::new(StatusCode::OK, ResponseText::list(bodies))
}
