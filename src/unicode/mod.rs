//! Text as people type it: how two texts are compared, what a name may consist of, whom a text mentions, and what
//! makes a password acceptable. Pure functions; the tables come from the `unicode-*` crates and `caseless`.

mod characters;
mod folding;
mod mentions;
mod names;
mod passwords;

pub use folding::{Likeness, fold, is_same, isolated, look, nfc, skeleton};
pub use mentions::{Mention, mentions};
pub use names::{label, username};
pub use passwords::{password, prepared};
