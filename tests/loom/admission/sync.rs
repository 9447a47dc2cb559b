//! The primitives of loom, in the place of `src/web/admission/sync.rs`.

use std::future::poll_fn;
// Methods can take `self` in the `Arc` of the standard library only.
pub(super) use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};

pub(super) use loom::sync::atomic::{AtomicU8, Ordering};
pub(super) use loom::sync::{Mutex, MutexGuard};

/// The waker of `futures_util`, whose function takes a reference.
#[derive(Default)]
pub(super) struct AtomicWaker(loom::future::AtomicWaker);

impl AtomicWaker {
    pub(super) fn register(&self, waker: &Waker) {
        self.0.register_by_ref(waker);
    }

    pub(super) fn wake(&self) {
        self.0.wake();
    }
}

/// `Notify` of tokio, for one waiting task.
#[derive(Default)]
pub(super) struct Notify {
    is_notified: Mutex<bool>,
    waker: AtomicWaker,
}

impl Notify {
    pub(super) fn notify_one(&self) {
        *self.is_notified.lock().expect("the flag") = true;
        self.waker.wake();
    }

    pub(super) async fn notified(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            let is_notified = std::mem::take(&mut *self.is_notified.lock().expect("the flag"));
            if is_notified { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
