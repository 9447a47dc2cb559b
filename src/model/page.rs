//! Pages of lists.

use super::ChannelId;

/// Which part of a list is wanted: at most `limit` items on one side of an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window<K> {
    /// At most so many.
    pub limit: usize,
    /// Only what comes after this key.
    pub after: Option<K>,
    /// Only what comes before this key.
    pub before: Option<K>,
    /// The last items of that range instead of the first.
    pub from_end: bool,
}

impl<K> Window<K> {
    /// The first `limit` items.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self { limit, after: None, before: None, from_end: false }
    }

    /// The same part, its edges named by another key.
    pub fn map<L>(&self, key: impl Fn(&K) -> L) -> Window<L> {
        Window {
            limit: self.limit,
            after: self.after.as_ref().map(&key),
            before: self.before.as_ref().map(&key),
            from_end: self.from_end,
        }
    }
}

/// What the list of channels is ordered by: two that one viewer may read can have the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelKey {
    /// The name.
    pub name: String,
    /// The id.
    pub id: ChannelId,
}

/// Part of a list, in the list's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// There are more beyond the side that was read towards.
    pub more: bool,
}
