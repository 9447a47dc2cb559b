//! Passes short texts between the instances on one PostgreSQL, by NOTIFY. Nothing is stored: a text is lost if an instance
//! is not connected at that moment, or is busy.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

/// The longest text, in bytes. A payload of NOTIFY has fewer than 8,000 bytes.
pub const MAX_RELAYED: usize = 7_900;

/// How many texts wait in each direction. A further one is lost.
const QUEUE: usize = 256;

/// The queues of texts to and from other instances.
#[derive(Debug)]
pub struct Relay {
    outgoing: mpsc::Sender<String>,
    incoming: Mutex<Option<mpsc::Receiver<String>>>,
    ends: Mutex<Option<RelayEnds>>,
}

/// The ends of the queues at the connection to the database.
#[derive(Debug)]
pub struct RelayEnds {
    /// Texts for other instances.
    pub outgoing: mpsc::Receiver<String>,
    /// Texts that instances have sent, this one included.
    pub incoming: mpsc::Sender<String>,
}

impl Default for Relay {
    fn default() -> Self {
        let (outgoing, to_send) = mpsc::channel(QUEUE);
        let (received, incoming) = mpsc::channel(QUEUE);
        let ends = RelayEnds { outgoing: to_send, incoming: received };
        Self { outgoing, incoming: Mutex::new(Some(incoming)), ends: Mutex::new(Some(ends)) }
    }
}

impl Relay {
    /// Sends a text to all instances, if there is room for it.
    pub fn send(&self, text: String) {
        if text.len() <= MAX_RELAYED && self.outgoing.try_send(text).is_err() {
            tracing::debug!("a text for other instances is lost: too many wait");
        }
    }

    /// The texts that instances have sent. `None` if they were taken before.
    pub fn take_incoming(&self) -> Option<mpsc::Receiver<String>> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The ends for the connection to the database. `None` if they were taken before.
    pub(super) fn take_ends(&self) -> Option<RelayEnds> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
