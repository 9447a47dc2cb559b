//! The JSON response of GraphQL over HTTP, with its status code, before its media type is chosen.

use bytes::Bytes;
use http::header::{ALLOW, HeaderName, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use super::body;
use super::content_negotiation::Media;
use crate::error::Error;
use crate::graphql::{self, Rejection, ResponseText};

/// A GraphQL response whose media type is not chosen yet.
pub struct Reply {
    status: StatusCode,
    /// The response as JSON.
    pub body: ResponseText,
    header: Option<(HeaderName, &'static str)>,
}

impl Reply {
    /// A response with this body.
    pub fn new(status: StatusCode, body: impl Into<ResponseText>) -> Self {
        Self { status, body: body.into(), header: None }
    }

    /// A response to a malformed request: nothing was executed.
    pub fn malformed(status: StatusCode, message: &str) -> Self {
        let error = serde_json::json!([{ "message": message, "extensions": { "code": "BAD_USER_INPUT" } }]);
        Self::new(status, graphql::errors_response(&error))
    }

    /// A response to a rejected operation: nothing was executed.
    pub fn rejected(refusal: &Rejection, media: Media) -> Self {
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

    /// A response to a request that accepts none of the media types.
    pub fn not_acceptable() -> Self {
        Self::malformed(
            StatusCode::NOT_ACCEPTABLE,
            "acceptable media types are application/graphql-response+json, application/json and text/event-stream",
        )
    }

    /// A response to a mutation that was not sent with POST.
    pub fn mutation_needs_post() -> Self {
        let malformed = Self::malformed(StatusCode::METHOD_NOT_ALLOWED, "mutations need POST");
        Self { header: Some((ALLOW, "POST")), ..malformed }
    }

    /// The HTTP response in this media type.
    pub fn into_response(self, media: Media) -> Response<ResponseText> {
        let mut response = body::response(self.status, media.content_type(), Bytes::new()).map(|_| self.body);
        response.headers_mut().extend(self.header.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        response
    }
}
