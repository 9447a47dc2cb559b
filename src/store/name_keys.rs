//! The columns by which names are compared, as they are stored.

use crate::unicode;

/// The skeleton of a name, as it is stored. Never empty: an empty column means "not computed yet".
pub(super) fn stored_skeleton(name: &str) -> String {
    let skeleton = unicode::skeleton(name);
    if skeleton.is_empty() { "\u{FFFD}".into() } else { skeleton }
}

/// The result of [`unicode::look`], as it is stored. Never empty: an empty column means "not computed yet".
pub(super) fn stored_look(name: &str) -> String {
    let look = unicode::look(name);
    if look.is_empty() { "\u{FFFD}".into() } else { look }
}
