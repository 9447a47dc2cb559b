//! Accounts and names, the text that clients send, and what is deleted.

mod assignees;
mod deletion;
mod names;
mod nul_character;
mod private_names;
mod sessions;
mod updates;
