//! Who somebody is: passwords, tokens, and how often somebody may try.
//!
//! A pillar of its own: it knows no database, no GraphQL and no socket, reads no settings, and
//! keeps nothing on disk. `board` (and the command line) bring the hash, the secret and the time.
//! No error and no log line made here contains a password, a hash, a token or a key.

mod attempts;
mod budget;
mod passwords;
mod recent;
mod tokens;

pub use attempts::{Attempts, WINDOW};
pub use budget::Budget;
pub use passwords::{PasswordTurn, Passwords, generate_password, hash_blocking};
pub use tokens::{Claims, IssuedToken, Tokens, is_made_secret, make_secret};
