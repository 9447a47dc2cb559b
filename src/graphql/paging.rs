//! Relay connections: reads the page arguments, encodes and decodes edge cursors, and defines the connection types.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::error::{Error, Result};
use crate::model::{ChannelKey, PageRequest};

/// The page size without `first` and `last`, in items.
const DEFAULT_PAGE_SIZE: i32 = 20;
/// The largest page size, in items.
const MAX_PAGE_SIZE: i32 = 100;

/// The longest edge cursor that is decoded, in bytes. The base64 form of the longest name is shorter.
const MAX_EDGE_CURSOR_BYTES: usize = 4_096;

/// The page arguments of a connection field.
#[derive(Debug, Clone, Default)]
pub struct PageArgs {
    /// The maximum number of items, counted from the start: 1 to 100.
    pub first: Option<i32>,
    /// The page contains only items behind this edge cursor.
    pub after: Option<String>,
    /// The maximum number of items, counted from the end: 1 to 100.
    pub last: Option<i32>,
    /// The page contains only items before this edge cursor.
    pub before: Option<String>,
}

impl PageArgs {
    /// Converts the arguments into a window of the list `list`, whose items are ordered by `K`.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` naming the argument, if it is out of range, contradicts another argument, or is not an edge
    /// cursor of this list.
    pub fn window<K: EdgeKey>(&self, list: &'static str) -> Result<PageRequest<K>> {
        if self.first.is_some() && self.last.is_some() {
            return Err(Error::input("last", "use either first or last"));
        }
        let (field, limit) = match (self.first, self.last) {
            (_, Some(last)) => ("last", last),
            (first, None) => ("first", first.unwrap_or(DEFAULT_PAGE_SIZE)),
        };
        if !(1..=MAX_PAGE_SIZE).contains(&limit) {
            return Err(Error::input(field, format!("{field} must be between 1 and {MAX_PAGE_SIZE}")));
        }
        Ok(PageRequest {
            limit: usize::try_from(limit).unwrap_or(1),
            after: decode_edge_cursor("after", list, self.after.as_deref())?,
            before: decode_edge_cursor("before", list, self.before.as_deref())?,
            from_end: self.last.is_some(),
        })
    }
}

/// The sort key of a list. An edge cursor contains the key of its item.
pub trait EdgeKey: Sized {
    /// The text form of the key.
    fn encode(&self) -> String;
    /// Reads the key from its text form; `None` if the text is not a key.
    fn decode(text: &str) -> Option<Self>;
}

impl EdgeKey for String {
    fn encode(&self) -> String {
        self.clone()
    }

    fn decode(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl EdgeKey for ChannelKey {
    fn encode(&self) -> String {
        format!("{}:{}", self.id, self.name)
    }

    fn decode(text: &str) -> Option<Self> {
        let (id, name) = text.split_once(':')?;
        Some(Self { id: id.parse().ok()?, name: name.to_owned() })
    }
}

macro_rules! id_keys {
    ($($id:ident),+) => {$(
        impl EdgeKey for crate::model::$id {
            fn encode(&self) -> String {
                self.0.to_string()
            }

            fn decode(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )+};
}

impl EdgeKey for crate::model::Seq {
    fn encode(&self) -> String {
        self.0.to_string()
    }

    fn decode(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

id_keys!(MessageId, CommentId, TemplateId, NotificationId);

/// The cursor of an edge: `e` and the base64 of the list's name and the item's key. With the name in it, the cursor is
/// valid for this list only.
pub fn edge_cursor(list: &'static str, key: &impl EdgeKey) -> String {
    format!("e{}", BASE64.encode(format!("{list}:{}", key.encode())))
}

/// Whether a text has the form of an edge cursor, of any list.
pub fn is_edge_cursor(text: &str) -> bool {
    text.strip_prefix('e').is_some_and(|rest| BASE64.decode(rest).is_ok())
}

fn decode_edge_cursor<K: EdgeKey>(field: &'static str, list: &'static str, text: Option<&str>) -> Result<Option<K>> {
    let Some(text) = text else { return Ok(None) };
    let decode = || {
        let text = Some(text).filter(|text| text.len() <= MAX_EDGE_CURSOR_BYTES)?;
        let decoded = String::from_utf8(BASE64.decode(text.strip_prefix('e')?).ok()?).ok()?;
        // PostgreSQL refuses U+0000 in a text, and no list has a key with this character.
        if decoded.contains('\0') {
            return None;
        }
        K::decode(decoded.strip_prefix(list)?.strip_prefix(':')?)
    };
    let invalid = || {
        let hint = if text.parse::<crate::model::Cursor>().is_ok() { ": this is a cursor of the log" } else { "" };
        Error::input(field, format!("{field} is not an edge cursor of this list{hint}"))
    };
    decode().map(Some).ok_or_else(invalid)
}

/// The position of a page in its list.
#[derive(Debug, Clone, juniper::GraphQLObject)]
pub struct PageInfo {
    /// Whether the list has more items behind the last edge.
    pub has_next_page: bool,
    /// Whether the list has more items before the first edge.
    pub has_previous_page: bool,
    /// The cursor of the first edge. `null` if the page is empty.
    pub start_cursor: Option<String>,
    /// The cursor of the last edge. `null` if the page is empty.
    pub end_cursor: Option<String>,
}

/// Defines the GraphQL types of one connection and of its edges. `$list` is the name of the list in edge cursors. `$scalar`
/// is the scalar value type, for a node that has a field of type `JSON`.
macro_rules! connection {
    ($connection:ident, $edge:ident, $node:ty, $name:literal, $edge_name:literal, $list:literal $(, $scalar:ident)?) => {
        #[doc = concat!("A page of a list: ", $list, ".")]
        pub struct $connection {
            edges: $crate::graphql::indexed_list::List<$edge>,
            info: $crate::graphql::paging::PageInfo,
        }

        #[doc = concat!("An item of a list with its cursor: ", $list, ".")]
        #[derive(Clone)]
        pub struct $edge {
            cursor: String,
            node: $node,
        }

        impl $connection {
            /// Converts the items of a page that was loaded for `window`. `key` is the sort key of an item.
            pub fn new<T, K: $crate::graphql::paging::EdgeKey>(
                page: $crate::model::Page<T>,
                window: &$crate::model::PageRequest<K>,
                key: impl Fn(&T) -> K,
                node: impl Fn(T) -> $node,
            ) -> Self {
                let edges: Vec<$edge> = page
                    .items
                    .into_iter()
                    .map(|item| $edge {
                        cursor: $crate::graphql::paging::edge_cursor($list, &key(&item)),
                        node: node(item),
                    })
                    .collect();
                let info = $crate::graphql::paging::PageInfo {
                    has_next_page: if window.from_end { window.before.is_some() } else { page.more },
                    has_previous_page: if window.from_end { page.more } else { window.after.is_some() },
                    start_cursor: edges.first().map(|edge| edge.cursor.clone()),
                    end_cursor: edges.last().map(|edge| edge.cursor.clone()),
                };
                Self { edges: edges.into_iter().collect(), info }
            }
        }

        /// A page of a list.
        #[juniper::graphql_object(context = $crate::graphql::context::Ctx, name = $name $(, scalar = $scalar)?)]
        impl $connection {
            /// The edges of the page. Each has an item and its cursor.
            fn edges(&self) -> &$crate::graphql::indexed_list::List<$edge> {
                &self.edges
            }

            /// The items of the page, without their cursors.
            fn nodes(&self) -> $crate::graphql::indexed_list::List<$node> {
                self.edges.iter().map(|edge| edge.node.clone()).collect()
            }

            /// The position of the log in the snapshot that the page was read from. Subscribe `after` it to keep the
            /// list current. A client with a normalized cache uses this field, because it is stored with the list.
            fn log_cursor(
                &self,
                ctx: &$crate::graphql::context::Ctx,
            ) -> $crate::error::Result<$crate::graphql::scalars::Cursor> {
                ctx.log_head().map(Into::into)
            }

            /// The position of the page in the list.
            fn page_info(&self) -> &$crate::graphql::paging::PageInfo {
                &self.info
            }
        }

        /// An item of a list, with the cursor of its place.
        #[juniper::graphql_object(context = $crate::graphql::context::Ctx, name = $edge_name $(, scalar = $scalar)?)]
        impl $edge {
            /// The cursor of the item's place in the list, for `after` and `before`. It is not a cursor of the log.
            fn cursor(&self) -> &str {
                &self.cursor
            }

            /// The item at this place of the list.
            fn node(&self) -> &$node {
                &self.node
            }
        }
    };
}

pub(crate) use connection;
