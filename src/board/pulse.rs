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
use crate::store::presence::{self, Instance, Presence as Seat, Row};

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
    /// When it last gave a sign of life.
    since: Instant,
    seats: Vec<Seat>,
}

/// The other instances, by their ids.
#[derive(Default)]
struct Others {
    known: HashMap<i64, Other>,
    looked_at: Option<Instant>,
}

impl Others {
    /// What an instance says is read only when it is another than before.
    fn versions(&self) -> HashMap<i64, i64> {
        self.known.iter().map(|(id, other)| (*id, other.seen.version)).collect()
    }

    /// Takes over what was found at `now`; answers those that have given no sign of life for too long. While the
    /// database could not be read, no sign could be seen: that time does not count.
    fn found(&mut self, found: Vec<(Instance, Option<Vec<Seat>>)>, now: Instant) -> Vec<i64> {
        let blind = self.looked_at.replace(now).map_or(Duration::ZERO, |at| now.duration_since(at));
        if blind > SIGN_OF_LIFE {
            self.known.values_mut().for_each(|other| other.since += blind);
        }
        self.known.retain(|id, _| found.iter().any(|(instance, _)| instance.id == *id));
        for (seen, seats) in found {
            let other = self.known.entry(seen.id).or_insert(Other { seen, since: now, seats: Vec::new() });
            if other.seen.beat != seen.beat {
                other.since = now;
            }
            other.seen = seen;
            other.seats = seats.unwrap_or(std::mem::take(&mut other.seats));
        }
        let is_gone = |other: &Other| now.duration_since(other.since.min(now)) >= GONE;
        let gone: Vec<i64> = self.known.iter().filter(|(_, other)| is_gone(other)).map(|(id, _)| *id).collect();
        gone.iter().for_each(|id| drop(self.known.remove(id)));
        gone
    }

    fn seats(&self) -> impl Iterator<Item = Seat> {
        self.known.values().flat_map(|other| other.seats.iter().copied())
    }
}

struct Pulse {
    board: Arc<Board>,
    own: Instance,
    /// What the others were told.
    told: HashSet<Seat>,
    told_at: Option<Instant>,
    others: Others,
    counter: Counter,
    measured: Option<Instant>,
}

impl Pulse {
    fn new(board: Arc<Board>) -> Self {
        let own = Instance { id: rand::random_range(1..i64::MAX), beat: 0, version: 0 };
        let (told, others) = (HashSet::new(), Others::default());
        let counter = Counter {
            following: None,
            era: 0,
            counted: Seq(0),
            messages: VecDeque::new(),
            open_tickets: 0,
            is_stale: true,
        };
        Self { board, own, told, told_at: None, others, counter, measured: None }
    }

    async fn beat(&mut self) -> Result<()> {
        let own = self.board.presence.own();
        let told = self.tell(&own).await;
        self.look().await?;
        self.board.presence.show(own.into_iter().chain(self.others.seats()).collect());
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
            let row = presence::beat(tx.write(), own)?;
            if row != Row::Another {
                presence::change(tx.write(), own.id, &some_came, &some_went)?;
            }
            Ok(row)
        });
        match writing.await {
            Ok(Row::AsLeft) => {}
            // The other instances took this one for gone, and removed its entries: all are written again at the next beat.
            Ok(Row::Missing) => self.told.clear(),
            // What this instance wrote last was lost, with a primary that had not passed it on.
            Ok(Row::Another) => {
                self.begin_anew();
                return Ok(());
            }
            Err(error) => {
                // Perhaps it was done, perhaps not.
                self.begin_anew();
                return Err(error);
            }
        }
        self.told.extend(came.iter().copied());
        self.told.retain(|seat| !went.contains(seat));
        Ok(())
    }

    /// Under another name: the entries under the old one are not what they should be, and expire.
    fn begin_anew(&mut self) {
        self.own = Instance { id: rand::random_range(1..i64::MAX), beat: 0, version: 0 };
        self.told.clear();
    }

    /// Looks who is present elsewhere.
    async fn look(&mut self) -> Result<()> {
        let known = self.others.versions();
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
        for id in self.others.found(found, Instant::now()) {
            self.board.store.write(move |tx| presence::forget(tx.write(), id)).await?;
        }
        Ok(())
    }

    async fn measure(&mut self) -> Result<()> {
        self.counter.count(&self.board).await?;
        let is_stale = self.counter.is_stale;
        let (published, open) = self
            .board
            .store
            .read(move |snapshot| {
                let open = is_stale.then(|| metrics::open_tickets(snapshot.db())).transpose()?;
                Ok((metrics::all(snapshot.db())?, open))
            })
            .await?;
        self.counter.open_tickets = open.unwrap_or(self.counter.open_tickets);
        self.counter.is_stale = false;
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
    /// The history of the log that `counted` is of.
    era: u64,
    /// Up to here nothing is counted again.
    counted: Seq,
    /// When the messages of the last minute were posted.
    messages: VecDeque<Timestamp>,
    open_tickets: i64,
    /// The number of open tickets may be another. Until it has been read again, whatever fails meanwhile.
    is_stale: bool,
}

impl Counter {
    /// Counts what has passed.
    async fn count(&mut self, board: &Board) -> Result<()> {
        let minute_ago = Timestamp::now().before(MINUTE);
        loop {
            let (receiver, position) = match &mut self.following {
                Some(following) => following,
                none => {
                    self.is_stale = true;
                    let era = board.hub.era();
                    let (receiver, head) = board.hub.subscribe(Topic::Everything, COUNTED).await?;
                    if std::mem::replace(&mut self.era, era) != era {
                        // Another history uses the same numbers again.
                        self.counted = Seq(0);
                    }
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
                    self.is_stale |= COUNTED.contains(event.kind)
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;

    /// While the database cannot be read, no sign of life can be seen.
    #[test]
    fn others_are_not_gone_because_the_database_was_away() {
        let mut others = Others::default();
        let start = Instant::now();
        let found = |beat| vec![(Instance { id: 7, beat, version: 1 }, Some(vec![(None, UserId(1))]))];
        assert!(others.found(found(1), start).is_empty());
        let back = start + 4 * GONE;
        assert!(others.found(found(1), back).is_empty(), "it could not say anything either");
        assert_eq!(others.seats().count(), 1);
        let mut now = back;
        while now < back + GONE {
            assert_eq!(others.seats().count(), 1);
            now += BEAT;
            let gone = others.found(found(1), now);
            assert_eq!(gone.is_empty(), now < back + GONE, "{gone:?}");
        }
        assert_eq!(others.seats().count(), 0, "an instance that says nothing for so long is gone");
    }
}
