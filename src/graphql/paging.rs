//! Lists as Relay connections: arguments in, edges out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::error::{Error, Result};
use crate::model::{ChannelKey, Window};

/// The page size if none is named.
const DEFAULT: i32 = 20;
/// The largest page.
const MAX: i32 = 100;

/// The longest cursor of an edge, in bytes: the longest name as base64, and some more.
const MAX_CURSOR: usize = 4_096;

/// What a connection field was asked for.
#[derive(Debug, Clone, Default)]
pub struct PageArgs {
    /// The first so many.
    pub first: Option<i32>,
    /// Behind this edge.
    pub after: Option<String>,
    /// The last so many.
    pub last: Option<i32>,
    /// Before this edge.
    pub before: Option<String>,
}

impl PageArgs {
    /// The window of a list whose edges are keyed by `K` and named by `list`.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` naming the argument.
    pub fn window<K: EdgeKey>(&self, list: &'static str) -> Result<Window<K>> {
        if self.first.is_some() && self.last.is_some() {
            return Err(Error::input("last", "use either first or last"));
        }
        let (field, limit) = match (self.first, self.last) {
            (_, Some(last)) => ("last", last),
            (first, None) => ("first", first.unwrap_or(DEFAULT)),
        };
        if !(1..=MAX).contains(&limit) {
            return Err(Error::input(field, format!("{field} must be between 1 and {MAX}")));
        }
        Ok(Window {
            limit: usize::try_from(limit).unwrap_or(1),
            after: key("after", list, self.after.as_deref())?,
            before: key("before", list, self.before.as_deref())?,
            from_end: self.last.is_some(),
        })
    }
}

/// What a list is ordered by.
pub trait EdgeKey: Sized {
    /// As text.
    fn write(&self) -> String;
    /// From text.
    fn read(text: &str) -> Option<Self>;
}

impl EdgeKey for String {
    fn write(&self) -> String {
        self.clone()
    }

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl EdgeKey for ChannelKey {
    fn write(&self) -> String {
        format!("{}:{}", self.id, self.name)
    }

    fn read(text: &str) -> Option<Self> {
        let (id, name) = text.split_once(':')?;
        Some(Self { id: id.parse().ok()?, name: name.to_owned() })
    }
}

macro_rules! id_keys {
    ($($id:ident),+) => {$(
        impl EdgeKey for crate::model::$id {
            fn write(&self) -> String {
                self.0.to_string()
            }

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )+};
}

id_keys!(MessageId, CommentId, TemplateId, NotificationId);

/// The cursor of an edge: `e` and the list's name with the key, so that no list takes another's.
pub fn edge_cursor(list: &'static str, key: &impl EdgeKey) -> String {
    format!("e{}", BASE64.encode(format!("{list}:{}", key.write())))
}

/// Whether this is the cursor of an edge.
pub fn is_edge_cursor(text: &str) -> bool {
    text.strip_prefix('e').is_some_and(|rest| BASE64.decode(rest).is_ok())
}

fn key<K: EdgeKey>(field: &'static str, list: &'static str, text: Option<&str>) -> Result<Option<K>> {
    let Some(text) = text else { return Ok(None) };
    let read = || {
        let text = Some(text).filter(|text| text.len() <= MAX_CURSOR)?;
        let decoded = String::from_utf8(BASE64.decode(text.strip_prefix('e')?).ok()?).ok()?;
        // PostgreSQL cannot compare it, and no list has such a key.
        if decoded.contains('\0') {
            return None;
        }
        K::read(decoded.strip_prefix(list)?.strip_prefix(':')?)
    };
    let wrong = || {
        let hint = if text.parse::<crate::model::Cursor>().is_ok() { ": this is a cursor of the log" } else { "" };
        Error::input(field, format!("not an edge cursor of this list{hint}"))
    };
    read().map(Some).ok_or_else(wrong)
}

/// Where a page lies in its list.
#[derive(Debug, Clone, juniper::GraphQLObject)]
pub struct PageInfo {
    /// There are more items behind the last edge.
    pub has_next_page: bool,
    /// There are more items before the first edge.
    pub has_previous_page: bool,
    /// The cursor of the first edge.
    pub start_cursor: Option<String>,
    /// The cursor of the last edge.
    pub end_cursor: Option<String>,
}

/// Makes the types of one connection.
macro_rules! connection {
    ($connection:ident, $edge:ident, $node:ty, $name:literal, $edge_name:literal, $list:literal) => {
        #[doc = concat!("A page of a list: ", $list, ".")]
        pub struct $connection {
            edges: $crate::graphql::list::List<$edge>,
            info: $crate::graphql::paging::PageInfo,
        }

        #[doc = concat!("A place in a list: ", $list, ".")]
        #[derive(Clone)]
        pub struct $edge {
            cursor: String,
            node: $node,
        }

        impl $connection {
            /// The page of a window.
            pub fn new<T, K: $crate::graphql::paging::EdgeKey>(
                page: $crate::model::Page<T>,
                window: &$crate::model::Window<K>,
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
        #[juniper::graphql_object(context = $crate::graphql::context::Ctx, name = $name)]
        impl $connection {
            /// The places of the page.
            fn edges(&self) -> &$crate::graphql::list::List<$edge> {
                &self.edges
            }

            /// The items of the page, without their places.
            fn nodes(&self) -> $crate::graphql::list::List<$node> {
                self.edges.iter().map(|edge| edge.node.clone()).collect()
            }

            /// Where the log stood in the snapshot that the page was read in: subscribe `after` it to keep the list current.
            /// A client that caches keeps it with the list; `Query.cursor` is one record for all queries there.
            fn log_cursor(
                &self,
                ctx: &$crate::graphql::context::Ctx,
            ) -> $crate::error::Result<$crate::graphql::scalars::Cursor> {
                ctx.log_head().map(Into::into)
            }

            /// Where the page lies in the list.
            fn page_info(&self) -> &$crate::graphql::paging::PageInfo {
                &self.info
            }
        }

        /// An item of a list, and its place in it.
        #[juniper::graphql_object(context = $crate::graphql::context::Ctx, name = $edge_name)]
        impl $edge {
            /// Names this place for `after` and `before`; it is not a cursor of the log.
            fn cursor(&self) -> &str {
                &self.cursor
            }

            /// The item.
            fn node(&self) -> &$node {
                &self.node
            }
        }
    };
}

pub(crate) use connection;
