//! Signing in at another issuer, for the web client: a browser returns from the issuer, and gets a session of the server.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Client;
use super::external_users::ExternalUsers;
use super::sessions::UserSessions;
use crate::auth::{CodeFlow, SignInStart};
use crate::capacity::RateLimiter;
use crate::error::{Error, Result};
use crate::model::{Timestamp, client_prefix};

/// How many sign-ins may wait for the issuer at the same time.
const MAX_AT_ONCE: usize = 32;
/// How long the page may take to begin its session with the code that it gets.
const HANDOVER: Duration = Duration::from_secs(120);

/// The use cases of signing in at another issuer.
pub struct OidcSignIn {
    flow: CodeFlow,
    users: Arc<ExternalUsers>,
    sessions: Arc<UserSessions>,
    /// Limits sign-ins per address.
    rate: RateLimiter<IpAddr>,
    waiting: Semaphore,
}

impl OidcSignIn {
    pub(super) fn new(
        (flow, rate): (CodeFlow, RateLimiter<IpAddr>),
        users: Arc<ExternalUsers>,
        sessions: Arc<UserSessions>,
    ) -> Self {
        Self { flow, users, sessions, rate, waiting: Semaphore::new(MAX_AT_ONCE) }
    }

    /// The host of the issuer, to name it to users.
    #[must_use]
    pub fn issuer_host(&self) -> &str {
        self.flow.issuer_host()
    }

    /// Begins a sign-in of a client at this address.
    ///
    /// # Errors
    /// `RATE_LIMITED` after too many sign-ins from this address. `UNAVAILABLE` if the server is busy or the issuer does
    /// not answer.
    pub async fn start(&self, from: IpAddr) -> Result<SignInStart> {
        self.rate.check(client_prefix(from))?;
        let _slot = self.waiting.try_acquire().map_err(|_| busy())?;
        self.flow.start(Timestamp::now()).await
    }

    /// Finishes a sign-in with what the issuer has sent back. `ticket` is what the browser has kept. Returns a code with
    /// which the page begins its session: `renewSession` takes it, once and within two minutes.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if this browser has not begun the sign-in, the issuer refuses it, or the user is disabled.
    /// `RATE_LIMITED` after too many sign-ins from this address. `UNAVAILABLE` if the server is busy, or the issuer or the
    /// database does not answer.
    pub async fn finish(&self, client: Client<'_>, ticket: &str, state: &str, code: &str) -> Result<String> {
        self.rate.check(client_prefix(client.address))?;
        let _slot = self.waiting.try_acquire().map_err(|_| busy())?;
        let verified = self.flow.finish(ticket, state, code, Timestamp::now()).await?;
        let user = self.users.sign_in(&verified).await?;
        self.sessions.hand_over(user, client.user_agent, HANDOVER).await
    }
}

fn busy() -> Error {
    Error::Unavailable("the server is busy; try again".into())
}
