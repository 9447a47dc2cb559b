//! The synchronization primitives of the admission queue. The model in `tests/loom/` compiles the same source with those
//! of loom.

pub(super) use std::sync::atomic::{AtomicU8, Ordering};
pub(super) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) use futures_util::task::AtomicWaker;
pub(super) use tokio::sync::Notify;
