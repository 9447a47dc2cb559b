//! The admission queue: its task admits connections, while their own tasks are woken and polled.

#[path = "../../../src/web/admission/queue.rs"]
mod queue;
mod sync;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use loom::future::block_on;
use loom::sync::atomic::AtomicBool;
use loom::thread;

use crate::check;
use queue::{Admission, AdmissionQueue};
use sync::{Arc, AtomicWaker, Ordering};

/// A condition that one thread sets and another one waits for.
#[derive(Default)]
struct Flag {
    is_set: AtomicBool,
    waker: AtomicWaker,
}

impl Flag {
    fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn poll(&self, context: &std::task::Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.is_set.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Runs the queue's task until `end` is set.
fn run(queue: Arc<AdmissionQueue>, end: &Flag) {
    let mut running = pin!(queue.run());
    block_on(poll_fn(|context| {
        // The queue's task never ends by itself.
        let _: Poll<()> = running.as_mut().poll(context);
        end.poll(context)
    }));
}

/// If the queue does not admit the connection, or does not wake it, loom reports a deadlock.
#[test]
fn a_connection_is_polled_whenever_data_arrives_and_without_the_queue_once_it_is_established() {
    check(2, || {
        let (queue, data, end) = (Arc::new(AdmissionQueue::default()), Arc::<Flag>::default(), Arc::<Flag>::default());
        let more_data = Arc::<Flag>::default();
        let admitting = thread::spawn({
            let (queue, end) = (Arc::clone(&queue), Arc::clone(&end));
            move || run(queue, &end)
        });
        let connection = thread::spawn({
            let (data, more_data, admission) = (Arc::clone(&data), Arc::clone(&more_data), Arc::<Admission>::default());
            let serving = {
                let admission = Arc::clone(&admission);
                async move {
                    poll_fn(|context| data.poll(context)).await;
                    admission.set_established();
                    end.set();
                    poll_fn(|context| more_data.poll(context)).await;
                }
            };
            move || block_on(queue.throttle(admission, serving))
        });
        data.set();
        admitting.join().expect("the queue");
        // The queue's task has ended: it admits no connection any more.
        more_data.set();
        connection.join().expect("the connection");
    });
}
