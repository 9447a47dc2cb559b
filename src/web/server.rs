//! Accepts connections, as many as are allowed, and speaks HTTP/1.1 on each.

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

use super::answer::Answer;
use super::line::{Line, Requests};
use super::newcomers::Newcomer;
use super::peer::Peer;
use super::{Site, body, hosts, routes};

/// How many connections the kernel holds until they are accepted.
const BACKLOG: u32 = 1_024;
/// What the kernel may hold of what was sent to one slow reader: by default it would grow to
/// megabytes, for each of them.
const SEND_BUFFER: u32 = 256 << 10;
/// What hyper gathers of a response at most until the client has taken it, by default 400 KiB; also the largest head of
/// a request.
const BUFFER: usize = 64 << 10;
/// How many clients are told at once that there is no place; the others are not told why.
const TOLD: usize = 64;

/// A bound address.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// If it cannot be bound.
    pub fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        // Accepted connections inherit both. Lone events must not wait for Nagle's algorithm.
        socket.set_nodelay(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        Ok(Self(socket.listen(BACKLOG)?))
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Serves until the site is stopped.
pub async fn serve(listener: Listener, site: Arc<Site>) {
    let routes = routes(&site);
    let told = Arc::new(Semaphore::new(TOLD));
    let places = Arc::new(Semaphore::new(site.settings.sockets.max_connections));
    let mut alive = site.alive();
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.0.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Mostly: out of file descriptors. Others will be given back.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = alive.stopped() => return,
        };
        let place = Arc::clone(&places).try_acquire_owned().ok();
        let Some(peer) = place.and_then(|place| Peer::connected(&site, address, place)) else {
            site.counts.refused.count();
            if let Ok(turn) = Arc::clone(&told).try_acquire_owned() {
                tokio::spawn(turn_away(stream, turn));
            }
            continue;
        };
        site.counts.accepted.count();
        let newcomer = Arc::new(Newcomer::default());
        let speaking = speak(Arc::clone(&site), stream, peer, routes.clone(), Arc::clone(&newcomer));
        tokio::spawn(site.newcomers.in_turn(newcomer, speaking));
    }
}

/// Speaks HTTP on a connection until it ends.
async fn speak<R>(site: Arc<Site>, stream: TcpStream, peer: Peer, routes: R, newcomer: Arc<Newcomer>)
where
    R: Filter<Extract = (Answer,), Error = Infallible> + Clone + Send + Sync + 'static,
{
    let (mut alive, limits) = (site.alive(), site.settings.sockets.clone());
    let service = TowerToHyperService::new(warp::service(routes));
    let requests = Arc::new(Requests::default());
    let line = Line::new(stream, &limits, Arc::clone(&requests));
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        requests.begin();
        let ended = Arc::clone(&requests);
        // warp takes a path for granted.
        if request.uri().path_and_query().is_none() {
            ended.end();
            let refusal = body::text(StatusCode::BAD_REQUEST, "a request names a path");
            return Either::Left(ready(Ok(refusal.into_response())));
        }
        if let Some(refusal) = hosts::refusal(&site, &request) {
            ended.end();
            return Either::Left(ready(Ok(refusal.into_response())));
        }
        let Some(peer) = peer.asking(&site, request.headers()) else {
            ended.end();
            return Either::Left(ready(Ok(crowded().into_response())));
        };
        request.extensions_mut().insert(peer);
        let newcomer = Arc::clone(&newcomer);
        let is_options = request.method() == Method::OPTIONS;
        Either::Right(service.call(request).map_ok(move |response| {
            newcomer.set_known();
            // What comes on a line that has become a socket are no requests.
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                ended.end();
            }
            if is_options { options(response) } else { response }
        }))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(line), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = alive.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// What may be asked of an address is told by the refusal of another method.
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

/// Says that there are too many of this client already.
fn crowded() -> impl Reply {
    let mut response = body::text(StatusCode::SERVICE_UNAVAILABLE, "there are too many clients");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// Says that the house is full, as far as the client listens.
async fn turn_away(mut stream: TcpStream, _turn: OwnedSemaphorePermit) {
    const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Type: text/plain\r\n\
        Content-Length: 27\r\nConnection: close\r\n\r\nthere are too many clients\n";
    let answering = async {
        // The answer must not come before the question, and what is unread at the end would reset the line.
        let mut head = [0; 4 << 10];
        if stream.read(&mut head).await? == 0 {
            return Ok(());
        }
        stream.write_all(FULL).await?;
        stream.shutdown().await?;
        while stream.read(&mut head).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    drop(tokio::time::timeout(Duration::from_secs(1), answering).await);
}
