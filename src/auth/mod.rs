//! Who somebody is: passwords, tokens, and how often somebody may try.
//!
//! A pillar of its own: it knows no database, no GraphQL and no socket, reads no settings, and
//! keeps nothing on disk. `board` (and the command line) bring the hash, the secret and the time.
//! No error and no log line made here contains a password, a hash, a token or a key.

mod passwords;
mod sign_in_limiter;
mod tokens;

pub use passwords::{PasswordTurn, Passwords, generate_password, hash_blocking};
pub use sign_in_limiter::{SignInLimiter, WINDOW};
pub use tokens::{Claims, IssuedToken, Tokens, is_made_secret, make_secret};
