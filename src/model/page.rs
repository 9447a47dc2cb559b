//! Pagination: the request for a page of a list, and the page that a query returns.

use super::ChannelId;

/// A request for a page of a list: at most `limit` items between two keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<K> {
    /// The maximum number of items.
    pub limit: usize,
    /// Only items after this key.
    pub after: Option<K>,
    /// Only items before this key.
    pub before: Option<K>,
    /// Whether the page holds the last items of that range instead of the first.
    pub from_end: bool,
}

impl<K> PageRequest<K> {
    /// The first `limit` items of the list.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self { limit, after: None, before: None, from_end: false }
    }

    /// The same request, with both keys converted by `key`.
    pub fn map<L>(&self, key: impl Fn(&K) -> L) -> PageRequest<L> {
        PageRequest {
            limit: self.limit,
            after: self.after.as_ref().map(&key),
            before: self.before.as_ref().map(&key),
            from_end: self.from_end,
        }
    }
}

/// The sort key of the list of channels. The id is part of it, because a viewer may see two channels of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelKey {
    /// The channel's name.
    pub name: String,
    /// The channel's id.
    pub id: ChannelId,
}

/// A page of a list, in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether the list goes on beyond this page, in the direction in which the page was read.
    pub more: bool,
}
