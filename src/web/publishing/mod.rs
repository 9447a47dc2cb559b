//! `POST /api/v1/events`: publishes application events without GraphQL. One request is one commit: all of its events are
//! published, or none.

mod input;

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use http::header::{ALLOW, HeaderMap, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Response, StatusCode};
use tracing::Instrument as _;

use super::operation_record::{OperationRecord, OperationSource, TransportKind};
use super::refusal::Refusal;
use super::request_id::{self, RequestId};
use super::{AppState, Peer, body, client_identity, origins, request};
use crate::board::{PublishError, Published};
use crate::error::Error;
use crate::graphql::{self, Caller, OperationType};
use crate::model::MemoryLease;
use input::{BodyError, BodyForm, Input};

/// The media type of responses.
const JSON: &str = "application/json; charset=utf-8";

/// A request without its body.
struct PublishRequest<'a> {
    site: &'a Arc<AppState>,
    peer: &'a Peer,
    headers: &'a HeaderMap,
    query: &'a str,
    request_id: &'a RequestId,
}

/// Handles a request to `/api/v1/events`.
pub async fn handle<B: Buf, E>(
    site: Arc<AppState>,
    method: Method,
    peer: Peer,
    headers: HeaderMap,
    query: String,
    stream: impl Stream<Item = Result<B, E>>,
) -> Response<Bytes> {
    let request_id = RequestId::of_request(&headers);
    let request =
        PublishRequest { site: &site, peer: &peer, headers: &headers, query: &query, request_id: &request_id };
    let mut response = match method {
        Method::OPTIONS => origins::preflight(&site, &headers),
        Method::POST => {
            let span = tracing::debug_span!("request", %request_id);
            request.publish(stream).instrument(span).await.unwrap_or_else(FailedRequest::into_response)
        }
        _ => {
            site.counts.refuse(Refusal::Method);
            let mut response = body::text(StatusCode::METHOD_NOT_ALLOWED, "use POST");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, OPTIONS"));
            response
        }
    };
    response.headers_mut().extend(request_id.to_header().map(|id| (HeaderName::from_static(request_id::HEADER), id)));
    origins::add_headers(&site, &headers, response.headers_mut());
    response
}

impl PublishRequest<'_> {
    /// Publishes the events of the body.
    async fn publish<B: Buf, E>(
        &self,
        stream: impl Stream<Item = Result<B, E>>,
    ) -> Result<Response<Bytes>, FailedRequest> {
        let caller = self.caller().await.map_err(|error| self.refuse(Refusal::of_authentication(&error), error))?;
        if caller.viewer.user_id().is_none() {
            let error = Error::Unauthenticated("sign in first".into());
            return Err(self.refuse(Some(Refusal::Unauthenticated), error));
        }
        let form = self.form()?;
        let lease = self.site.publish_memory.lease(caller.viewer.party());
        let mut record = self.source(Some(&caller)).begin(Some(OperationType::Mutation), Some("publish"));
        let read = input::read(self.site, self.headers, stream, form, lease).instrument(record.span().clone()).await;
        let Input { events, numbers, lease, .. } = read.map_err(|error| bad_body(error, form, &mut record))?;
        let viewer = caller.viewer;
        // The outer result is that of the mutation slot, the inner one that of the events.
        let write = self
            .site
            .engine
            .write(viewer.party(), |board| async move { Ok(board.app_events.publish_many(&viewer, events).await) });
        let outcome = write.instrument(record.span().clone()).await.map_err(PublishError::from).flatten();
        let published = outcome.map_err(|PublishError { index, error }| {
            record.fail(&error.clone().into());
            let number = index.and_then(|index| numbers.get(index).copied());
            FailedRequest { place: number.map(|number| (form.unit(), number)), ..error.into() }
        })?;
        record.finish(None);
        Ok(success(&published, lease))
    }

    async fn caller(&self) -> crate::error::Result<Caller> {
        let token = client_identity::token(self.headers, self.query)?;
        let address = client_identity::address(self.site, self.peer.address.ip(), self.headers);
        Ok(client_identity::caller(self.site, token.as_deref(), address).await?.0)
    }

    fn source(&self, caller: Option<&Caller>) -> OperationSource<'_> {
        let Self { site, peer, request_id, .. } = self;
        let user_id = caller.and_then(|caller| caller.viewer.user_id());
        OperationSource { site, transport: TransportKind::Http, connection_id: peer.connection_id, request_id, user_id }
    }

    /// Records that the request is refused.
    fn refuse(&self, refusal: Option<Refusal>, error: Error) -> FailedRequest {
        let mut record = self.source(None).begin(Some(OperationType::Mutation), Some("publish"));
        if let Some(refusal) = refusal {
            record.refuse(refusal, (&error).into());
        }
        record.fail(&error.clone().into());
        error.into()
    }

    /// The form of the body.
    fn form(&self) -> Result<BodyForm, FailedRequest> {
        let unsupported = |message: String| {
            let error = Error::input("Content-Type", message);
            let refused = self.refuse(Some(Refusal::MediaType), error);
            FailedRequest { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, ..refused }
        };
        if let Some(encoding) = request::encoding(self.headers) {
            let message = format!("the body is encoded with {encoding}: send it unencoded, without Content-Encoding");
            return Err(unsupported(message));
        }
        let form = BodyForm::of(self.headers);
        form.ok_or_else(|| unsupported("send application/json or application/x-ndjson".into()))
    }
}

/// A request that was refused, or failed. Nothing was published, or the outcome is unknown.
struct FailedRequest {
    status: StatusCode,
    error: Error,
    /// The event that was refused: what is counted, and its number.
    place: Option<(&'static str, usize)>,
}

impl From<Error> for FailedRequest {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::BadInput { .. } | Error::TooComplex(_) | Error::CursorExpired { .. } => StatusCode::BAD_REQUEST,
            Error::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, error, place: None }
    }
}

impl FailedRequest {
    /// The response, with the error in the form of GraphQL.
    fn into_response(self) -> Response<Bytes> {
        let mut json = graphql::to_json(&self.error);
        if let Some((unit, number)) = self.place {
            json["message"] = format!("{unit} {number}: {}", self.error).into();
            json["extensions"][unit] = number.into();
        }
        let mut response = body::response(self.status, JSON, graphql::errors_response(&serde_json::json!([json])));
        let header = match self.error {
            Error::Unauthenticated(_) => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Error::RateLimited { retry_after } => {
                let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                Some((RETRY_AFTER, HeaderValue::from(seconds.max(1))))
            }
            Error::Unavailable(_) => Some((RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => None,
        };
        response.headers_mut().extend(header);
        response
    }
}

/// The failure of a request whose body is not acceptable.
fn bad_body(error: BodyError, form: BodyForm, record: &mut OperationRecord) -> FailedRequest {
    let input = |why: &str| Error::input("body", why);
    let (refusal, failed) = match error {
        BodyError::TooLarge(why) => {
            let failed = FailedRequest { status: StatusCode::PAYLOAD_TOO_LARGE, ..input(&why).into() };
            (Refusal::BodyTooLarge, failed)
        }
        BodyError::TooSlow => {
            let error = input("the body was not received in time");
            (Refusal::SlowClient, FailedRequest { status: StatusCode::REQUEST_TIMEOUT, ..error.into() })
        }
        BodyError::Broken => (Refusal::MalformedRequest, input("the body is incomplete").into()),
        BodyError::OutOfMemory => {
            let why = "other requests of this kind take all memory; try again";
            (Refusal::Unavailable, Error::Unavailable(why.into()).into())
        }
        BodyError::Event(number, error) => {
            let place = Some((form.unit(), number));
            (Refusal::MalformedRequest, FailedRequest { place, ..error.into() })
        }
    };
    record.refuse(refusal, (&failed.error).into());
    failed
}

/// The positions of the events, in the order of the request. The response holds the lease until it is sent.
fn success(published: &[Published], mut lease: MemoryLease) -> Response<Bytes> {
    let position = |Published { event, is_duplicate }: &Published| {
        let key = serde_json::Value::from(event.key.as_ref().map(|key| key.name.as_str()));
        format!("{{\"cursor\":\"{}\",\"key\":{key},\"duplicate\":{is_duplicate}}}", event.cursor)
    };
    let positions: Vec<String> = published.iter().map(position).collect();
    let text = format!("{{\"events\":[{}]}}", positions.join(","));
    lease.set(text.len());
    body::response(StatusCode::OK, JSON, Bytes::from_owner(SentPositions { text, _lease: lease }))
}

/// A text, and the memory that is reserved for it.
struct SentPositions {
    text: String,
    _lease: MemoryLease,
}

impl AsRef<[u8]> for SentPositions {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}
