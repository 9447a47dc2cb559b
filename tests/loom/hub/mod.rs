//! The hub: its task publishes events and wakes subscribers, while they poll, leave, and compare positions.

#[path = "../../../src/hub/live_event.rs"]
#[expect(dead_code, reason = "the models need only a part of the hub")]
mod live_event;
#[path = "../../../src/hub/shared.rs"]
mod shared;
mod sync;
#[path = "../../../src/hub/topic_buffer.rs"]
#[expect(dead_code, reason = "the models need only a part of the hub")]
mod topic_buffer;
#[path = "../../../src/hub/window.rs"]
#[expect(dead_code, reason = "the models need only a part of the hub")]
mod window;

use std::future::poll_fn;
use std::task::{Context, Poll, Wake, Waker};

use loom::future::block_on;
use loom::thread;

use crate::check;
use crate::model::{
    Audience, ChannelId, Cursor, Event, EventBody, EventKind, KindSet, LoggedEvent, MessageId, Seq, Tag, Timestamp,
    Topic,
};
use shared::{ReadAt, Shared};
use sync::{Arc, Ordering};
use topic_buffer::{Next, Receiver};
use window::{Window, WindowLimits};

const GENEROUS: WindowLimits = WindowLimits { events: 100, bytes: 1 << 20 };

fn at(seq: i64) -> Cursor {
    Cursor { seq: Seq(seq), tag: Tag(1) }
}

fn logged(seq: i64, kind: EventKind, channel: i64, message: i64) -> LoggedEvent {
    let event = Event {
        cursor: at(seq),
        kind,
        object: message,
        channel: Some(ChannelId(channel)),
        message: Some(MessageId(message)),
        user: None,
        owner: None,
        audience: Audience::default(),
        actor: None,
        ticket: false,
        payload: None,
        app_type: None,
        key: None,
        at: Timestamp(0),
    };
    LoggedEvent { event, body: EventBody::None }
}

fn window(limits: WindowLimits) -> (Window, Arc<Shared>) {
    let shared = Arc::new(Shared::new(at(0)));
    (Window::new(Arc::clone(&shared), at(0), limits), shared)
}

/// Publishes one event, and wakes the subscribers, as the hub's task does.
fn publish(window: &mut Window, event: LoggedEvent) {
    let head = event.event.cursor;
    window.publish(vec![event], head);
    while window.wake(1) {}
}

/// Waits for the next event as a subscriber does. If its wake-up is lost, loom reports a deadlock.
fn next(receiver: &mut Receiver, after: i64) -> Next {
    block_on(poll_fn(|context| receiver.poll_next(Seq(after), context)))
}

fn poll_once(receiver: &mut Receiver, after: i64) -> Poll<Next> {
    receiver.poll_next(Seq(after), &mut Context::from_waker(Waker::noop()))
}

/// The number of the next event. `None` if the subscriber lags.
fn next_seq(receiver: &mut Receiver, after: i64) -> Option<i64> {
    match next(receiver, after) {
        Next::Event(event) => Some(event.cursor.seq.0),
        Next::Lagged => None,
    }
}

#[test]
fn a_subscriber_gets_every_event_although_it_registers_while_they_arrive() {
    check(3, || {
        let (mut window, _) = window(GENEROUS);
        let mut receiver = window.subscribe(Topic::Everything, KindSet::all());
        let subscriber = thread::spawn(move || [0, 1].map(|after| next_seq(&mut receiver, after)));
        publish(&mut window, logged(1, EventKind::MessageAdded, 1, 1));
        publish(&mut window, logged(2, EventKind::MessageAdded, 1, 2));
        assert_eq!(subscriber.join().expect("the subscriber"), [Some(1), Some(2)]);
    });
}

/// The first event wakes no subscriber and is not read, but it changes the buffer and the epoch.
#[test]
fn an_event_of_another_kind_hides_no_wake_up() {
    check(3, || {
        let (mut window, _) = window(GENEROUS);
        let mut receiver = window.subscribe(Topic::Everything, KindSet::of(&[EventKind::MessageDeleted]));
        let subscriber = thread::spawn(move || {
            let mut after = 0;
            while after < 2 {
                after = next_seq(&mut receiver, after).expect("no lag");
            }
        });
        publish(&mut window, logged(1, EventKind::MessageAdded, 1, 1));
        publish(&mut window, logged(2, EventKind::MessageDeleted, 1, 1));
        subscriber.join().expect("the subscriber");
    });
}

#[test]
fn the_head_that_a_subscriber_has_served_is_never_above_an_event_that_it_has_not_seen() {
    check(3, || {
        let (mut window, _) = window(GENEROUS);
        let receiver = window.subscribe(Topic::Everything, KindSet::all());
        let subscriber = thread::spawn(move || {
            let served = receiver.served(Seq(0));
            assert!(served.is_none_or(|head| head == at(0)), "{served:?} is above event 1");
        });
        publish(&mut window, logged(1, EventKind::MessageAdded, 1, 1));
        subscriber.join().expect("the subscriber");
    });
}

#[test]
fn a_new_subscriber_in_the_place_of_a_dropped_one_is_woken() {
    check(3, || {
        let (mut window, _) = window(GENEROUS);
        let leaving = window.subscribe(Topic::Everything, KindSet::all());
        let dropping = thread::spawn(move || drop(leaving));
        let mut receiver = window.subscribe(Topic::Everything, KindSet::all());
        let woken = std::sync::Arc::<WakeFlag>::default();
        let waker = Waker::from(std::sync::Arc::clone(&woken));
        assert!(receiver.poll_next(Seq(0), &mut Context::from_waker(&waker)).is_pending());
        publish(&mut window, logged(1, EventKind::MessageAdded, 1, 1));
        assert!(woken.0.load(Ordering::Relaxed), "the new subscriber was not woken");
        dropping.join().expect("the other subscriber");
    });
}

/// Whether it was woken. One thread uses it, so loom need not know it.
#[derive(Default)]
struct WakeFlag(std::sync::atomic::AtomicBool);

impl Wake for WakeFlag {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Event 1 leaves the window before its message is deleted, so that the deletion does not reach it.
#[test]
fn a_subscriber_that_can_know_of_a_deletion_does_not_get_an_older_event_of_the_object() {
    check(3, || {
        let (mut window, shared) = window(WindowLimits { events: 1, ..GENEROUS });
        let mut receiver = window.subscribe(Topic::Channel(ChannelId(1)), KindSet::all());
        publish(&mut window, logged(1, EventKind::MessageAdded, 1, 1));
        let subscriber = thread::spawn(move || {
            let is_deleted = shared.head() == at(3);
            let next = poll_once(&mut receiver, 0);
            assert!(!is_deleted || matches!(next, Poll::Ready(Next::Lagged)), "{next:?}");
        });
        publish(&mut window, logged(2, EventKind::MessageAdded, 2, 2));
        publish(&mut window, logged(3, EventKind::MessageDeleted, 1, 1));
        subscriber.join().expect("the subscriber");
    });
}

/// The new history has the same head by number.
#[test]
fn a_subscriber_of_a_lost_history_is_woken_and_lags_and_never_serves_the_new_head() {
    check(3, || {
        let (mut window, _) = window(GENEROUS);
        let mut receiver = window.subscribe(Topic::Everything, KindSet::all());
        publish(&mut window, logged(1, EventKind::MessageAdded, 1, 1));
        let head = Cursor { seq: Seq(1), tag: Tag(2) };
        let subscriber = thread::spawn(move || {
            let served = receiver.served(Seq(1));
            assert!(served.is_none_or(|served| served == at(1)), "{served:?} is of the new history");
            assert_eq!(next_seq(&mut receiver, 1), None);
        });
        window.reset(head);
        while window.wake(1) {}
        subscriber.join().expect("the subscriber");
    });
}

/// The new history is shorter, so its last edit has a lower number than the read.
#[test]
fn a_read_of_a_lost_history_counts_as_outdated_at_every_moment() {
    check(3, || {
        let (mut window, shared) = window(GENEROUS);
        let read = ReadAt { era: shared.era(), seq: Seq(2) };
        publish(&mut window, logged(3, EventKind::MessageDeleted, 1, 1));
        let reader = thread::spawn(move || assert!(shared.rewritten_since(read)));
        window.reset(Cursor { seq: Seq(1), tag: Tag(2) });
        reader.join().expect("the reader");
    });
}

/// A rendering that was read from the database before an edit must not be used once the edit can be known.
#[test]
fn a_read_counts_as_outdated_once_the_event_of_the_edit_can_be_seen() {
    check(3, || {
        let (mut window, shared) = window(GENEROUS);
        let mut receiver = window.subscribe(Topic::Everything, KindSet::all());
        let read = ReadAt { era: shared.era(), seq: Seq(0) };
        let reader = thread::spawn(move || {
            let is_edited = matches!(poll_once(&mut receiver, 0), Poll::Ready(Next::Event(_)));
            assert!(!is_edited || shared.rewritten_since(read));
        });
        publish(&mut window, logged(1, EventKind::MessageUpdated, 1, 1));
        reader.join().expect("the reader");
    });
}
