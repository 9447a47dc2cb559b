//! The responses of routes: with a complete body, or with a stream of events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Response};

use super::sse::Events;

/// The response of a route.
pub enum RouteResponse {
    /// A response with a complete body.
    Whole(Response<Bytes>),
    /// A response whose body is a stream of events.
    Events(Response<Events>),
}

impl RouteResponse {
    /// The response's headers.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        match self {
            Self::Whole(response) => response.headers_mut(),
            Self::Events(response) => response.headers_mut(),
        }
    }
}

impl From<Response<Bytes>> for RouteResponse {
    fn from(response: Response<Bytes>) -> Self {
        Self::Whole(response)
    }
}

impl warp::Reply for RouteResponse {
    fn into_response(self) -> warp::reply::Response {
        match self {
            Self::Whole(response) => response.into_response(),
            Self::Events(response) => {
                let (parts, events) = response.into_parts();
                let body = warp::reply::stream(SyncStream(Mutex::new(events))).into_response().into_body();
                Response::from_parts(parts, body)
            }
        }
    }
}

/// warp requires bodies to be `Sync`. The mutex only provides that marker: it is never locked.
struct SyncStream(Mutex<Events>);

impl Stream for SyncStream {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let events = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        events.poll_frame(context).map(|frame| frame.map(Ok))
    }
}
