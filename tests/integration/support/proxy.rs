//! A TCP proxy between an instance and its database that can reset, delay and stall connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does to the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Traffic passes unchanged.
    Fair,
    /// Every connection is reset, and new ones are refused.
    Cut,
    /// Every chunk is delayed by this time, in both directions.
    Slow(Duration),
    /// The proxy reads from the sender and forwards nothing. Connections stay open.
    Silent,
    /// The next connection that sends COMMIT is reset before the server receives it. Then traffic passes again.
    LoseCommit,
    /// The next connection that sends COMMIT is reset before the client receives the answer. Then traffic passes again.
    LoseAnswer,
}

/// A running proxy. It accepts no new connection after it is dropped.
pub struct Proxy {
    address: SocketAddr,
    sky: Sky,
}

impl Proxy {
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let sky = Sky::new(watch::Sender::new(Weather::Fair));
        tokio::spawn(serve(listener, (Ipv4Addr::LOCALHOST, target).into(), Arc::downgrade(&sky)));
        Self { address, sky }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn set(&self, weather: Weather) {
        self.sky.send_replace(weather);
    }

    pub fn weather(&self) -> Weather {
        *self.sky.borrow()
    }
}

type Sky = Arc<watch::Sender<Weather>>;

async fn serve(listener: TcpListener, target: SocketAddr, sky: Weak<watch::Sender<Weather>>) {
    while let Ok((near, _)) = listener.accept().await {
        let Some(sky) = sky.upgrade() else { return };
        if *sky.borrow() != Weather::Cut {
            tokio::spawn(carry(near, target, sky));
        }
    }
}

/// Forwards one connection until one side ends it or the fault resets it.
async fn carry(near: TcpStream, target: SocketAddr, sky: Sky) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    for side in [&near, &far] {
        drop(side.set_nodelay(true));
        // With zero linger, dropping the stream sends RST.
        drop(side.set_zero_linger());
    }
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let mut weather = sky.subscribe();
    let mute = AtomicBool::new(false);
    tokio::select! {
        () = pump(near_in, far_out, &sky, &mute, true) => {}
        () = pump(far_in, near_out, &sky, &mute, false) => {}
        _ = weather.wait_for(|weather| *weather == Weather::Cut) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, sky: &Sky, mute: &AtomicBool, is_forth: bool) {
    let mut buffer = vec![0; 16 * 1024];
    let mut weather = sky.subscribe();
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let said = &buffer[..count];
        let now = *weather.borrow_and_update();
        if let Weather::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if is_forth && said.windows(6).any(|word| word == b"COMMIT") {
            match now {
                Weather::LoseCommit => {
                    sky.send_replace(Weather::Fair);
                    return;
                }
                Weather::LoseAnswer => {
                    mute.store(true, Ordering::SeqCst);
                    sky.send_replace(Weather::Fair);
                }
                _ => {}
            }
        }
        if !is_forth && mute.load(Ordering::SeqCst) {
            return;
        }
        if weather.wait_for(|weather| *weather != Weather::Silent).await.is_err() || to.write_all(said).await.is_err() {
            return;
        }
    }
}
