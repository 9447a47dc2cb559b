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
pub enum NetworkFault {
    /// Traffic passes unchanged.
    None,
    /// Every connection is reset, and new ones are refused.
    Cut,
    /// Every chunk is delayed by this time, in both directions.
    Slow(Duration),
    /// The proxy reads from the sender and forwards nothing. Connections stay open.
    Stall,
    /// The next connection that commits events is reset before the server receives that. Then traffic passes again.
    DropCommit,
    /// The next connection that commits events is reset before the client receives the answer. Then traffic passes again.
    DropCommitAnswer,
}

/// A running proxy. It accepts no new connection after it is dropped.
pub struct Proxy {
    address: SocketAddr,
    faults: FaultSender,
}

impl Proxy {
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let faults = FaultSender::new(watch::Sender::new(NetworkFault::None));
        tokio::spawn(serve(listener, (Ipv4Addr::LOCALHOST, target).into(), Arc::downgrade(&faults)));
        Self { address, faults }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn set_fault(&self, fault: NetworkFault) {
        self.faults.send_replace(fault);
    }

    pub fn fault(&self) -> NetworkFault {
        *self.faults.borrow()
    }
}

type FaultSender = Arc<watch::Sender<NetworkFault>>;

async fn serve(listener: TcpListener, target: SocketAddr, faults: Weak<watch::Sender<NetworkFault>>) {
    while let Ok((near, _)) = listener.accept().await {
        let Some(faults) = faults.upgrade() else { return };
        if *faults.borrow() != NetworkFault::Cut {
            tokio::spawn(forward_connection(near, target, faults));
        }
    }
}

/// Forwards one connection until one side ends it or the fault resets it.
async fn forward_connection(near: TcpStream, target: SocketAddr, faults: FaultSender) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    for side in [&near, &far] {
        drop(side.set_nodelay(true));
        // With zero linger, dropping the stream sends RST.
        drop(side.set_zero_linger());
    }
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let mut fault = faults.subscribe();
    let drops_answers = AtomicBool::new(false);
    tokio::select! {
        () = forward(near_in, far_out, &faults, &drops_answers, true) => {}
        () = forward(far_in, near_out, &faults, &drops_answers, false) => {}
        _ = fault.wait_for(|fault| *fault == NetworkFault::Cut) => {}
    }
}

/// Whether the client commits with this chunk: by COMMIT, or by a statement that writes events and is a transaction of
/// its own. A field of the events is part of the statement's parameters.
fn commits(chunk: &[u8]) -> bool {
    [b"COMMIT".as_slice(), b"\"owner_id\""].iter().any(|word| chunk.windows(word.len()).any(|found| found == *word))
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    faults: &FaultSender,
    drops_answers: &AtomicBool,
    is_from_client: bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut fault = faults.subscribe();
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let chunk = &buffer[..count];
        let now = *fault.borrow_and_update();
        if let NetworkFault::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if is_from_client && commits(chunk) {
            match now {
                NetworkFault::DropCommit => {
                    faults.send_replace(NetworkFault::None);
                    return;
                }
                NetworkFault::DropCommitAnswer => {
                    drops_answers.store(true, Ordering::SeqCst);
                    faults.send_replace(NetworkFault::None);
                }
                _ => {}
            }
        }
        if !is_from_client && drops_answers.load(Ordering::SeqCst) {
            return;
        }
        if fault.wait_for(|fault| *fault != NetworkFault::Stall).await.is_err() || to.write_all(chunk).await.is_err() {
            return;
        }
    }
}
