//! GraphQL over HTTP, as its specification has it: what media types, methods and status codes mean.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use futures_util::future::join_all;
use http::header::{ACCEPT, ALLOW, HeaderMap, HeaderName, RETRY_AFTER, SEC_WEBSOCKET_KEY, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Response, StatusCode};

use serde_json::value::RawValue;

use super::answer::Answer;
use super::compress::compressed;
use super::content_negotiation::{Media, preferences};
use super::parameters::{self, Asked};
use super::sse::Events;
use super::{Peer, Site, body, callers, origins, pages, socket};
use crate::error::Error;
use crate::graphql::{self, Batch, Caller, OperationType, Refusal, Request, Text, Unreadable};
use crate::model::Timestamp;

/// A response of operations, before it has a media type.
struct Reply {
    status: StatusCode,
    body: Text,
    header: Option<(HeaderName, &'static str)>,
}

impl Reply {
    fn new(status: StatusCode, body: impl Into<Text>) -> Self {
        Self { status, body: body.into(), header: None }
    }

    /// Nothing was executed, because of the request.
    fn bad(status: StatusCode, message: &str) -> Self {
        let error = serde_json::json!([{ "message": message, "extensions": { "code": "BAD_USER_INPUT" } }]);
        Self::new(status, graphql::errors_response(&error))
    }

    /// Nothing was executed, for this reason.
    fn refused(refusal: &Refusal, media: Media) -> Self {
        let (status, header) = match refusal.error() {
            Some(Error::Unauthenticated(_)) => (StatusCode::UNAUTHORIZED, Some((WWW_AUTHENTICATE, "Bearer"))),
            Some(Error::Unavailable(_)) => (StatusCode::SERVICE_UNAVAILABLE, Some((RETRY_AFTER, "1"))),
            Some(Error::Internal(_)) => (StatusCode::INTERNAL_SERVER_ERROR, None),
            // Apollo Server answers so, in every media type.
            _ if matches!(refusal, Refusal::PersistedQuery) => (StatusCode::OK, None),
            _ if media == Media::Response => (StatusCode::BAD_REQUEST, None),
            _ => (StatusCode::OK, None),
        };
        Self { status, body: graphql::errors_response(&refusal.errors()).into(), header }
    }

    fn into_response(self, media: Media) -> Response<Text> {
        let mut response = body::response(self.status, media.content_type(), Bytes::new()).map(|_| self.body);
        response.headers_mut().extend(self.header.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        response
    }
}

/// Answers a request to `/graphql`.
pub async fn handle<B: Buf, E>(
    site: Arc<Site>,
    method: Method,
    peer: Peer,
    headers: HeaderMap,
    query: String,
    stream: impl Stream<Item = Result<B, E>>,
) -> Answer {
    let mut answer: Answer = match method {
        Method::GET | Method::HEAD if wants_page(&site, &headers) => return pages::graphiql_response(&headers).into(),
        Method::OPTIONS => origins::preflight(&site, &headers).into(),
        // A proxy has dropped the header Upgrade of a client that asked for a socket.
        Method::GET if headers.contains_key(SEC_WEBSOCKET_KEY) => socket::dropped(&site).into(),
        Method::GET | Method::HEAD | Method::POST => {
            let called = match Media::of(&headers) {
                Some(media) => {
                    let call =
                        Call { site: &site, method: &method, peer: &peer, headers: &headers, query: &query, media };
                    call.answer(stream).await.unwrap_or_else(|reply| Called::Reply(reply.into_response(media)))
                }
                None => Called::Reply(not_acceptable().into_response(Media::Json)),
            };
            match called {
                Called::Reply(response) => compressed(&site.compressing, &headers, response).await.into(),
                Called::Events(events) => Answer::Events(events),
            }
        }
        _ => {
            let mut response = body::text(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
            response.into()
        }
    };
    origins::allow(&site, &headers, answer.headers_mut());
    answer
}

fn not_acceptable() -> Reply {
    Reply::bad(
        StatusCode::NOT_ACCEPTABLE,
        "this answers with application/graphql-response+json, application/json or text/event-stream",
    )
}

fn wants_page(site: &Site, headers: &HeaderMap) -> bool {
    site.settings.graphiql && preferences(headers, &ACCEPT).any(|(name, weight)| name == "text/html" && weight > 0.0)
}

/// What comes of a request.
enum Called {
    /// A response in one piece, with the memory that is borrowed for it.
    Reply(Response<Text>),
    /// A stream of events.
    Events(Response<Events>),
}

/// A request whose client wants an answer of this kind.
struct Call<'a> {
    site: &'a Arc<Site>,
    method: &'a Method,
    peer: &'a Peer,
    headers: &'a HeaderMap,
    query: &'a str,
    media: Media,
}

impl Call<'_> {
    async fn answer<B: Buf, E>(&self, stream: impl Stream<Item = Result<B, E>>) -> Result<Called, Reply> {
        let Self { site, media, .. } = *self;
        if media == Media::Events && !origins::may_follow(site, self.headers) {
            return Err(Reply::bad(
                StatusCode::FORBIDDEN,
                "pages of this origin may not follow: the operator names it in TIDINGS_ALLOWED_ORIGINS",
            ));
        }
        let (caller, until) = match self.caller().await {
            Ok(called) => called,
            Err(error) => return self.refuse(error.into()),
        };
        let may_write = *self.method == Method::POST;
        let asked = match self.asked(stream).await? {
            Ok(asked) => asked,
            Err(Unreadable::Form(message)) => return Err(Reply::bad(StatusCode::BAD_REQUEST, &message)),
            Err(Unreadable::Refused(refusal)) => return self.refuse(refusal),
        };
        match asked {
            Asked::One(request) if media == Media::Events => self.stream(request, caller, until).await,
            Asked::One(request) => {
                let reply = answer(site, request, caller, media, may_write, &site.engine.batch()).await;
                Ok(Called::Reply(reply.into_response(media)))
            }
            Asked::Batch(_) if media == Media::Events => {
                Err(Reply::bad(StatusCode::BAD_REQUEST, "a stream of events is of one operation, and this is a batch"))
            }
            Asked::Batch(batch) => {
                Ok(Called::Reply(answer_batch(site, batch, &caller, media).await.into_response(media)))
            }
        }
    }

    async fn caller(&self) -> crate::error::Result<(Caller, Option<Timestamp>)> {
        let token = callers::token(self.headers, self.query)?;
        let address = callers::address(self.site, self.peer, self.headers);
        callers::caller(self.site, token.as_deref(), address).await
    }

    async fn asked<B: Buf, E>(
        &self,
        stream: impl Stream<Item = Result<B, E>>,
    ) -> Result<Result<Asked, Unreadable>, Reply> {
        let bad = |message: &str| Reply::bad(StatusCode::BAD_REQUEST, message);
        if *self.method != Method::POST {
            return Ok(parameters::from_query(self.query).map(Asked::One));
        }
        if !parameters::is_json(self.headers) {
            return Err(Reply::bad(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
        }
        if let Some(encoding) = parameters::encoding(self.headers) {
            let message = format!("the body is encoded with {encoding}: send it as it is, without Content-Encoding");
            return Err(Reply::bad(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message));
        }
        let settings = &self.site.settings;
        let limits = body::Limits { bytes: settings.max_body_bytes, patience: settings.sockets.request_timeout };
        let read = body::read(self.headers, stream, limits).await.map_err(|unread| match unread {
            body::Unread::TooLarge => Reply::bad(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            body::Unread::TooSlow => Reply::bad(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"),
            body::Unread::Broken => bad("the body broke off"),
        })?;
        Ok(parameters::from_body(&read))
    }

    /// What is wrong with an operation is said in the stream: a browser's EventSource shows its page nothing of any
    /// other answer.
    async fn stream(&self, request: Request, caller: Caller, until: Option<Timestamp>) -> Result<Called, Reply> {
        let prepared = match self.site.engine.prepare(request, &caller) {
            Ok(prepared) => prepared,
            Err(refusal) => return self.refuse(refusal),
        };
        if prepared.kind() == OperationType::Mutation && *self.method != Method::POST {
            return Err(mutations_go_by_post());
        }
        let prepared = match callers::last_event_id(self.headers, self.query) {
            Ok(Some(cursor)) => prepared.after(cursor),
            Ok(None) => prepared,
            Err(error) => return self.refuse(error.into()),
        };
        match Events::of(self.site, self.peer, prepared, caller, until).await {
            Ok(events) => Ok(Called::Events(events.into_response())),
            Err(error) => self.refuse(error.into()),
        }
    }

    /// Who is not let in is told by the status, on every road; anything else is said in the media type that is wanted.
    fn refuse(&self, refusal: Refusal) -> Result<Called, Reply> {
        let is_unknown = matches!(refusal.error(), Some(Error::Unauthenticated(_)));
        match self.media {
            Media::Events if !is_unknown => Ok(Called::Events(Events::refused(&refusal).into_response())),
            media => Err(Reply::refused(&refusal, media)),
        }
    }
}

fn mutations_go_by_post() -> Reply {
    Reply { header: Some((ALLOW, "POST")), ..Reply::bad(StatusCode::METHOD_NOT_ALLOWED, "mutations go by POST") }
}

async fn answer(
    site: &Arc<Site>,
    request: Request,
    caller: Caller,
    media: Media,
    may_write: bool,
    batch: &Arc<Batch>,
) -> Reply {
    let prepared = match site.engine.prepare(request, &caller) {
        Ok(prepared) => prepared.in_batch(batch),
        Err(refusal) => return Reply::refused(&refusal, media),
    };
    match prepared.kind() {
        OperationType::Mutation if !may_write => return mutations_go_by_post(),
        OperationType::Subscription => {
            let hint = "subscriptions go over a WebSocket (graphql-transport-ws) or as text/event-stream";
            return Reply::bad(StatusCode::BAD_REQUEST, hint);
        }
        OperationType::Query | OperationType::Mutation => {}
    }
    match site.engine.answer(prepared, caller).await {
        Ok(answer) if answer.is_fault => Reply::new(StatusCode::INTERNAL_SERVER_ERROR, answer.body),
        Ok(answer) => Reply::new(StatusCode::OK, answer.body),
        Err(refusal) => Reply::refused(&refusal, media),
    }
}

/// Queries of a batch run at once, and so do its mutations: who needs an order sends one operation
/// with several fields.
async fn answer_batch(site: &Arc<Site>, batch: Vec<Box<RawValue>>, caller: &Caller, media: Media) -> Reply {
    let max = site.settings.max_batch;
    if batch.is_empty() || batch.len() > max {
        return Reply::bad(StatusCode::BAD_REQUEST, &format!("a batch has 1 to {max} operations"));
    }
    // What one operation may take, all of them together may.
    let together = site.engine.batch();
    let answers = batch.iter().map(|one| async {
        match parameters::from_batch(one) {
            Ok(request) => answer(site, request, caller.clone(), media, true, &together).await,
            Err(Unreadable::Form(message)) => Reply::bad(StatusCode::BAD_REQUEST, &message),
            Err(Unreadable::Refused(refusal)) => Reply::refused(&refusal, media),
        }
    });
    let bodies = join_all(answers).await.into_iter().map(|reply| reply.body).collect();
    Reply::new(StatusCode::OK, Text::list(bodies))
}
