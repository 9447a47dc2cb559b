//! Rules for text that people type: comparison of texts, allowed characters of names, mentions, and acceptable
//! passwords. All functions are pure. The Unicode tables come from the `unicode-*` crates and `caseless`.

mod characters;
mod folding;
mod mentions;
mod names;
mod passwords;

pub use folding::{NameForms, bidi_isolated, fold, is_same, look, nfc, skeleton};
pub use mentions::{Mention, mentions};
pub use names::{label, username};
pub use passwords::{normalized_password, password};
