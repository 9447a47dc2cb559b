//! GraphQL over HTTP, as its specification has it: what media types, methods and status codes mean.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use futures_util::future::join_all;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, ORIGIN, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Response, StatusCode};
use serde::Deserialize;

use super::{Peer, Site, body, callers, pages};
use crate::error::Error;
use crate::graphql::{self, Caller, OperationType, Refusal, Request, Variables};

/// The media types a response may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    /// `application/graphql-response+json`: the status says whether the operation was executed.
    Response,
    /// `application/json`: 200 for whatever is a GraphQL response.
    Json,
}

impl Media {
    fn name(self) -> &'static str {
        match self {
            Self::Response => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// What the client prefers of the two; `None` if it wants neither.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        if accept.is_empty() {
            return Some(Self::Json);
        }
        let ranges = accept.iter().flat_map(|line| line.split(',')).map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            (name, quality)
        });
        let mut best: Option<(Self, f32)> = None;
        for (name, quality) in ranges {
            let media = match name.as_str() {
                "application/graphql-response+json" => Self::Response,
                "application/json" | "application/*" | "*/*" => Self::Json,
                _ => continue,
            };
            if quality > best.map_or(0.0, |(_, best)| best) {
                best = Some((media, quality));
            }
        }
        best.map(|(media, _)| media)
    }
}

/// A response of operations, before it has a media type.
struct Reply {
    status: StatusCode,
    body: String,
    headers: HeaderMap,
}

impl Reply {
    fn new(status: StatusCode, body: String) -> Self {
        Self { status, body, headers: HeaderMap::new() }
    }

    /// Nothing was executed, because of the request.
    fn bad(status: StatusCode, message: &str) -> Self {
        let error = serde_json::json!([{ "message": message, "extensions": { "code": "BAD_USER_INPUT" } }]);
        Self::new(status, graphql::errors_response(&error))
    }

    /// Nothing was executed, for this reason.
    fn refused(refusal: &Refusal, media: Media) -> Self {
        let mut headers = HeaderMap::new();
        let status = match refusal.error() {
            Some(Error::Unauthenticated(_)) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                StatusCode::UNAUTHORIZED
            }
            Some(Error::Unavailable(_)) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
                StatusCode::SERVICE_UNAVAILABLE
            }
            Some(Error::Internal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            _ if media == Media::Response => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        Self { status, body: graphql::errors_response(&refusal.errors()), headers }
    }

    fn into_response(self, media: Media) -> Response<Bytes> {
        let mut response = body::response(self.status, media.name(), self.body);
        response.headers_mut().extend(self.headers);
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
) -> Response<Bytes> {
    let mut response = match method {
        Method::GET | Method::HEAD if wants_page(&site, &headers) => return pages::graphiql_response(&headers),
        Method::OPTIONS => preflight(),
        Method::GET | Method::HEAD | Method::POST => match Media::of(&headers) {
            Some(media) => operate(&site, &method, &peer, &headers, &query, stream, media).await.into_response(media),
            None => Reply::bad(
                StatusCode::NOT_ACCEPTABLE,
                "this answers with application/graphql-response+json or application/json",
            )
            .into_response(Media::Json),
        },
        _ => {
            let mut response = body::text(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, OPTIONS"));
            response
        }
    };
    allow_origin(&site, &headers, response.headers_mut());
    response
}

fn wants_page(site: &Site, headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    site.settings.graphiql && accept.to_ascii_lowercase().contains("text/html")
}

fn preflight() -> Response<Bytes> {
    let mut response = body::text(StatusCode::NO_CONTENT, "");
    *response.body_mut() = Bytes::new();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(ALLOW, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert("access-control-allow-methods", HeaderValue::from_static("GET, POST"));
    headers.insert("access-control-allow-headers", HeaderValue::from_static("authorization, content-type, accept"));
    headers.insert("access-control-max-age", HeaderValue::from_static("600"));
    response
}

/// Lets pages of the allowed origins read the response.
fn allow_origin(site: &Site, request: &HeaderMap, response: &mut HeaderMap) {
    let Some(origin) = request.get(ORIGIN) else { return };
    if origin.to_str().is_ok_and(|origin| site.settings.allowed_origins.allow(origin)) {
        response.insert("access-control-allow-origin", origin.clone());
    }
    response.append(VARY, HeaderValue::from_static("origin"));
}

async fn operate<B: Buf, E>(
    site: &Arc<Site>,
    method: &Method,
    peer: &Peer,
    headers: &HeaderMap,
    query: &str,
    stream: impl Stream<Item = Result<B, E>>,
    media: Media,
) -> Reply {
    let address = callers::address(site, peer, headers);
    let called = match callers::token(headers, query) {
        Ok(token) => callers::caller(site, token.as_deref(), address).await,
        Err(error) => Err(error),
    };
    let caller = match called {
        Ok((caller, _)) => caller,
        Err(error) => return Reply::refused(&error.into(), media),
    };
    if *method != Method::POST {
        return match from_query(query) {
            Ok(request) => answer(site, request, caller, media, false).await,
            Err(message) => Reply::bad(StatusCode::BAD_REQUEST, message),
        };
    }
    if !is_json(headers) {
        return Reply::bad(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json");
    }
    let limits = body::Limits { bytes: site.settings.max_body_bytes, patience: site.settings.sockets.request_timeout };
    let read = match body::read(headers, stream, limits).await {
        Ok(read) => read,
        Err(body::Unread::TooLarge) => return Reply::bad(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        Err(body::Unread::TooSlow) => return Reply::bad(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"),
        Err(body::Unread::Broken) => return Reply::bad(StatusCode::BAD_REQUEST, "the body broke off"),
    };
    match serde_json::from_slice::<serde_json::Value>(&read) {
        Ok(serde_json::Value::Array(batch)) => answer_batch(site, batch, &caller, media).await,
        Ok(one) => match parameters(one) {
            Ok(request) => answer(site, request, caller, media, true).await,
            Err(message) => Reply::bad(StatusCode::BAD_REQUEST, &message),
        },
        Err(_) => Reply::bad(StatusCode::BAD_REQUEST, "the body is not JSON"),
    }
}

/// The charset, if named, must be the one of JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_json = parts.next().is_some_and(|name| name == "application/json");
    is_json && parts.all(|part| part.strip_prefix("charset=").is_none_or(|set| set.trim_matches('"') == "utf-8"))
}

/// The parameters of a request, as its body has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    query: String,
    #[serde(default)]
    operation_name: Option<String>,
    #[serde(default)]
    variables: Option<Variables>,
    /// Nothing is done with it, but it must be what it should be.
    #[serde(default, rename = "extensions")]
    _extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

fn parameters(value: serde_json::Value) -> Result<Request, String> {
    let wrong = |error: serde_json::Error| format!("the parameters are wrong: {error}");
    let Parameters { query, operation_name, variables, _extensions: _ } =
        serde_json::from_value(value).map_err(wrong)?;
    Ok(Request { query, operation_name, variables: variables.unwrap_or_default() })
}

fn from_query(query: &str) -> Result<Request, &'static str> {
    let Some(document) = callers::parameter(query, "query") else { return Err("the parameter query is missing") };
    let variables = match callers::parameter(query, "variables").filter(|variables| !variables.is_empty()) {
        Some(variables) => {
            let variables: Option<Variables> =
                serde_json::from_str(&variables).map_err(|_| "the parameter variables must be a JSON object")?;
            variables.unwrap_or_default()
        }
        None => Variables::default(),
    };
    if let Some(extensions) = callers::parameter(query, "extensions").filter(|extensions| !extensions.is_empty()) {
        let _: Option<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_str(&extensions).map_err(|_| "the parameter extensions must be a JSON object")?;
    }
    Ok(Request { query: document, operation_name: callers::parameter(query, "operationName"), variables })
}

async fn answer(site: &Arc<Site>, request: Request, caller: Caller, media: Media, may_write: bool) -> Reply {
    let prepared = match site.engine.prepare(request, &caller) {
        Ok(prepared) => prepared,
        Err(refusal) => return Reply::refused(&refusal, media),
    };
    match prepared.kind() {
        OperationType::Mutation if !may_write => {
            let mut reply = Reply::bad(StatusCode::METHOD_NOT_ALLOWED, "mutations go by POST");
            reply.headers.insert(ALLOW, HeaderValue::from_static("POST"));
            return reply;
        }
        OperationType::Subscription => {
            let hint = "subscriptions go over a WebSocket: graphql-transport-ws at /graphql";
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
async fn answer_batch(site: &Arc<Site>, batch: Vec<serde_json::Value>, caller: &Caller, media: Media) -> Reply {
    let max = site.settings.max_batch;
    if batch.is_empty() || batch.len() > max {
        return Reply::bad(StatusCode::BAD_REQUEST, &format!("a batch has 1 to {max} operations"));
    }
    let answers = batch.into_iter().map(|one| async {
        match parameters(one) {
            Ok(request) => answer(site, request, caller.clone(), media, true).await,
            Err(message) => Reply::bad(StatusCode::BAD_REQUEST, &message),
        }
    });
    let bodies: Vec<String> = join_all(answers).await.into_iter().map(|reply| reply.body).collect();
    Reply::new(StatusCode::OK, format!("[{}]", bodies.join(",")))
}
