//! Unit tests of the admission queue. `tests/loom/` checks the interleavings.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::queue::BATCH;
use super::*;

/// A single-threaded runtime, so that the test observes every round of the scheduler.
#[tokio::test]
async fn established_connections_do_not_wait_for_a_burst_of_new_ones() {
    const MANY: usize = 1_000;
    let (admissions, polls) = (Arc::new(AdmissionQueue::default()), Arc::new(AtomicUsize::new(0)));
    let queue = tokio::spawn(Arc::clone(&admissions).run());
    let connect = || {
        let (admissions, polls) = (Arc::clone(&admissions), Arc::clone(&polls));
        tokio::spawn(async move {
            let future = async {
                for _ in 0..3 {
                    polls.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            };
            admissions.throttle(Arc::default(), future).await;
        })
    };
    let connections: Vec<_> = (0..MANY).map(|_| connect()).collect();
    // This task stands for an established connection that has work in every round.
    let (mut before, mut most) = (0, 0);
    while polls.load(Ordering::Relaxed) < 3 * MANY {
        tokio::task::yield_now().await;
        let now = polls.load(Ordering::Relaxed);
        most = most.max(now - before);
        before = now;
    }
    for connection in connections {
        connection.await.expect("the connection must finish");
    }
    queue.abort();
    assert!(0 < most && most <= BATCH, "{most} polls in one round");
}

#[tokio::test]
async fn an_established_connection_is_polled_without_the_queue() {
    let (admissions, admission) = (Arc::new(AdmissionQueue::default()), Arc::new(Admission::default()));
    admission.set_established();
    // No task runs the queue.
    assert_eq!(admissions.throttle(admission, async { 7 }).await, 7);
}
