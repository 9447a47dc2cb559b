//! Authentication: password hashes, session tokens, and limits on attempts.
//!
//! This layer does not know the database, GraphQL or sockets, reads no settings and stores nothing on disk. Its callers
//! (`board` and the command line) pass in hashes, the secret and the time. No error and no log line of this module
//! contains a password, a hash, a token or a key.

mod attempts;
mod budget;
mod passwords;
mod recent;
mod tokens;

pub use attempts::{Attempts, WINDOW};
pub use budget::Budget;
pub use passwords::{PasswordTurn, Passwords, generate_password};
pub use tokens::{Claims, IssuedToken, Tokens, generate_secret, is_generated_secret};
