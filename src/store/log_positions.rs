//! The positions of the log that this instance knows. They decide whether a snapshot of a replica may serve a read:
//! its head must be one of them, by number and tag, so a replica of another history never serves.
//!
//! Numbers and tags cannot prove two things. A change without an event leaves no position. And after a failover, the
//! old and the new primary may have the same head, but different changes without events. So this module also keeps the
//! WAL position of the last change without an event. And after this instance has lost a connection to the primary, a
//! replica must first show an event that was committed later.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::batch::{Batch, CommitSink};
use crate::model::{Cursor, Seq};

/// Number of positions that are kept. Within the time for which a read waits for a replica, fewer events are committed.
const CAPACITY: usize = 8_192;

/// The positions of the log that this instance knows. The writer, the log tailer and the replica share it.
pub struct LogPositions {
    known: Mutex<Known>,
    moved: Condvar,
    /// Number of connections to the primary that were lost.
    losses: Arc<AtomicU64>,
}

#[derive(Default)]
struct Known {
    /// How often the log began anew. Numbers of different eras cannot be compared.
    era: u64,
    /// The newest positions that the log tailer has passed, in log order. Positions of removed objects may be missing.
    passed: VecDeque<Cursor>,
    /// The end of this instance's last commit with events. `None` after the log turned out to have another history.
    committed: Option<Cursor>,
    /// The newest head in a snapshot of the primary that served a client.
    seen: Option<Cursor>,
    eventless: Eventless,
    /// The number of lost connections before the log tailer read [`Self::proof_after`] from the primary.
    confirmed: Option<u64>,
    /// Events above this position were committed after the last loss of a connection.
    proof_after: Option<Seq>,
}

/// Where the changes without an event that this instance committed after its last event end in the WAL of the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Eventless {
    /// There are none.
    #[default]
    None,
    /// The primary was not asked yet. The number distinguishes such changes.
    Unmeasured(u64),
    /// At or before this position, in bytes.
    Until(u64),
}

/// What the snapshot of a replica must contain to serve a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Required {
    era: u64,
    /// The newest position that this instance knew when the read began.
    cursor: Cursor,
    /// Changes without an event.
    pub eventless: Eventless,
}

/// How the head of a replica compares with the position that a read requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The replica has the required position, and its head is a known position.
    Contains,
    /// The replica lacks this number of events.
    Behind(i64),
    /// The replica has events that the log tailer of this instance has not passed yet.
    Ahead,
    /// The head is not a known position, or the log of this instance has another history now.
    Unknown,
}

impl LogPositions {
    /// Knows no position yet. `losses` counts the connections to the primary that were lost.
    pub(super) fn new(losses: &Arc<AtomicU64>) -> Self {
        Self { known: Mutex::default(), moved: Condvar::new(), losses: Arc::clone(losses) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of this instance's last commit with events. It can be ahead of what the log tailer has passed.
    #[must_use]
    pub fn committed(&self) -> Option<Cursor> {
        self.known().committed
    }

    /// Number of connections to the primary that were lost. Call it before the read whose result is passed to
    /// [`Self::confirm`].
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// Records the head that the log tailer has read from the primary. If a connection was lost since the last call,
    /// replicas do not serve until they show an event above this head.
    pub fn confirm(&self, losses: u64, head: Cursor) {
        let mut known = self.known();
        if known.confirmed != Some(losses) {
            known.confirmed = Some(losses);
            known.proof_after = Some(head.seq);
        }
    }

    /// Records that the log tailer passes these events, and that the log continues to `end`. Call it before the events
    /// are published: a read that begins afterwards sees them.
    pub fn advance(&self, events: impl Iterator<Item = Cursor>, end: Cursor) {
        let mut known = self.known();
        for cursor in events.chain([end]) {
            if known.passed.back() != Some(&cursor) {
                known.passed.push_back(cursor);
            }
        }
        let excess = known.passed.len().saturating_sub(CAPACITY);
        known.passed.drain(..excess);
        drop(known);
        self.moved.notify_all();
    }

    /// Forgets all positions, because the log begins anew at `head`: it has another history, or this instance starts.
    pub fn restart_at(&self, head: Cursor) {
        let mut known = self.known();
        let (era, confirmed, proof_after) = (known.era + 1, known.confirmed, Some(head.seq));
        *known = Known { era, passed: [head].into(), confirmed, proof_after, ..Known::default() };
        drop(known);
        self.moved.notify_all();
    }

    /// Records a commit of this instance: the end of its events, or `None` if it has none.
    fn record_commit(&self, end: Option<Cursor>) {
        let mut known = self.known();
        if let Some(end) = end {
            known.committed = Some(end);
            // A replica that shows this event has everything that was committed before it.
            known.eventless = Eventless::None;
        } else {
            let number = if let Eventless::Unmeasured(number) = known.eventless { number + 1 } else { rand::random() };
            known.eventless = Eventless::Unmeasured(number);
        }
        drop(known);
        self.moved.notify_all();
    }

    /// How often the log began anew. Call it before the snapshot whose head is passed to [`Self::saw`].
    pub(super) fn era(&self) -> u64 {
        self.known().era
    }

    /// Records the head in a snapshot of the primary that serves a client: later reads must not be older.
    pub(super) fn saw(&self, era: u64, head: Cursor) {
        let mut known = self.known();
        if known.era == era && known.seen.is_none_or(|seen| seen.seq < head.seq) {
            known.seen = Some(head);
        }
    }

    /// Records that the changes without an event of this number end at or before `wal` in the WAL of the primary.
    pub(super) fn measured(&self, number: u64, wal: u64) {
        let mut known = self.known();
        if known.eventless == Eventless::Unmeasured(number) {
            known.eventless = Eventless::Until(wal);
        }
    }

    /// What a replica must contain for a read that begins now, and that needs the log up to `cursor`. `None` if only
    /// the primary can serve the read: this instance does not know the cursor, or the log has no event yet that was
    /// committed after the last loss of a connection.
    pub(super) fn required(&self, cursor: Option<Cursor>) -> Option<Required> {
        let known = self.known();
        let newest = known.newest()?;
        let is_proof = known.confirmed == Some(self.losses()) && known.proof_after.is_some_and(|seq| newest.seq > seq);
        let is_reached = cursor.is_none_or(|cursor| cursor.seq <= newest.seq);
        (is_proof && is_reached).then_some(Required { era: known.era, cursor: newest, eventless: known.eventless })
    }

    /// Compares the head of a replica with the position that a read requires. If the replica is ahead of the log
    /// tailer, waits for the log tailer until `deadline`.
    pub(super) fn compare(&self, required: &Required, head: Cursor, deadline: Instant) -> Comparison {
        let patience = deadline.saturating_duration_since(Instant::now());
        let is_ahead = |known: &mut Known| known.compare(required, head) == Comparison::Ahead;
        let waiting = self.moved.wait_timeout_while(self.known(), patience, is_ahead);
        waiting.unwrap_or_else(PoisonError::into_inner).0.compare(required, head)
    }

    /// The number of events by which this position lags behind the newest known one.
    pub(super) fn lag(&self, head: Cursor) -> i64 {
        self.known().newest().map_or(0, |newest| newest.seq.0.saturating_sub(head.seq.0).max(0))
    }
}

impl Known {
    fn newest(&self) -> Option<Cursor> {
        let known = self.passed.back().into_iter().chain(&self.committed).chain(&self.seen);
        known.max_by_key(|cursor| cursor.seq).copied()
    }

    fn holds(&self, cursor: Cursor) -> bool {
        let place = self.passed.partition_point(|passed| passed.seq < cursor.seq);
        self.passed.get(place) == Some(&cursor) || [self.committed, self.seen].contains(&Some(cursor))
    }

    fn compare(&self, required: &Required, head: Cursor) -> Comparison {
        if self.era != required.era {
            Comparison::Unknown
        } else if head.seq < required.cursor.seq {
            Comparison::Behind(required.cursor.seq.0 - head.seq.0)
        } else if self.holds(head) {
            Comparison::Contains
        } else if self.passed.back().is_none_or(|passed| head.seq > passed.seq) {
            Comparison::Ahead
        } else {
            Comparison::Unknown
        }
    }
}

/// A sink for the writer that records each commit before its commands are answered. So a read that begins after the
/// answer requires the change.
pub(super) struct RecordedCommits<S> {
    pub positions: Arc<LogPositions>,
    pub sink: S,
}

impl<S: CommitSink> CommitSink for RecordedCommits<S> {
    fn committed(&mut self, batch: Batch) {
        self.positions.record_commit(Some(batch.end()));
        self.sink.committed(batch);
    }

    fn committed_without_events(&mut self) {
        self.positions.record_commit(None);
        self.sink.committed_without_events();
    }

    fn position(&mut self) -> Option<Cursor> {
        self.sink.position()
    }

    fn wait(&mut self, position: Cursor, seq: Seq, timeout: Duration) {
        self.sink.wait(position, seq, timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tag;

    fn at(seq: i64, tag: i64) -> Cursor {
        Cursor { seq: Seq(seq), tag: Tag(tag) }
    }

    /// An instance that has read the log up to position 5 from the primary, and then passed positions 6 and 7.
    fn positions() -> LogPositions {
        let positions = LogPositions::new(&Arc::default());
        positions.restart_at(at(5, 50));
        positions.confirm(0, at(5, 50));
        positions.advance([at(6, 60)].into_iter(), at(7, 60));
        positions
    }

    /// What a read requires that begins now.
    fn required(positions: &LogPositions) -> Required {
        positions.required(None).expect("a position")
    }

    fn compare(positions: &LogPositions, required: &Required, head: Cursor) -> Comparison {
        positions.compare(required, head, Instant::now())
    }

    #[test]
    fn a_replica_must_have_the_required_position_and_a_known_head() {
        let positions = positions();
        let required = required(&positions);
        assert_eq!(required.cursor, at(7, 60));
        assert_eq!(compare(&positions, &required, at(7, 60)), Comparison::Contains);
        assert_eq!(compare(&positions, &required, at(4, 40)), Comparison::Behind(3));
        assert_eq!(compare(&positions, &required, at(7, 99)), Comparison::Unknown, "another history");
        assert_eq!(compare(&positions, &required, at(8, 80)), Comparison::Ahead, "not read from the primary yet");
        positions.advance([].into_iter(), at(8, 81));
        assert_eq!(compare(&positions, &required, at(8, 80)), Comparison::Unknown, "another history");
        assert_eq!(compare(&positions, &required, at(8, 81)), Comparison::Contains);
    }

    #[test]
    fn a_read_requires_what_this_instance_has_committed_although_the_tailer_has_not_passed_it() {
        let positions = positions();
        let before = required(&positions);
        positions.record_commit(Some(at(9, 90)));
        let required = required(&positions);
        assert_eq!((required.cursor, positions.committed()), (at(9, 90), Some(at(9, 90))));
        assert_eq!(compare(&positions, &required, at(9, 90)), Comparison::Contains);
        assert_eq!(compare(&positions, &before, at(8, 80)), Comparison::Ahead);
    }

    #[test]
    fn a_read_is_not_older_than_an_earlier_read_from_the_primary() {
        let positions = positions();
        positions.saw(positions.era(), at(9, 90));
        positions.saw(positions.era(), at(8, 80));
        let required = required(&positions);
        assert_eq!(compare(&positions, &required, at(8, 80)), Comparison::Behind(1));
        assert_eq!(compare(&positions, &required, at(9, 90)), Comparison::Contains);
        let era = positions.era();
        positions.restart_at(at(5, 51));
        positions.saw(era, at(9, 90));
        positions.advance([].into_iter(), at(6, 61));
        assert_eq!(self::required(&positions).cursor, at(6, 61), "a snapshot of a lost history is required");
    }

    #[test]
    fn a_read_waits_until_the_tailer_has_passed_the_head_of_the_replica() {
        let positions = Arc::new(positions());
        let (tailer, required) = (Arc::clone(&positions), required(&positions));
        let advancing = std::thread::spawn(move || tailer.advance([].into_iter(), at(8, 80)));
        let deadline = Instant::now() + Duration::from_secs(30);
        assert_eq!(positions.compare(&required, at(8, 80), deadline), Comparison::Contains);
        advancing.join().expect("a thread");
    }

    #[test]
    fn a_cursor_that_this_instance_does_not_know_is_for_the_primary() {
        let positions = positions();
        assert!(positions.required(Some(at(7, 60))).is_some());
        assert!(positions.required(Some(at(8, 80))).is_none());
    }

    #[test]
    fn changes_without_an_event_are_required_until_the_next_event_of_this_instance() {
        let positions = positions();
        let eventless = || required(&positions).eventless;
        positions.record_commit(None);
        let Eventless::Unmeasured(first) = eventless() else { panic!("a change without an event is not required") };
        positions.record_commit(None);
        positions.measured(first, 100);
        let Eventless::Unmeasured(second) = eventless() else { panic!("the position is older than the second change") };
        positions.measured(second, 200);
        assert_eq!(eventless(), Eventless::Until(200));
        positions.advance([].into_iter(), at(8, 80));
        assert_eq!(eventless(), Eventless::Until(200), "another instance's event may be older than the change");
        positions.record_commit(Some(at(9, 90)));
        assert_eq!(eventless(), Eventless::None);
    }

    #[test]
    fn after_a_lost_connection_an_event_must_show_that_the_replica_follows_the_primary() {
        let losses = Arc::<AtomicU64>::default();
        let positions = LogPositions::new(&losses);
        positions.restart_at(at(5, 50));
        positions.confirm(0, at(6, 60));
        positions.advance([].into_iter(), at(6, 60));
        assert_eq!(positions.required(None), None, "nothing was committed since the start");
        positions.advance([].into_iter(), at(7, 70));
        assert!(positions.required(None).is_some());
        losses.fetch_add(1, Ordering::AcqRel);
        assert_eq!(positions.required(None), None);
        // This read of the log began before the loss.
        positions.confirm(0, at(8, 80));
        positions.advance([].into_iter(), at(8, 80));
        assert_eq!(positions.required(None), None);
        positions.confirm(1, at(8, 80));
        assert_eq!(positions.required(None), None);
        positions.advance([].into_iter(), at(9, 90));
        assert!(positions.required(None).is_some());
    }

    #[test]
    fn positions_of_a_lost_history_are_forgotten() {
        let positions = positions();
        let before = required(&positions);
        positions.record_commit(None);
        positions.restart_at(at(6, 61));
        assert_eq!((positions.committed(), positions.required(None)), (None, None));
        assert_eq!(compare(&positions, &before, before.cursor), Comparison::Unknown);
        positions.advance([].into_iter(), at(7, 71));
        assert_eq!(compare(&positions, &before, at(7, 71)), Comparison::Unknown);
        let required = required(&positions);
        assert_eq!((required.cursor, required.eventless), (at(7, 71), Eventless::None));
        assert_eq!(compare(&positions, &required, before.cursor), Comparison::Unknown);
    }
}
