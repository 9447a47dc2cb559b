//! Shared capacity, divided fairly: however much one caller asks for, or all anonymous clients together, others get
//! their turn. The threads that read, the turns of mutations and those of passwords are all divided by this.

mod cache;
mod fair;
mod turns;

pub use cache::ByteCache;
pub use fair::{Fair, Full, Share};
pub use turns::{Turn, Turns};
