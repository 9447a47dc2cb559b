//! Unit tests of the window and its subscribers, without the hub's task. `tests/loom/` checks the interleavings.

use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::sync::{Arc, Ordering};
use super::window::SWEEP_INTERVAL;
use super::*;
use crate::model::{Audience, ChannelId, Event, EventBody, EventKind, Message, MessageId, Tag, Timestamp, UserId};

const GENEROUS: WindowLimits = WindowLimits { events: 100, bytes: 1 << 20 };

fn at(seq: i64) -> Cursor {
    Cursor { seq: Seq(seq), tag: Tag(7) }
}

/// An event of this kind about message `message` in channel `channel`.
fn event(seq: i64, kind: EventKind, channel: i64, message: i64) -> Event {
    Event {
        cursor: at(seq),
        kind,
        object: if kind.is_channel_wide() { channel } else { message },
        channel: Some(ChannelId(channel)),
        message: (!kind.is_channel_wide()).then_some(MessageId(message)),
        user: None,
        owner: None,
        audience: Audience::default(),
        actor: None,
        ticket: false,
        payload: None,
        app_type: None,
        key: None,
        at: Timestamp(0),
    }
}

/// The logged event, with the message as its object if the kind shows one.
fn logged(event: Event, content: &str) -> LoggedEvent {
    let message = || Message {
        id: MessageId(event.object),
        channel_id: event.channel.expect("a channel"),
        title: None,
        content: content.into(),
        author_id: UserId(1),
        audience: Audience::default(),
        ticket: None,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
        cursor: event.cursor,
    };
    let has_message = matches!(event.kind, EventKind::MessageAdded | EventKind::MessageUpdated);
    let body = if has_message { EventBody::Message(Arc::new(message())) } else { EventBody::None };
    LoggedEvent { event, body }
}

struct Fixture {
    shared: Arc<Shared>,
    window: Window,
}

impl Fixture {
    fn new(limits: WindowLimits) -> Self {
        let shared = Arc::new(Shared::new(at(0)));
        Self { window: Window::new(Arc::clone(&shared), at(0), limits), shared }
    }

    /// Publishes one event, and wakes all subscribers that it concerns.
    fn publish(&mut self, kind: EventKind, channel: i64, message: i64, content: &str) {
        let seq = self.shared.head().seq.0 + 1;
        self.window.publish(vec![logged(event(seq, kind, channel, message), content)], at(seq));
        while self.window.wake(WAKE_BATCH) {}
    }

    /// Publishes `count` new messages in a channel, one by one.
    fn add(&mut self, channel: i64, count: i64) {
        for _ in 0..count {
            let message = self.shared.head().seq.0 + 1;
            self.publish(EventKind::MessageAdded, channel, message, "text");
        }
    }

    fn subscribe(&mut self, topic: Topic) -> Subscriber {
        self.subscribe_to(topic, KindSet::all())
    }

    fn subscribe_to(&mut self, topic: Topic, kinds: KindSet) -> Subscriber {
        let wakes = Arc::<WakeCount>::default();
        Subscriber { receiver: self.window.subscribe(topic, kinds), wakes }
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct WakeCount(AtomicUsize);

impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Subscriber {
    receiver: Receiver,
    wakes: Arc<WakeCount>,
}

impl Subscriber {
    fn poll(&mut self, after: i64) -> Poll<Next> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.receiver.poll_next(Seq(after), &mut Context::from_waker(&waker))
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }

    fn is_lagging(&mut self, after: i64) -> bool {
        matches!(self.poll(after), Poll::Ready(Next::Lagged))
    }

    /// The events above a position until there are no more. They are passed one by one, as a reader of the log does.
    fn read(&mut self, mut after: i64) -> Vec<i64> {
        let mut seqs = Vec::new();
        loop {
            match self.poll(after) {
                Poll::Ready(Next::Event(event)) => after = event.cursor.seq.0,
                Poll::Ready(Next::Lagged) => panic!("the subscriber lags at {after}"),
                Poll::Pending => return seqs,
            }
            seqs.push(after);
        }
    }

    /// The content of the first message above a position. `None` if the message was deleted.
    fn content(&mut self, after: i64) -> Option<String> {
        match self.poll(after) {
            Poll::Ready(Next::Event(event)) => match event.body()? {
                EventBody::Message(message) => Some(message.content.clone()),
                other => panic!("{other:?} is not a message"),
            },
            other => panic!("{other:?} is not an event"),
        }
    }
}

#[test]
fn subscribers_read_the_events_of_their_topic_in_the_order_of_the_log() {
    let mut fixture = Fixture::new(GENEROUS);
    let mut early = fixture.subscribe(Topic::Channel(ChannelId(1)));
    fixture.add(1, 2);
    fixture.add(2, 1);
    fixture.add(1, 1);
    assert_eq!(early.read(0), [1, 2, 4]);
    assert_eq!(fixture.subscribe(Topic::Channel(ChannelId(1))).read(2), [4], "a subscriber begins at any position");
    // The buffer of a new topic begins with the events of the window.
    assert_eq!(fixture.subscribe(Topic::Channel(ChannelId(2))).read(0), [3]);
    assert_eq!(fixture.subscribe(Topic::Message(ChannelId(1), MessageId(4))).read(0), [4]);
    assert_eq!(fixture.subscribe(Topic::Everything).read(0), [1, 2, 3, 4]);
    fixture.add(1, 1);
    assert_eq!(early.read(4), [5]);
}

#[test]
fn an_event_of_a_whole_channel_reaches_the_subscribers_of_its_messages() {
    let mut fixture = Fixture::new(GENEROUS);
    let mut message = fixture.subscribe(Topic::Message(ChannelId(1), MessageId(1)));
    let mut elsewhere = fixture.subscribe(Topic::Message(ChannelId(2), MessageId(2)));
    assert_eq!((message.read(0), elsewhere.read(0)), (vec![], vec![]));
    fixture.publish(EventKind::ChannelDeleted, 1, 0, "");
    assert_eq!((message.read(0), elsewhere.read(0)), (vec![1], vec![]));
    assert_eq!((message.wakes(), elsewhere.wakes()), (1, 0));
}

#[test]
fn the_window_keeps_the_newest_events_and_a_subscriber_below_it_lags() {
    let mut fixture = Fixture::new(WindowLimits { events: 3, ..GENEROUS });
    let mut subscriber = fixture.subscribe(Topic::Everything);
    fixture.add(1, 3);
    assert_eq!(subscriber.read(0), [1, 2, 3]);
    fixture.add(1, 2);
    assert_eq!(fixture.shared.window_floor(), Seq(2));
    assert!(subscriber.is_lagging(0) && subscriber.is_lagging(1));
    assert_eq!(subscriber.read(2), [3, 4, 5], "the floor itself is a position that the window serves");
    assert_eq!((fixture.window.knows(at(2)), fixture.window.knows(at(3))), (false, true));
    assert!(!fixture.window.knows(Cursor { tag: Tag(8), ..at(3) }), "a cursor of another history");
}

#[test]
fn the_window_is_limited_in_bytes_but_keeps_the_newest_event() {
    let size = |content: &str| logged(event(1, EventKind::MessageAdded, 1, 1), content).weight();
    let mut fixture = Fixture::new(WindowLimits { bytes: 2 * size("text"), ..GENEROUS });
    let mut subscriber = fixture.subscribe(Topic::Everything);
    fixture.add(1, 2);
    assert_eq!(subscriber.read(0), [1, 2]);
    fixture.add(1, 1);
    assert!(subscriber.is_lagging(0));
    assert_eq!(subscriber.read(1), [2, 3]);
    fixture.publish(EventKind::MessageAdded, 1, 4, &"x".repeat(3 * size("text")));
    assert!(subscriber.is_lagging(2));
    assert_eq!(subscriber.read(3), [4]);
    // The bytes of the events that left are free again.
    fixture.add(1, 2);
    assert_eq!(subscriber.read(4), [5, 6]);
}

#[test]
fn an_event_that_left_the_window_is_not_delivered_from_the_buffer_of_a_topic() {
    let mut fixture = Fixture::new(WindowLimits { events: 2, ..GENEROUS });
    let mut channel = fixture.subscribe(Topic::Channel(ChannelId(1)));
    fixture.add(1, 1);
    fixture.add(2, 2);
    // The sweep has not trimmed the buffer of the channel yet.
    assert!(channel.is_lagging(0), "later edits and deletions no longer reach the event");
}

#[test]
fn a_subscriber_of_a_quiet_topic_does_not_lag_because_other_topics_are_busy() {
    let mut fixture = Fixture::new(WindowLimits { events: 2, ..GENEROUS });
    let mut quiet = fixture.subscribe(Topic::Channel(ChannelId(1)));
    fixture.add(1, 1);
    assert_eq!(quiet.read(0), [1]);
    let busy = i64::try_from(SWEEP_INTERVAL).expect("a small number");
    fixture.add(2, busy);
    assert_eq!(quiet.read(1), Vec::<i64>::new(), "the subscriber has seen every event of its topic");
    assert!(fixture.subscribe(Topic::Channel(ChannelId(1))).is_lagging(0));
    fixture.add(1, 1);
    assert_eq!(quiet.read(1), [busy + 2]);
}

#[test]
fn the_sweep_removes_the_buffers_of_topics_without_subscribers() {
    let mut fixture = Fixture::new(WindowLimits { events: 2, ..GENEROUS });
    let _stays = fixture.subscribe(Topic::Channel(ChannelId(1)));
    let leaves = fixture.subscribe(Topic::Channel(ChannelId(2)));
    assert_eq!(fixture.window.buffers.len(), 3);
    drop(leaves);
    fixture.add(3, i64::try_from(SWEEP_INTERVAL).expect("a small number"));
    assert_eq!(fixture.window.buffers.len(), 2, "the buffers of everything and of channel 1");
}

#[test]
fn an_event_wakes_exactly_the_waiting_subscribers_of_its_topics_and_kind() {
    let mut fixture = Fixture::new(GENEROUS);
    let deletions = KindSet::of(&[EventKind::MessageDeleted]);
    let mut subscribers = [
        fixture.subscribe(Topic::Everything),
        fixture.subscribe(Topic::Channel(ChannelId(1))),
        fixture.subscribe(Topic::Message(ChannelId(1), MessageId(1))),
        fixture.subscribe(Topic::Channel(ChannelId(2))),
        fixture.subscribe(Topic::Message(ChannelId(1), MessageId(2))),
        fixture.subscribe(Topic::User(UserId(1))),
        fixture.subscribe_to(Topic::Channel(ChannelId(1)), deletions),
    ];
    let mut idle = fixture.subscribe(Topic::Everything);
    let wakes = |subscribers: &[Subscriber; 7]| subscribers.each_ref().map(Subscriber::wakes);
    subscribers.iter_mut().for_each(|subscriber| assert!(subscriber.poll(0).is_pending()));
    fixture.add(1, 1);
    assert_eq!(wakes(&subscribers), [1, 1, 1, 0, 0, 0, 0]);
    fixture.publish(EventKind::MessageDeleted, 1, 1, "");
    assert_eq!(wakes(&subscribers), [1, 1, 1, 0, 0, 0, 1], "a subscriber is woken once until it polls again");
    assert_eq!(idle.wakes(), 0, "a subscriber that does not wait is not woken");
    assert_eq!(idle.read(0), [1, 2]);
}

#[test]
fn a_subscriber_that_polls_again_before_it_is_woken_loses_no_event() {
    let mut fixture = Fixture::new(GENEROUS);
    let mut subscriber = fixture.subscribe(Topic::Everything);
    assert!(subscriber.poll(0).is_pending() && subscriber.poll(0).is_pending());
    let publish = |fixture: &mut Fixture, seq| {
        fixture.window.publish(vec![logged(event(seq, EventKind::MessageAdded, 1, seq), "text")], at(seq));
    };
    publish(&mut fixture, 1);
    // The waker is taken, but not called yet. The subscriber polls for another reason, and waits again.
    assert_eq!(subscriber.read(0), [1]);
    publish(&mut fixture, 2);
    assert_eq!(subscriber.wakes(), 0);
    while fixture.window.wake(1) {}
    assert_eq!(subscriber.wakes(), 2, "one late wake-up for event 1, one for event 2");
    assert_eq!(subscriber.read(1), [2]);
}

#[test]
fn a_dropped_subscriber_is_not_woken_and_the_next_one_takes_its_place() {
    let mut fixture = Fixture::new(GENEROUS);
    let mut leaving = fixture.subscribe(Topic::Everything);
    let mut staying = fixture.subscribe(Topic::Everything);
    assert!(leaving.poll(0).is_pending() && staying.poll(0).is_pending());
    let wakes = Arc::clone(&leaving.wakes);
    drop(leaving);
    assert_eq!(Arc::strong_count(&wakes), 1, "the entry of a dropped subscriber keeps its waker");
    let mut next = fixture.subscribe(Topic::Everything);
    assert!(next.poll(0).is_pending());
    fixture.add(1, 1);
    assert_eq!((wakes.0.load(Ordering::Relaxed), staying.wakes(), next.wakes()), (0, 1, 1));
    assert_eq!((staying.read(0), next.read(0)), (vec![1], vec![1]));
    drop(staying);
    let entries = |fixture: &Fixture| fixture.window.buffers[&Topic::Everything].entries();
    let before = entries(&fixture);
    (0..100).for_each(|_| drop(fixture.subscribe(Topic::Everything)));
    assert_eq!(entries(&fixture), before, "a new subscriber reuses the entry of a dropped one");
}

#[test]
fn the_head_is_served_when_the_topic_has_no_event_above_the_position() {
    let mut fixture = Fixture::new(WindowLimits { events: 2, ..GENEROUS });
    let channel = fixture.subscribe(Topic::Channel(ChannelId(1))).receiver;
    fixture.add(1, 1);
    fixture.add(2, 1);
    assert_eq!((channel.served(Seq(0)), channel.served(Seq(1))), (None, Some(at(2))));
}

#[test]
fn older_events_show_an_edited_object_and_skip_a_deleted_one() {
    let mut fixture = Fixture::new(GENEROUS);
    let mut slow = fixture.subscribe(Topic::Channel(ChannelId(1)));
    let before = ReadAt { era: 0, seq: fixture.shared.head().seq };
    fixture.add(1, 2);
    assert!(!fixture.shared.rewritten_since(before), "a new message makes no earlier read outdated");
    fixture.publish(EventKind::MessageUpdated, 1, 1, "edited");
    assert_eq!((slow.content(0).as_deref(), slow.content(1).as_deref()), (Some("edited"), Some("text")));
    let edited = ReadAt { era: 0, seq: fixture.shared.head().seq };
    assert!(fixture.shared.rewritten_since(before) && !fixture.shared.rewritten_since(edited));
    fixture.publish(EventKind::MessageDeleted, 1, 1, "");
    assert_eq!((slow.content(0), slow.content(1).as_deref(), slow.content(2)), (None, Some("text"), None));
    assert!(fixture.shared.rewritten_since(edited));
}

#[test]
fn another_history_makes_every_subscriber_lag_and_wakes_it() {
    let mut fixture = Fixture::new(GENEROUS);
    fixture.add(1, 3);
    let mut everything = fixture.subscribe(Topic::Everything);
    let mut quiet = fixture.subscribe(Topic::Channel(ChannelId(2)));
    assert!(everything.poll(3).is_pending() && quiet.poll(3).is_pending());
    let read = ReadAt { era: fixture.shared.era(), seq: Seq(3) };
    let head = Cursor { seq: Seq(2), tag: Tag(8) };
    fixture.window.reset(head);
    while fixture.window.wake(WAKE_BATCH) {}
    assert_eq!((everything.wakes(), quiet.wakes()), (1, 1));
    assert!(everything.is_lagging(3) && quiet.is_lagging(3));
    assert_eq!((everything.receiver.served(Seq(3)), quiet.receiver.served(Seq(3))), (None, None));
    assert!([at(1), at(2), at(3)].iter().all(|cursor| !fixture.window.knows(*cursor)) && fixture.window.knows(head));
    assert_eq!((fixture.shared.era(), fixture.shared.head(), fixture.shared.window_floor()), (1, head, head.seq));
    assert!(fixture.shared.rewritten_since(read));
    assert!(!fixture.shared.rewritten_since(ReadAt { era: 1, seq: head.seq }));

    let mut next = fixture.subscribe(Topic::Everything);
    fixture.add(1, 1);
    assert_eq!(next.read(2), [3], "an event of the new history has a number that the old one had, too");
    assert!(everything.is_lagging(3), "a subscriber of the old history must subscribe again");
}

#[test]
fn subscribers_with_new_events_are_woken_although_the_history_was_lost_meanwhile() {
    let mut fixture = Fixture::new(GENEROUS);
    let mut subscriber = fixture.subscribe(Topic::Everything);
    assert!(subscriber.poll(0).is_pending());
    fixture.window.publish(vec![logged(event(1, EventKind::MessageAdded, 1, 1), "text")], at(1));
    fixture.window.reset(at(0));
    while fixture.window.wake(WAKE_BATCH) {}
    assert_eq!(subscriber.wakes(), 1);
    assert!(subscriber.is_lagging(0));
}

#[tokio::test]
async fn the_task_wakes_more_subscribers_than_it_wakes_at_once() {
    let hub = Hub::start(at(0), &Supervisor::default());
    let mut waiting = Vec::new();
    for _ in 0..=2 * WAKE_BATCH {
        let (mut receiver, head) = hub.subscribe(Topic::Everything, KindSet::all()).await.expect("subscribe");
        assert_eq!(head, at(0));
        waiting.push(tokio::spawn(
            async move { std::future::poll_fn(|context| receiver.poll_next(Seq(0), context)).await },
        ));
    }
    hub.publish(vec![logged(event(1, EventKind::MessageAdded, 1, 1), "text")], at(1)).await;
    for subscriber in waiting {
        let next = tokio::time::timeout(Duration::from_secs(30), subscriber).await.expect("the subscriber is woken");
        assert!(matches!(next.expect("join"), Next::Event(event) if event.cursor == at(1)));
    }
    assert!(hub.knows(at(1)).await.expect("ask the hub"));
}
