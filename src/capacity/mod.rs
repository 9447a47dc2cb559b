//! Shared capacity, divided fairly: however much one caller asks for, or all anonymous clients together, others get
//! their turn. The threads that read, the turns of mutations and those of passwords are all divided by this.
//! Also rate limits, for callers and for connections.

mod fair;
mod rate_limiter;
mod recent_map;
mod turns;

pub use fair::{Fair, Full, Share};
pub use rate_limiter::{Rate, RateLimiter, Throttle};
pub use recent_map::RecentMap;
pub use turns::{Turn, Turns};
