//! What the board means: the use cases, who may see what, and how changes reach their readers.

mod access;
mod feed;
mod tail;

pub use access::{Access, Standing, Viewer};
pub use feed::{Feed, Item, Selection};
pub use tail::{Progress, Tail};
