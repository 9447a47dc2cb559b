//! Fair sharing of bounded capacity between callers. One busy caller, or all anonymous clients together, cannot keep
//! other callers from being served. Read threads, mutations and password hashing are shared through this module.

mod cache;
mod fair;
mod turns;

pub use cache::ByteCache;
pub use fair::{Fair, Full, Share};
pub use turns::{Turn, Turns};
