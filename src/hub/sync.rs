//! The synchronization primitives of the hub. The model in `tests/loom/` compiles the same sources with those of loom.

pub(super) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
pub(super) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
