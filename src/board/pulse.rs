//! The pulse of an instance: once a second it tells the others who is present here, looks who is
//! present there, and takes the metrics.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::Board;
use super::metrics::{ACTIVE_USERS, MESSAGES_PER_MINUTE, OPEN_TICKETS};
use crate::error::Result;
use crate::hub::{Next, Receiver};
use crate::model::{Cursor, EventKind, KindSet, Seq, Timestamp, Topic};
use crate::store::metrics;
use crate::store::presence::{self, Instance, Presence as Seat};

/// How often it beats.
const BEAT: Duration = Duration::from_secs(1);
/// Who comes is shown sooner, together with those who come at the same time.
const SOON: Duration = Duration::from_millis(50);
/// How often an instance tells that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// An instance that has told nothing for so long is gone.
const GONE: Duration = Duration::from_secs(15);
/// So many rows are written in one turn of the writer.
const ROWS: usize = 500;
/// What happens to tickets and to the channels they are in.
const COUNTED: KindSet = KindSet::of(&[
    EventKind::MessageAdded,
    EventKind::MessageUpdated,
    EventKind::MessageDeleted,
    EventKind::ChannelUpdated,
    EventKind::ChannelDeleted,
]);
const MINUTE: Duration = Duration::from_secs(60);

impl Board {
    /// Beats until aborted.
    pub async fn keep_pulse(self: Arc<Self>) {
        let mut pulse = Pulse::new(Arc::clone(&self));
        loop {
            if let Err(error) = pulse.beat().await {
                tracing::debug!(%error, "the pulse missed a beat");
            }
            let next = tokio::time::sleep(BEAT);
            tokio::pin!(next);
            tokio::select! {
                () = &mut next => {}
                () = self.presence.moved() => tokio::time::sleep(SOON).await,
            }
        }
    }
}

/// Another instance, as it is seen from here.
struct Other {
    seen: Instance,
    since: Instant,
    seats: Vec<Seat>,
}

struct Pulse {
    board: Arc<Board>,
    own: Instance,
    /// What the others were told.
    told: HashSet<Seat>,
    told_at: Option<Instant>,
    others: HashMap<i64, Other>,
    counter: Counter,
    measured: Option<Instant>,
}

impl Pulse {
    fn new(board: Arc<Board>) -> Self {
        let own = Instance { id: rand::random_range(1..i64::MAX), beat: 0, version: 0 };
        let (told, others) = (HashSet::new(), HashMap::new());
        let counter = Counter { following: None, counted: Seq(0), messages: VecDeque::new(), open_tickets: 0 };
        Self { board, own, told, told_at: None, others, counter, measured: None }
    }

    async fn beat(&mut self) -> Result<()> {
        let own = self.board.presence.own();
        let told = self.tell(&own).await;
        self.look().await?;
        let others = self.others.values().flat_map(|other| other.seats.iter().copied());
        self.board.presence.show(own.into_iter().chain(others).collect());
        // Readers are told of a metric once a second at most.
        if self.measured.is_none_or(|at| at.elapsed() >= BEAT) {
            self.measured = Some(Instant::now());
            self.measure().await?;
        }
        told
    }

    /// Tells the others who is present here, if that changed, and from time to time that we live.
    async fn tell(&mut self, own: &HashSet<Seat>) -> Result<()> {
        let came: Vec<Seat> = own.difference(&self.told).copied().collect();
        let went: Vec<Seat> = self.told.difference(own).copied().collect();
        let has_changed = !came.is_empty() || !went.is_empty();
        let is_due = self.told_at.is_some_and(|at| at.elapsed() >= SIGN_OF_LIFE) && !self.told.is_empty();
        if !has_changed && !is_due {
            return Ok(());
        }
        self.own.beat += 1;
        self.own.version += i64::from(has_changed);
        let (mut came, mut went) = (came, went);
        loop {
            let some_came: Vec<Seat> = came.split_off(came.len().saturating_sub(ROWS));
            let some_went: Vec<Seat> = went.split_off(went.len().saturating_sub(ROWS));
            self.write(some_came, some_went).await?;
            if came.is_empty() && went.is_empty() {
                self.told_at = Some(Instant::now());
                return Ok(());
            }
        }
    }

    async fn write(&mut self, came: Vec<Seat>, went: Vec<Seat>) -> Result<()> {
        let own = self.own;
        let (came, went) = (Arc::new(came), Arc::new(went));
        let (some_came, some_went) = (Arc::clone(&came), Arc::clone(&went));
        let writing = self.board.store.write(move |tx| {
            let was_known = presence::beat(tx.write(), own)?;
            presence::change(tx.write(), own.id, &some_came, &some_went)?;
            Ok(was_known)
        });
        match writing.await {
            // Others took us for gone, and forgot what we had said: it is said anew at the next beat.
            Ok(was_known) if !was_known => self.told.clear(),
            Ok(_) => {}
            Err(error) => {
                // Perhaps it was done, perhaps not: begin anew under another name.
                self.own = Instance { id: rand::random_range(1..i64::MAX), beat: 0, version: 0 };
                self.told.clear();
                return Err(error);
            }
        }
        self.told.extend(came.iter().copied());
        self.told.retain(|seat| !went.contains(seat));
        Ok(())
    }

    /// Looks who is present elsewhere.
    async fn look(&mut self) -> Result<()> {
        let known: HashMap<i64, i64> = self.others.iter().map(|(id, other)| (*id, other.seen.version)).collect();
        let own = self.own.id;
        let found = self
            .board
            .store
            .read(move |snapshot| {
                let mut found = Vec::new();
                for instance in presence::instances(snapshot.db())?.into_iter().filter(|other| other.id != own) {
                    let is_known = known.get(&instance.id) == Some(&instance.version);
                    let seats = (!is_known).then(|| presence::of_instance(snapshot.db(), instance.id)).transpose()?;
                    found.push((instance, seats));
                }
                Ok(found)
            })
            .await?;
        self.others.retain(|id, _| found.iter().any(|(instance, _)| instance.id == *id));
        for (seen, seats) in found {
            let since = Instant::now();
            let other = self.others.entry(seen.id).or_insert(Other { seen, since, seats: Vec::new() });
            if other.seen.beat != seen.beat {
                other.since = since;
            }
            other.seen = seen;
            other.seats = seats.unwrap_or(std::mem::take(&mut other.seats));
        }
        let gone: Vec<i64> =
            self.others.iter().filter(|(_, other)| other.since.elapsed() >= GONE).map(|(id, _)| *id).collect();
        for id in gone {
            self.others.remove(&id);
            self.board.store.write(move |tx| presence::forget(tx.write(), id)).await?;
        }
        Ok(())
    }

    async fn measure(&mut self) -> Result<()> {
        let is_stale = self.counter.count(&self.board).await?;
        let (published, open) = self
            .board
            .store
            .read(move |snapshot| {
                let open = is_stale.then(|| metrics::open_tickets(snapshot.db())).transpose()?;
                Ok((metrics::all(snapshot.db())?, open))
            })
            .await?;
        self.counter.open_tickets = open.unwrap_or(self.counter.open_tickets);
        let users = self.board.presence.view().of(None).len();
        let own = [
            (ACTIVE_USERS, users as f64),
            (OPEN_TICKETS, self.counter.open_tickets as f64),
            (MESSAGES_PER_MINUTE, self.counter.messages.len() as f64),
        ];
        self.board.metrics.show(published, own);
        Ok(())
    }
}

/// What is counted as it passes, without a look at the database.
struct Counter {
    following: Option<(Receiver, Cursor)>,
    /// Up to here nothing is counted again.
    counted: Seq,
    /// When the messages of the last minute were posted.
    messages: VecDeque<Timestamp>,
    open_tickets: i64,
}

impl Counter {
    /// Counts what has passed; whether the number of open tickets may be another.
    async fn count(&mut self, board: &Board) -> Result<bool> {
        let mut is_stale = false;
        let minute_ago = Timestamp::now().before(MINUTE);
        loop {
            let (receiver, position) = match &mut self.following {
                Some(following) => following,
                none => {
                    is_stale = true;
                    let (receiver, head) = board.hub.subscribe(Topic::Everything, COUNTED).await?;
                    // What the window holds is counted, too: a restart is no silence.
                    let from = board.hub.floor().max(self.counted);
                    none.insert((receiver, Cursor { seq: from, ..head }))
                }
            };
            let next = poll_fn(|context| Poll::Ready(receiver.poll_next(position.seq, context))).await;
            match next {
                Poll::Pending => break,
                Poll::Ready(Next::Lagged) => self.following = None,
                Poll::Ready(Next::Event(event)) => {
                    *position = event.cursor;
                    self.counted = event.cursor.seq;
                    is_stale |= COUNTED.contains(event.kind)
                        && (event.ticket
                            || matches!(event.kind, EventKind::ChannelUpdated | EventKind::ChannelDeleted));
                    if event.kind == EventKind::MessageAdded && event.at > minute_ago {
                        self.messages.push_back(event.at);
                    }
                }
            }
        }
        while self.messages.front().is_some_and(|at| *at <= minute_ago) {
            self.messages.pop_front();
        }
        Ok(is_stale)
    }
}
