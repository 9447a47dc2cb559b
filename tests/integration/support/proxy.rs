//! A line between an instance and its database that can be cut, slowed down, and made to swallow everything.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Every connection is reset, and none can be made.
    Cut,
    /// Everything takes so much longer, either way.
    Slow(Duration),
    /// What is sent is taken, and never comes; nobody is told.
    Silent,
    /// The next connection that says COMMIT is reset before that arrives. Then it is fair again.
    LoseCommit,
    /// The same, but it arrives, and its answer does not.
    LoseAnswer,
}

/// A proxy. When dropped it takes nothing new.
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

/// One connection, until either side ends it or it is cut.
async fn carry(near: TcpStream, target: SocketAddr, sky: Sky) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    for side in [&near, &far] {
        drop(side.set_nodelay(true));
        // Dropped, it is reset.
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
