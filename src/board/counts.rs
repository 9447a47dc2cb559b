//! What the board counts, for operators.

use crate::error::{Error, Result};
use crate::model::Counter;

/// How attempts to sign in ended.
#[derive(Debug, Default)]
pub struct Counts {
    /// In a session.
    pub signed_in: Counter,
    /// The username or the password was wrong, or the user is disabled.
    pub wrong: Counter,
    /// There were too many of them.
    pub limited: Counter,
}

impl Counts {
    /// One attempt that ended so.
    pub(super) fn sign_in<T>(&self, outcome: &Result<T>) {
        if let Err(error) = outcome {
            tracing::debug!(code = error.code(), reason = %error, "a sign-in was refused");
        }
        match outcome {
            Ok(_) => self.signed_in.count(),
            Err(Error::Unauthenticated(_)) => self.wrong.count(),
            Err(Error::RateLimited { .. }) => self.limited.count(),
            Err(_) => {}
        }
    }
}
