//! Somebody who only wants to work, beside an attack: how long they wait, at the server that is attacked and, in turns
//! with it, at one that is left alone. What both have in common is the machine's, which the attacker keeps busy, too.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::support::soon;

/// How long they think between two questions.
const THINKING: Duration = Duration::from_millis(1);

/// What they waited, at the one and at the other.
pub struct Waited {
    pub attacked: Waits,
    pub alone: Waits,
}

/// Each wait of somebody.
#[derive(Default)]
pub struct Waits(Vec<Duration>);

/// A thread of their own, for what the attacker does is not to hold them up.
pub struct Bystander {
    thread: JoinHandle<Waited>,
    is_over: Arc<AtomicBool>,
}

impl Bystander {
    /// Begins to ask something small, again and again.
    pub fn begin(attacked: SocketAddr, alone: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = reqwest::Client::builder().no_proxy().build().expect("a client");
                let mut waited = Waited { attacked: Waits::default(), alone: Waits::default() };
                while !over.load(Ordering::Relaxed) {
                    waited.attacked.0.push(ask(&client, attacked).await);
                    sleep(THINKING).await;
                    waited.alone.0.push(ask(&client, alone).await);
                    sleep(THINKING).await;
                }
                waited
            })
        });
        Self { thread, is_over }
    }

    /// Ends it; what they waited.
    pub fn end(self) -> Waited {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the bystander was served")
    }
}

async fn ask(client: &reqwest::Client, address: SocketAddr) -> Duration {
    let since = Instant::now();
    let asking = client.post(format!("http://{address}/graphql")).json(&json!({"query": "{ cursor }"})).send();
    let answer: Value = soon("an answer", async { asking.await?.json().await }).await.expect("an answer");
    assert!(answer["data"]["cursor"].is_string(), "{answer}");
    since.elapsed()
}

impl fmt::Display for Waits {
    /// The median, and what one in a hundred takes at least, in milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort();
        let at = |part: f64| {
            let wait = sorted.get((sorted.len().saturating_sub(1) as f64 * part) as usize);
            wait.map_or(f64::NAN, |wait| wait.as_secs_f64() * 1_000.0)
        };
        f.pad(&format!("{:.2} / {:.2} ms", at(0.5), at(0.99)))
    }
}
