//! GraphQL over HTTP according to the GraphQL-over-HTTP specification: media types, methods, status codes and batches.

use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use futures_util::future::join_all;
use http::header::{ACCEPT, ALLOW, HeaderMap, HeaderName, SEC_WEBSOCKET_KEY};
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::value::RawValue;
use tracing::Instrument as _;

use super::compression::compressed;
use super::content_negotiation::{Media, preferences};
use super::operation_record::{OperationSource, TransportKind};
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::{self, Parsed};
use super::request_id::{self, RequestId};
use super::response::RouteResponse;
use super::sse::Events;
use super::{AppState, Peer, body, client_identity, origins, pages, socket};
use crate::error::Error;
use crate::graphql::{Caller, ErrorCode, OperationType, Rejection, Request, ResponseBatch, ResponseText, Unreadable};
use crate::model::{Timestamp, UserId};

/// Handles a request to `/graphql`.
pub async fn handle<B: Buf, E>(
    site: Arc<AppState>,
    method: Method,
    peer: Peer,
    headers: HeaderMap,
    query: String,
    stream: impl Stream<Item = Result<B, E>>,
) -> RouteResponse {
    if (method == Method::GET || method == Method::HEAD) && accepts_html(&site, &headers) {
        return pages::graphiql_response(&headers).into();
    }
    let request_id = RequestId::of_request(&headers);
    let span = tracing::debug_span!("request", %request_id);
    let head = RequestHead {
        site: &site,
        method: &method,
        peer: &peer,
        headers: &headers,
        query: &query,
        request_id: &request_id,
    };
    let mut answer = respond(head, stream).instrument(span).await;
    answer.headers_mut().extend(request_id.to_header().map(|id| (HeaderName::from_static(request_id::HEADER), id)));
    origins::add_headers(&site, &headers, answer.headers_mut());
    answer
}

async fn respond<B: Buf, E>(head: RequestHead<'_>, stream: impl Stream<Item = Result<B, E>>) -> RouteResponse {
    let RequestHead { site, method, headers, .. } = head;
    match *method {
        Method::OPTIONS => origins::preflight(site, headers).into(),
        // A WebSocket handshake without `Upgrade`: a proxy has dropped that header.
        Method::GET if headers.contains_key(SEC_WEBSOCKET_KEY) => socket::upgrade_required(site).into(),
        Method::GET | Method::HEAD | Method::POST => {
            let outcome = match Media::of(headers) {
                Some(media) => {
                    let request = HttpRequest { head, media };
                    request.execute(stream).await.unwrap_or_else(|reply| HttpOutcome::Reply(reply.into_response(media)))
                }
                None => {
                    site.counts.refuse(Refusal::MediaType);
                    HttpOutcome::Reply(Reply::not_acceptable().into_response(Media::Json))
                }
            };
            match outcome {
                HttpOutcome::Reply(response) => compressed(&site.compressing, headers, response).await.into(),
                HttpOutcome::Events(events) => RouteResponse::Events(events),
            }
        }
        _ => {
            site.counts.refuse(Refusal::Method);
            let mut response = body::text(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
            response.into()
        }
    }
}

fn accepts_html(site: &AppState, headers: &HeaderMap) -> bool {
    site.settings.graphiql && preferences(headers, &ACCEPT).any(|(name, weight)| name == "text/html" && weight > 0.0)
}

/// The result of a request.
enum HttpOutcome {
    /// A response in one piece, with the memory that is reserved for it.
    Reply(Response<ResponseText>),
    /// A stream of server-sent events.
    Events(Response<Events>),
}

/// A request without its body.
#[derive(Clone, Copy)]
struct RequestHead<'a> {
    site: &'a Arc<AppState>,
    method: &'a Method,
    peer: &'a Peer,
    headers: &'a HeaderMap,
    query: &'a str,
    request_id: &'a RequestId,
}

/// A request and the media type of its response.
struct HttpRequest<'a> {
    head: RequestHead<'a>,
    media: Media,
}

impl HttpRequest<'_> {
    async fn execute<B: Buf, E>(&self, stream: impl Stream<Item = Result<B, E>>) -> Result<HttpOutcome, Reply> {
        let (RequestHead { site, method, headers, .. }, media) = (self.head, self.media);
        if media == Media::Events && !origins::may_subscribe(site, headers) {
            let message = "pages of this origin may not subscribe: the operator can allow the origin in \
                TIDINGS_ALLOWED_ORIGINS";
            return Err(self.refuse(Refusal::Origin, StatusCode::FORBIDDEN, message));
        }
        let (caller, expires_at) = match self.caller().await {
            Ok(outcome) => outcome,
            Err(error) => return self.reject_caller(error),
        };
        let may_write = *method == Method::POST;
        let source = self.source(caller.viewer.user_id());
        let parsed = match self.parse(stream).await? {
            Ok(parsed) => parsed,
            Err(Unreadable::Form(message)) => {
                return Err(self.refuse(Refusal::MalformedRequest, StatusCode::BAD_REQUEST, &message));
            }
            Err(Unreadable::Refused(refusal)) => {
                source.reject(&refusal);
                return self.reject(&refusal);
            }
        };
        match parsed {
            Parsed::One(request) if media == Media::Events => self.stream(request, caller, expires_at).await,
            Parsed::One(request) => {
                let reply = answer(source, &request, caller, media, may_write, &site.engine.batch()).await;
                Ok(HttpOutcome::Reply(reply.into_response(media)))
            }
            Parsed::Batch(_) if media == Media::Events => {
                let message = "a stream of events takes one operation, not a batch";
                Err(self.refuse(Refusal::Batch, StatusCode::BAD_REQUEST, message))
            }
            Parsed::Batch(batch) => {
                Ok(HttpOutcome::Reply(answer_batch(source, batch, &caller, media).await.into_response(media)))
            }
        }
    }

    /// Where the operations of this request come from.
    fn source(&self, user_id: Option<UserId>) -> OperationSource<'_> {
        let RequestHead { site, peer, request_id, .. } = self.head;
        let transport = if self.media == Media::Events { TransportKind::Sse } else { TransportKind::Http };
        OperationSource { site, transport, connection_id: peer.connection_id, request_id, user_id }
    }

    /// Records that the request is refused. Returns the response.
    fn refuse(&self, refusal: Refusal, status: StatusCode, message: &str) -> Reply {
        self.source(None).refuse(refusal, ErrorCode::BadUserInput);
        Reply::malformed(status, message)
    }

    async fn caller(&self) -> crate::error::Result<(Caller, Option<Timestamp>)> {
        let RequestHead { site, peer, headers, query, .. } = self.head;
        let token = client_identity::token(headers, query)?;
        let address = client_identity::address(site, peer.address.ip(), headers);
        let (caller, expires_at) = client_identity::caller(site, token.as_deref(), address).await?;
        Ok((Caller { user_agent: client_identity::user_agent(headers), ..caller }, expires_at))
    }

    fn reject_caller(&self, error: Error) -> Result<HttpOutcome, Reply> {
        let mut record = self.source(None).begin(None, None);
        if let Some(refusal) = Refusal::of_authentication(&error) {
            record.refuse(refusal, (&error).into());
        }
        let rejection = error.into();
        record.fail(&rejection);
        record.in_scope(|| self.reject(&rejection))
    }

    async fn parse<B: Buf, E>(
        &self,
        stream: impl Stream<Item = Result<B, E>>,
    ) -> Result<Result<Parsed, Unreadable>, Reply> {
        let RequestHead { site, method, headers, query, .. } = self.head;
        if *method != Method::POST {
            return Ok(request::from_query(query).map(Parsed::One));
        }
        let unsupported = |message: &str| self.refuse(Refusal::MediaType, StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
        if !request::is_json(headers) {
            return Err(unsupported("send application/json"));
        }
        if let Some(encoding) = request::encoding(headers) {
            let message = format!("the body is encoded with {encoding}: send it unencoded, without Content-Encoding");
            return Err(unsupported(&message));
        }
        let settings = &site.settings;
        let limits = body::BodyLimits { bytes: settings.max_body_bytes, timeout: settings.sockets.request_timeout };
        let read = body::read(headers, stream, limits).await.map_err(|error| {
            let (refusal, status, message) = match error {
                body::ReadError::TooLarge => {
                    (Refusal::BodyTooLarge, StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
                }
                body::ReadError::TooSlow => {
                    (Refusal::SlowClient, StatusCode::REQUEST_TIMEOUT, "the body was not received in time")
                }
                body::ReadError::Broken => {
                    (Refusal::MalformedRequest, StatusCode::BAD_REQUEST, "the body is incomplete")
                }
            };
            self.refuse(refusal, status, message)
        })?;
        Ok(request::from_body(&read))
    }

    /// Starts a stream of events. Errors of the operation are sent in the stream: a browser's EventSource gives a page
    /// no access to the body of an error response.
    async fn stream(
        &self,
        request: Request,
        caller: Caller,
        expires_at: Option<Timestamp>,
    ) -> Result<HttpOutcome, Reply> {
        let RequestHead { site, method, peer, headers, query, .. } = self.head;
        let (prepared, mut record) = self.source(caller.viewer.user_id()).prepare(&request, &caller);
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return record.in_scope(|| self.reject(&refusal)),
        };
        if prepared.kind() == OperationType::Mutation && *method != Method::POST {
            record.refuse(Refusal::Method, ErrorCode::BadUserInput);
            return Err(Reply::mutation_needs_post());
        }
        let prepared = match client_identity::last_event_id(headers, query) {
            Ok(Some(cursor)) => prepared.after(cursor),
            Ok(None) => prepared,
            Err(error) => {
                let rejection = error.into();
                record.fail(&rejection);
                return self.reject(&rejection);
            }
        };
        match Events::open(site, peer, prepared, caller, expires_at, record).await {
            Ok(events) => Ok(HttpOutcome::Events(events.into_response())),
            Err(rejection) => self.reject(&rejection),
        }
    }

    /// Rejects an operation. A missing or invalid session is reported by status 401 in every media type. Other reasons
    /// are reported in the media type of the response; in a stream of events that is an event.
    fn reject(&self, refusal: &Rejection) -> Result<HttpOutcome, Reply> {
        let is_unauthenticated = matches!(refusal.error(), Some(Error::Unauthenticated(_)));
        match self.media {
            Media::Events if !is_unauthenticated => Ok(HttpOutcome::Events(Events::rejected(refusal).into_response())),
            media => Err(Reply::rejected(refusal, media)),
        }
    }
}

async fn answer(
    source: OperationSource<'_>,
    request: &Request,
    caller: Caller,
    media: Media,
    may_write: bool,
    batch: &Arc<ResponseBatch>,
) -> Reply {
    let (prepared, mut record) = source.prepare(request, &caller);
    let prepared = match prepared {
        Ok(prepared) => prepared.in_batch(batch),
        Err(refusal) => return record.in_scope(|| Reply::rejected(&refusal, media)),
    };
    match prepared.kind() {
        OperationType::Mutation if !may_write => {
            record.refuse(Refusal::Method, ErrorCode::BadUserInput);
            return Reply::mutation_needs_post();
        }
        OperationType::Subscription => {
            record.refuse(Refusal::Transport, ErrorCode::BadUserInput);
            let hint = "subscriptions go over a WebSocket (graphql-transport-ws) or as text/event-stream";
            return Reply::malformed(StatusCode::BAD_REQUEST, hint);
        }
        OperationType::Query | OperationType::Mutation => {}
    }
    match source.site.engine.answer(prepared, caller).instrument(record.span().clone()).await {
        Ok(answer) => {
            record.finish(answer.error);
            let status = if answer.is_fault { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
            Reply::new(status, answer.body)
        }
        Err(refusal) => {
            record.fail(&refusal);
            record.in_scope(|| Reply::rejected(&refusal, media))
        }
    }
}

/// Executes the operations of a batch concurrently, mutations included. A client that needs an order sends one
/// operation with several root fields.
async fn answer_batch(source: OperationSource<'_>, batch: Vec<Box<RawValue>>, caller: &Caller, media: Media) -> Reply {
    let site = source.site;
    let max = site.settings.max_batch;
    if batch.is_empty() || batch.len() > max {
        source.refuse(Refusal::Batch, ErrorCode::BadUserInput);
        return Reply::malformed(StatusCode::BAD_REQUEST, &format!("a batch has 1 to {max} operations"));
    }
    // The limit on the size of a response holds for the batch as a whole.
    let shared = site.engine.batch();
    let answers = batch.iter().map(|one| async {
        match request::from_batch(one) {
            Ok(request) => answer(source, &request, caller.clone(), media, true, &shared).await,
            Err(Unreadable::Form(message)) => {
                source.refuse(Refusal::MalformedRequest, ErrorCode::BadUserInput);
                Reply::malformed(StatusCode::BAD_REQUEST, &message)
            }
            Err(Unreadable::Refused(refusal)) => {
                source.reject(&refusal);
                Reply::rejected(&refusal, media)
            }
        }
    });
    let bodies = join_all(answers).await.into_iter().map(|reply| reply.body).collect();
    Reply::new(StatusCode::OK, ResponseText::list(bodies))
}
