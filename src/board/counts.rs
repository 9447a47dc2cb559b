//! Counters of sign-in attempts, for the metrics page.

use crate::error::{Error, Result};
use crate::model::Counter;

/// Sign-in attempts by their result.
#[derive(Debug, Default)]
pub struct SignInCounts {
    /// Sign-in attempts with the right password, which started a session.
    pub signed_in: Counter,
    /// Attempts with a wrong username or password, or for a disabled account.
    pub wrong: Counter,
    /// Attempts that a rate limit rejected.
    pub limited: Counter,
}

impl SignInCounts {
    /// Counts an attempt by its result.
    pub(super) fn sign_in<T>(&self, result: &Result<T>) {
        if let Err(error) = result {
            // The message is not logged: it may quote the username.
            tracing::debug!(code = error.code(), "a sign-in was refused");
        }
        match result {
            Ok(_) => self.signed_in.count(),
            Err(Error::Unauthenticated(_)) => self.wrong.count(),
            Err(Error::RateLimited { .. }) => self.limited.count(),
            Err(_) => {}
        }
    }
}
