//! Accepts TCP connections up to the configured limit, and serves HTTP/1.1 on each. `warp::serve` is not used: it
//! cannot set the header timeout, the buffer size or a limit of connections.

use std::convert::Infallible;
use std::future::ready;
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
use warp::reply::Response;
use warp::{Filter, Reply};

use super::admission::Admission;
use super::peer::Peer;
use super::response::Answer;
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
    pub fn bind(address: SocketAddr) -> std::io::Result<Self> {
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
    pub fn address(&self) -> std::io::Result<SocketAddr> {
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
        let slot = Arc::clone(&slots).try_acquire_owned().ok();
        let Some(peer) = slot.and_then(|slot| Peer::connected(&site, address, slot)) else {
            site.counts.refused.count();
            if let Ok(slot) = Arc::clone(&rejections).try_acquire_owned() {
                tokio::spawn(reject(stream, slot));
            }
            continue;
        };
        site.counts.accepted.count();
        let admission = Arc::new(Admission::default());
        let serving = serve_connection(Arc::clone(&site), stream, peer, routes.clone(), Arc::clone(&admission));
        tokio::spawn(site.admission_queue.throttle(admission, serving));
    }
}

/// Serves HTTP on one connection until it ends.
async fn serve_connection<R>(site: Arc<AppState>, stream: TcpStream, peer: Peer, routes: R, admission: Arc<Admission>)
where
    R: Filter<Extract = (Answer,), Error = Infallible> + Clone + Send + Sync + 'static,
{
    let (mut shutdown, limits) = (site.shutdown_signal(), site.settings.sockets.clone());
    let service = TowerToHyperService::new(warp::service(routes));
    let requests = Arc::new(Requests::default());
    let stream = TimeoutStream::new(stream, &limits, Arc::clone(&requests));
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        requests.begin();
        let phase = Arc::clone(&requests);
        // warp expects a path in every request URI. A `CONNECT` request has none.
        if request.uri().path_and_query().is_none() {
            phase.end();
            let rejection = body::text(StatusCode::BAD_REQUEST, "the request must name a path");
            return Either::Left(ready(Ok(rejection.into_response())));
        }
        if let Some(rejection) = hosts::check(&site, &request) {
            phase.end();
            return Either::Left(ready(Ok(rejection.into_response())));
        }
        let Some(peer) = peer.for_request(&site, request.headers()) else {
            phase.end();
            return Either::Left(ready(Ok(too_many_requests().into_response())));
        };
        request.extensions_mut().insert(peer);
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
        tracing::debug!(%error, "a connection ended with an error");
    }
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
        Ok::<_, std::io::Error>(())
    };
    drop(tokio::time::timeout(Duration::from_secs(1), responding).await);
}
