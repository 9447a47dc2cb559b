//! A client that sends small queries during an attack. It alternates between the attacked server and an idle one, so
//! that delays caused by the attacked server can be told from delays caused by the busy machine.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::support::with_timeout;

/// The pause between two queries.
const PAUSE: Duration = Duration::from_millis(1);

/// The response times of both servers.
pub struct ResponseTimes {
    pub attacked: Times,
    pub alone: Times,
}

/// A list of response times.
#[derive(Default)]
pub struct Times(Vec<Duration>);

/// A background client. It runs on its own thread, so that the attackers' tasks cannot delay it.
pub struct BackgroundClient {
    thread: JoinHandle<ResponseTimes>,
    is_over: Arc<AtomicBool>,
}

impl BackgroundClient {
    /// Starts sending small queries.
    pub fn begin(attacked: SocketAddr, alone: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = reqwest::Client::builder().no_proxy().build().expect("a client");
                let mut times = ResponseTimes { attacked: Times::default(), alone: Times::default() };
                while !over.load(Ordering::Relaxed) {
                    times.attacked.0.push(ask(&client, attacked).await);
                    sleep(PAUSE).await;
                    times.alone.0.push(ask(&client, alone).await);
                    sleep(PAUSE).await;
                }
                times
            })
        });
        Self { thread, is_over }
    }

    /// Stops the client; returns the response times. Fails if a query was not answered.
    pub fn end(self) -> ResponseTimes {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the background client does not panic")
    }
}

async fn ask(client: &reqwest::Client, address: SocketAddr) -> Duration {
    let since = Instant::now();
    let asking = client.post(format!("http://{address}/graphql")).json(&json!({"query": "{ cursor }"})).send();
    let answer: Value = with_timeout("a response", async { asking.await?.json().await }).await.expect("a response");
    assert!(answer["data"]["cursor"].is_string(), "{answer}");
    since.elapsed()
}

impl fmt::Display for Times {
    /// The median and the 99th percentile, in milliseconds.
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
