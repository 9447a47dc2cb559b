//! A TCP proxy that adds a round-trip time, as a distance does: each byte arrives later, and the rate stays the same.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// The largest chunk that is read at once, in bytes.
const CHUNK: usize = 64 * 1024;
/// Chunks in flight for each direction of a connection. With more of them, the sender waits.
const CHUNKS_IN_FLIGHT: usize = 1024;

/// A running proxy, on a thread of its own. It ends when this value is dropped.
pub struct DelayProxy {
    port: u16,
    round_trips: Arc<AtomicU64>,
    /// The thread ends when this sender is dropped.
    _running: oneshot::Sender<()>,
}

impl DelayProxy {
    /// Starts a proxy to a port of this machine. It delays each direction by half of `round_trip`.
    pub fn start(target: u16, round_trip: Duration) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let port = listener.local_addr().expect("an address").port();
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
        let round_trips = Arc::<AtomicU64>::default();
        let (running, dropped) = oneshot::channel::<()>();
        let total = Arc::clone(&round_trips);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, target, round_trip / 2, total) => {}
                    _ = dropped => {}
                }
            });
        });
        Self { port, round_trips, _running: running }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of round trips that clients have begun, on all connections. A round trip begins when a client sends
    /// bytes after it received some. The first bytes of a connection begin one too.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }
}

async fn serve(listener: std::net::TcpListener, target: SocketAddr, delay: Duration, total: Arc<AtomicU64>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((near, _)) = listener.accept().await {
        let round_trips = RoundTrips { total: Arc::clone(&total), has_received: AtomicBool::new(true) };
        tokio::spawn(forward_connection(near, target, delay, round_trips));
    }
}

/// Counts the round trips of one connection.
struct RoundTrips {
    total: Arc<AtomicU64>,
    /// Whether the client has received bytes since it last sent some.
    has_received: AtomicBool,
}

async fn forward_connection(near: TcpStream, target: SocketAddr, delay: Duration, round_trips: RoundTrips) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    for side in [&near, &far] {
        drop(side.set_nodelay(true));
    }
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let client_sent = || {
        if round_trips.has_received.swap(false, Ordering::Relaxed) {
            round_trips.total.fetch_add(1, Ordering::Relaxed);
        }
    };
    let client_received = || round_trips.has_received.store(true, Ordering::Relaxed);
    tokio::join!(
        forward(near_in, far_out, delay, client_sent, || {}),
        forward(far_in, near_out, delay, || {}, client_received),
    );
}

/// Forwards one direction until one side closes it. Calls `sent` when a chunk was read, and `received` when it was
/// written.
async fn forward(from: OwnedReadHalf, to: OwnedWriteHalf, delay: Duration, sent: impl Fn(), received: impl Fn()) {
    let (in_flight, arriving) = mpsc::channel(CHUNKS_IN_FLIGHT);
    tokio::join!(depart(from, in_flight, delay, sent), arrive(to, arriving, received));
}

/// Bytes in flight, and the time at which they arrive.
type Chunk = (Instant, Vec<u8>);

async fn depart(mut from: OwnedReadHalf, in_flight: mpsc::Sender<Chunk>, delay: Duration, sent: impl Fn()) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        sent();
        if in_flight.send((Instant::now() + delay, buffer[..count].to_vec())).await.is_err() {
            return;
        }
    }
}

async fn arrive(mut to: OwnedWriteHalf, mut arriving: mpsc::Receiver<Chunk>, received: impl Fn()) {
    let timer = Timer::new().expect("a timer");
    while let Some((due, chunk)) = arriving.recv().await {
        timer.wait_until(due).await.expect("a timer");
        if to.write_all(&chunk).await.is_err() {
            return;
        }
        received();
    }
    // An error means that the connection has ended.
    drop(to.shutdown().await);
}

/// A timer of the kernel. The timers of tokio have a resolution of 1 ms, which is longer than the delays.
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    #[expect(deprecated, reason = "the replacement is unsafe; an `OwnedFd` has the properties that it requires")]
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?).map(Self)
    }

    async fn wait_until(&self, due: Instant) -> io::Result<()> {
        let wait = due.saturating_duration_since(Instant::now());
        // A timer that is set to zero is off.
        if wait.is_zero() {
            return Ok(());
        }
        let once =
            Itimerspec { it_interval: Timespec::default(), it_value: wait.try_into().map_err(io::Error::other)? };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let expired = rustix::io::read(&self.0, &mut [0; 8]);
            ready.clear_ready();
            // tokio may report a timer as ready that is not.
            if expired != Err(Errno::AGAIN) {
                return Ok(expired.map(drop)?);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it receives; returns its port.
    async fn echo_server() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let (mut from, mut to) = stream.into_split();
            tokio::io::copy(&mut from, &mut to).await.expect("an echo");
        });
        port
    }

    #[tokio::test]
    async fn every_request_takes_the_round_trip_time_and_is_counted() {
        let round_trip = Duration::from_millis(20);
        let proxy = DelayProxy::start(echo_server().await, round_trip);
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.expect("a connection");
        for request in 1..=5_u8 {
            let started = Instant::now();
            client.write_all(&[request]).await.expect("a request");
            assert_eq!(client.read_u8().await.expect("an answer"), request);
            assert!(started.elapsed() >= round_trip, "the answer came after {:?}", started.elapsed());
            assert_eq!(proxy.round_trips(), u64::from(request));
        }
    }

    #[tokio::test]
    async fn chunks_in_flight_keep_their_order_and_do_not_wait_for_each_other() {
        const COUNT: usize = 100;
        let round_trip = Duration::from_millis(400);
        let proxy = DelayProxy::start(echo_server().await, round_trip);
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.expect("a connection");
        let sent: Vec<u8> = (0..COUNT * CHUNK).map(|index| (index / 3) as u8).collect();
        let mut received = vec![0; sent.len()];
        let (mut from, mut to) = client.into_split();
        let started = Instant::now();
        let (read, written) = tokio::join!(from.read_exact(&mut received), to.write_all(&sent));
        read.and(written.map(|()| 0)).expect("an echo");
        // The proxy reads at least this many chunks. If each of them waited for the one before, they would take 20 s.
        assert!(started.elapsed() < round_trip / 2 * (COUNT as u32) / 2, "{:?}", started.elapsed());
        assert!(received == sent, "the bytes arrived in another order");
    }
}
