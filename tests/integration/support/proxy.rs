//! A TCP proxy between an instance and its database that can reset, delay and stall connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::with_timeout;

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
    /// The connection on which the last of this many chunks arrives, in any direction, is reset instead. Then traffic
    /// passes again.
    DropAfter(u32),
    /// The next connection that commits a batch is reset before the server receives that. Then traffic passes again.
    DropCommit,
    /// The next connection that commits a batch is reset before the client receives the answer. Then traffic passes
    /// again.
    DropCommitAnswer,
    /// The client's side of the next connection that commits a batch is reset. The server receives the commit late: by
    /// [`Proxy::deliver_commit`].
    HoldCommit,
    /// A commit is held. Other traffic passes.
    CommitHeld,
    /// The server receives the held commit. Once it has answered, no fault is left.
    DeliverCommit,
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

    /// Waits until this fault has happened or was replaced.
    pub async fn wait_while(&self, fault: NetworkFault) {
        let mut faults = self.faults.subscribe();
        faults.wait_for(|now| *now != fault).await.map(drop).expect("the proxy runs");
    }

    /// Lets the server receive the commit that is held, and waits until the server has answered it.
    pub async fn deliver_commit(&self) {
        assert_eq!(self.fault(), NetworkFault::CommitHeld, "no commit is held");
        self.set_fault(NetworkFault::DeliverCommit);
        with_timeout("an answer to the commit", self.wait_while(NetworkFault::DeliverCommit)).await;
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
async fn forward_connection(mut near: TcpStream, target: SocketAddr, faults: FaultSender) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    for side in [&near, &far] {
        drop(side.set_nodelay(true));
        // With zero linger, dropping the stream sends RST.
        drop(side.set_zero_linger());
    }
    let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
    let mut fault = faults.subscribe();
    let drops_answers = AtomicBool::new(false);
    let held_commit = tokio::select! {
        held = forward(near_in, far_out, &faults, &drops_answers, true) => held,
        _ = forward(far_in, near_out, &faults, &drops_answers, false) => None,
        _ = fault.wait_for(|fault| *fault == NetworkFault::Cut) => None,
    };
    drop(near);
    if let Some(commit) = held_commit {
        drop(fault.wait_for(|fault| *fault == NetworkFault::DeliverCommit).await);
        // An error means that the server has ended the connection.
        if far.write_all(&commit).await.is_ok() {
            drop(far.read(&mut [0; 1024]).await);
        }
        faults.send_replace(NetworkFault::None);
    }
}

/// Recognizes the commits of batches in what a client sends.
#[derive(Default)]
struct CommitDetector {
    /// Whether the client holds the lock on the log head.
    holds_head: bool,
}

impl CommitDetector {
    /// Whether the client commits a batch with this chunk: by COMMIT while it holds the lock on the log head, or by a
    /// statement that is a transaction of its own. Among the parameters of such a statement are JSON lists.
    fn is_commit(&mut self, chunk: &[u8]) -> bool {
        let has = |word: &[u8]| chunk.windows(word.len()).any(|found| found == word);
        if has(b"log_head FOR UPDATE") {
            self.holds_head = true;
            return false;
        }
        if self.holds_head {
            let is_commit = has(b"COMMIT");
            self.holds_head = !is_commit && !has(b"ROLLBACK");
            return is_commit;
        }
        // The length of a parameter stands before it: four bytes.
        has(b"[{\"") || has(b"\0\0\0\x02[]")
    }
}

/// Forwards one direction until it ends or the fault ends it. Returns the commit that is held, if one is.
async fn forward(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    faults: &FaultSender,
    drops_answers: &AtomicBool,
    is_from_client: bool,
) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 16 * 1024];
    let mut commits = CommitDetector::default();
    let mut fault = faults.subscribe();
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let chunk = &buffer[..count];
        let now = *fault.borrow_and_update();
        if let NetworkFault::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if drops_chunk(faults) {
            return None;
        }
        if is_from_client && commits.is_commit(chunk) {
            match now {
                NetworkFault::DropCommit => {
                    faults.send_replace(NetworkFault::None);
                    return None;
                }
                NetworkFault::DropCommitAnswer => {
                    drops_answers.store(true, Ordering::SeqCst);
                    faults.send_replace(NetworkFault::None);
                }
                NetworkFault::HoldCommit => {
                    faults.send_replace(NetworkFault::CommitHeld);
                    return Some(chunk.to_vec());
                }
                _ => {}
            }
        }
        if !is_from_client && drops_answers.load(Ordering::SeqCst) {
            return None;
        }
        if fault.wait_for(|fault| *fault != NetworkFault::Stall).await.is_err() || to.write_all(chunk).await.is_err() {
            return None;
        }
    }
    None
}

/// Counts a chunk for [`NetworkFault::DropAfter`]. Returns whether its connection is reset.
fn drops_chunk(faults: &FaultSender) -> bool {
    let mut is_dropped = false;
    faults.send_if_modified(|fault| {
        let NetworkFault::DropAfter(left) = *fault else { return false };
        is_dropped = left <= 1;
        *fault = if is_dropped { NetworkFault::None } else { NetworkFault::DropAfter(left - 1) };
        is_dropped
    });
    is_dropped
}
