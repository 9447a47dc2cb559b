//! Accounts and names, the text that clients send, and what is deleted.

mod assignees;
mod deleted_users;
mod deletion;
mod invites;
mod names;
mod nul_character;
mod password_reset;
mod private_names;
mod refresh_tokens;
mod sessions;
mod updates;
mod users;
