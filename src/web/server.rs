//! Accepts TCP connections up to the configured limit, and serves HTTP/1.1 on each. `warp::serve` is not used: it
//! cannot set the header timeout, the buffer size or a limit of connections.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use futures_util::future::Either;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::admission::Admission;
use super::peer::Peer;
use super::refusal::Refusal;
use super::response::RouteResponse;
use super::timeout_stream::{Requests, TimeoutStream};
use super::{AppState, body, hosts, routes};

/// How many connections the kernel queues until the server accepts them.
const BACKLOG: u32 = 1_024;
/// The kernel's send buffer of one connection, in bytes. By default it can grow to megabytes for each slow client.
const SEND_BUFFER: u32 = 256 << 10;
/// The size of hyper's buffers per connection, in bytes; hyper's default is 400 KiB. The head of a request must fit in.
const BUFFER: usize = 64 << 10;
/// How many connections above the limit may wait for a 503 response at once. Further ones are closed without a
/// response.
const PENDING_REJECTIONS: usize = 64;

/// A socket that is bound to the server's address and listens.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Binds an address and listens. Port 0 selects a free port.
    ///
    /// # Errors
    /// If the address is in use or not available.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        // Accepted connections inherit both options. With Nagle's algorithm, small events would be delayed.
        socket.set_nodelay(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        Ok(Self(socket.listen(BACKLOG)?))
    }

    /// The bound address, with the actual port.
    ///
    /// # Errors
    /// If the operating system cannot report it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Accepts connections until the server shuts down.
pub async fn serve(listener: Listener, site: Arc<AppState>) {
    let routes = routes(&site);
    let rejections = Arc::new(Semaphore::new(PENDING_REJECTIONS));
    let slots = Arc::new(Semaphore::new(site.settings.sockets.max_connections));
    let mut shutdown = site.shutdown_signal();
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.0.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // The usual cause is that file descriptors are exhausted. Closing connections free some soon.
                    tracing::warn!(%error, "cannot accept a connection; retrying");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = shutdown.stopped() => return,
        };
        let Some(peer) = admit(&site, &slots, address) else {
            if let Ok(slot) = Arc::clone(&rejections).try_acquire_owned() {
                tokio::spawn(reject(stream, slot));
            }
            continue;
        };
        let (admission, span) = (Arc::new(Admission::default()), peer.span());
        let serving = serve_connection(Arc::clone(&site), stream, peer, routes.clone(), Arc::clone(&admission));
        tokio::spawn(site.admission_queue.throttle(admission, serving.instrument(span)));
    }
}

/// The peer of a new connection; `None` if a limit on connections is reached.
fn admit(site: &Arc<AppState>, slots: &Arc<Semaphore>, address: SocketAddr) -> Option<Peer> {
    let peer = match Arc::clone(slots).try_acquire_owned() {
        Ok(slot) => Peer::connected(site, address, slot).ok_or(Refusal::AddressLimit),
        Err(_) => Err(Refusal::ConnectionLimit),
    };
    match peer {
        Ok(peer) => {
            site.counts.accepted.count();
            Some(peer)
        }
        Err(refusal) => {
            site.counts.refused.count();
            tracing::debug_span!("connection", peer = %address).in_scope(|| site.counts.refuse(refusal));
            None
        }
    }
}

/// Serves HTTP on one connection until it ends.
async fn serve_connection<R>(site: Arc<AppState>, stream: TcpStream, peer: Peer, routes: R, admission: Arc<Admission>)
where
    R: Filter<Extract = (RouteResponse,), Error = Infallible> + Clone + Send + Sync + 'static,
{
    tracing::debug!("a connection was accepted");
    let (mut shutdown, limits) = (site.shutdown_signal(), site.settings.sockets.clone());
    let state = Arc::clone(&site);
    let service = TowerToHyperService::new(warp::service(routes));
    let requests = Arc::new(Requests::default());
    let stream = TimeoutStream::new(stream, &limits, Arc::clone(&requests));
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        requests.begin();
        let phase = Arc::clone(&requests);
        if let Some(rejection) = check_request(&site, &peer, &mut request) {
            phase.end();
            return Either::Left(ready(Ok(rejection)));
        }
        let admission = Arc::clone(&admission);
        let is_options = request.method() == Method::OPTIONS;
        Either::Right(service.call(request).map_ok(move |response| {
            admission.set_established();
            // After an upgrade, bytes on the connection are WebSocket frames, not the head of a request.
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                phase.end();
            }
            if is_options { options(response) } else { response }
        }))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = shutdown.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        if is_timeout(&error) {
            state.counts.refuse(Refusal::SlowClient);
        }
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// Checks a request before any route does, and adds its peer to it. The response to a request that is refused; `None` if
/// the request is acceptable.
fn check_request<B>(site: &AppState, peer: &Peer, request: &mut http::Request<B>) -> Option<Response> {
    // warp expects a path in every request URI. A `CONNECT` request has none.
    if request.uri().path_and_query().is_none() {
        site.counts.refuse(Refusal::MalformedRequest);
        return Some(body::text(StatusCode::BAD_REQUEST, "the request must name a path").into_response());
    }
    if let Some(rejection) = hosts::check(site, request) {
        return Some(rejection.into_response());
    }
    let Some(peer) = peer.for_request(site, request.headers()) else {
        site.counts.refuse(Refusal::AddressLimit);
        return Some(too_many_requests().into_response());
    };
    request.extensions_mut().insert(peer);
    None
}

/// Whether a timeout of [`TimeoutStream`] ended the connection.
fn is_timeout(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut)
}

/// Turns the 405 response to an `OPTIONS` request into a 204 with the same `Allow` header. So each route lists its
/// methods only once.
fn options(mut response: Response) -> Response {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers_mut().remove(ALLOW);
        response = body::text(StatusCode::NO_CONTENT, "").map(|_| Bytes::new()).into_response();
        response.headers_mut().remove(CONTENT_TYPE);
        response.headers_mut().remove(CONTENT_LENGTH);
        response.headers_mut().extend(allow.map(|allow| (ALLOW, allow)));
    }
    response
}

/// The response to a request of a client that has too many connections or requests.
fn too_many_requests() -> impl Reply {
    let mut response = body::text(StatusCode::SERVICE_UNAVAILABLE, "there are too many clients");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// Sends a 503 response on a connection above the limit, for one second at most.
async fn reject(mut stream: TcpStream, _slot: OwnedSemaphorePermit) {
    const RESPONSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Type: text/plain\r\n\
        Content-Length: 27\r\nConnection: close\r\n\r\nthere are too many clients\n";
    let responding = async {
        // Read the request first: some clients ignore a response that comes before. Closing a socket with unread data
        // would send a reset, and the client might lose the response.
        let mut buffer = [0; 4 << 10];
        if stream.read(&mut buffer).await? == 0 {
            return Ok(());
        }
        stream.write_all(RESPONSE).await?;
        stream.shutdown().await?;
        while stream.read(&mut buffer).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    drop(tokio::time::timeout(Duration::from_secs(1), responding).await);
}
