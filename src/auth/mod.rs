//! Authentication: password hashes, session tokens, tokens of other issuers, and limits on attempts.
//!
//! This layer does not know the database, GraphQL or sockets, reads no settings and stores nothing on disk. It talks to
//! other issuers over the network, and to nothing else. Its callers
//! (`board` and the command line) pass in hashes, the secret and the time. No error and no log line of this module
//! contains a password, a hash, a token or a key.

mod api_key_secret;
mod issuers;
mod one_time_token;
mod passwords;
mod refresh_tokens;
mod sign_in_limiter;
mod tokens;

pub use api_key_secret::{api_key_digest, generate_api_key_secret, is_api_key_secret};
pub use issuers::{
    ClaimMapping, CodeFlow, CodeFlowSettings, ExternalProfile, FailedCheck, IssuerCounts, SignInStart, TICKET_LIFETIME,
    TrustSettings, TrustedIssuers, VerifiedToken,
};
pub use one_time_token::{generate_one_time_token, one_time_token_digest};
pub use passwords::{PasswordPermit, Passwords, generate_password};
pub use refresh_tokens::RefreshToken;
pub use sign_in_limiter::{SignInLimiter, WINDOW};
pub use tokens::{Claims, IssuedToken, TokenSubject, Tokens, generate_secret, is_generated_secret};
