//! The keys of one issuer: fetched in the background, and again for a token with an unknown key.
//!
//! One task fetches, so there is one fetch at a time, and a pause after each. Requests only wake the task, and wait for it
//! for a short time. So an issuer that does not answer delays only the tokens whose key is unknown.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{Notify, watch};

use super::key_set::KeySet;
use super::web_client::{WebClient, check_address};
use crate::model::Counter;

/// Minimum time between two fetches.
const MIN_PAUSE: Duration = Duration::from_secs(10);
/// How often the keys are fetched without a reason.
const REFRESH: Duration = Duration::from_secs(15 * 60);
/// How soon they are fetched again after a failure.
const RETRY: Duration = Duration::from_secs(60);
/// Maximum time that a request waits for a fetch.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// The largest JWK Set, and the largest discovery document, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 << 10;

/// The keys of one issuer.
#[derive(Debug)]
pub struct KeySource {
    /// The issuer, as its tokens name it.
    pub issuer: String,
    /// The address of the keys; `None`: the discovery document has it.
    jwks_url: Option<String>,
    client: WebClient,
    keys: RwLock<Option<Arc<KeySet>>>,
    phase: watch::Sender<FetchPhase>,
    wanted: Notify,
    /// Fetches that succeeded.
    pub fetched: Counter,
    /// Fetches that failed.
    pub failed: Counter,
}

/// What the task that fetches is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FetchPhase {
    Fetching,
    /// The pause after a fetch has not ended yet.
    Pausing,
    /// A request may start a fetch.
    Ready,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl KeySource {
    /// A source without keys, until [`Self::run`] has fetched them.
    pub fn new(issuer: String, jwks_url: Option<String>, client: WebClient) -> Self {
        let (phase, _) = watch::channel(FetchPhase::Fetching);
        let (keys, wanted) = (RwLock::default(), Notify::new());
        let (fetched, failed) = (Counter::default(), Counter::default());
        Self { issuer, jwks_url, client, keys, phase, wanted, fetched, failed }
    }

    /// The newest keys; `None` if no fetch has succeeded yet. They are kept while the issuer cannot be reached.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys, because a token has an unknown one. Returns without a fetch if the last one was within
    /// [`MIN_PAUSE`], and after [`MAX_WAIT`] at the latest.
    pub async fn refresh(&self) {
        let mut phase = self.phase.subscribe();
        match *phase.borrow_and_update() {
            FetchPhase::Pausing => return,
            FetchPhase::Ready => self.wanted.notify_one(),
            FetchPhase::Fetching => {}
        }
        let ended = phase.wait_for(|phase| *phase == FetchPhase::Pausing);
        drop(tokio::time::timeout(MAX_WAIT, ended).await);
    }

    /// Fetches the keys now, then from time to time, and when a request asks for it. Never returns.
    pub async fn run(self: Arc<Self>) {
        let mut is_failing = false;
        loop {
            self.phase.send_replace(FetchPhase::Fetching);
            let fetched = self.fetch().await;
            let pause = if fetched.is_ok() { REFRESH.mul_f64(rand::random_range(0.9..1.1)) } else { RETRY };
            self.note(fetched, &mut is_failing);
            self.phase.send_replace(FetchPhase::Pausing);
            tokio::time::sleep(MIN_PAUSE).await;
            self.phase.send_replace(FetchPhase::Ready);
            drop(tokio::time::timeout(pause.saturating_sub(MIN_PAUSE), self.wanted.notified()).await);
        }
    }

    /// Stores fetched keys. An issuer that cannot be reached is logged once until it answers again.
    fn note(&self, fetched: Result<KeySet, String>, is_failing: &mut bool) {
        let issuer = &self.issuer;
        match fetched {
            Ok(keys) => {
                self.fetched.count();
                let number = keys.len();
                let before = self.keys.write().unwrap_or_else(PoisonError::into_inner).replace(Arc::new(keys));
                if before.is_none() || *is_failing {
                    tracing::info!(issuer, keys = number, "fetched the keys of an issuer");
                }
                *is_failing = false;
            }
            Err(error) => {
                self.failed.count();
                if *is_failing {
                    tracing::debug!(issuer, error, "cannot fetch the keys of an issuer");
                } else {
                    tracing::warn!(issuer, error, "cannot fetch the keys of an issuer; the known keys stay valid");
                }
                *is_failing = true;
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        KeySet::parse(&self.client.get(&url, MAX_DOCUMENT_BYTES).await?).map_err(|error| format!("{url}: {error}"))
    }

    /// The address of the keys in the discovery document (OpenID Connect Discovery 1.0).
    async fn discover(&self) -> Result<String, String> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let document = self.client.get(&url, MAX_DOCUMENT_BYTES).await?;
        let Discovery { issuer, jwks_uri } =
            serde_json::from_slice(&document).map_err(|error| format!("{url}: not a discovery document: {error}"))?;
        // Section 4.3: otherwise one issuer could pretend to be another one.
        if issuer != self.issuer {
            return Err(format!("{url}: names the issuer {issuer:?}: set TIDINGS_OIDC_ISSUERS to exactly this text"));
        }
        check_address(&jwks_uri)?;
        Ok(jwks_uri)
    }
}
