//! Fair sharing of bounded capacity between callers. One busy caller, or all anonymous clients together, cannot keep
//! other callers from being served. Read threads, mutations and password hashing are shared through this module.
//! The module also owns the rate limiters for callers and connections, and a cache bounded in bytes.

mod byte_cache;
mod fair_queue;
mod rate_limiter;
mod recent_map;
mod semaphore;

pub use byte_cache::ByteCache;
pub use fair_queue::{FairLimits, FairQueue, QueueFull};
pub use rate_limiter::{Rate, RateLimiter, Throttle};
pub use recent_map::RecentMap;
pub use semaphore::{FairPermit, FairSemaphore};
