//! The primitives of loom, in the place of `src/hub/sync.rs`.

pub(super) use std::sync::PoisonError;

pub(super) use loom::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
pub(super) use loom::sync::{Arc, Mutex, MutexGuard};
