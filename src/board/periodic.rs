//! Work that each instance repeats every second: it exchanges presence with the other instances through the
//! database, and refreshes the metrics.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::gauges::{ACTIVE_USERS, LatestMetrics, MESSAGES_PER_MINUTE, OPEN_TICKETS};
use super::presence::Presence;
use crate::error::Result;
use crate::hub::{Hub, Next, Receiver};
use crate::model::{Cursor, EventKind, KindSet, Seq, Timestamp, Topic};
use crate::store::presence::{self, HeartbeatOutcome, Instance, PresenceEntry as Entry};
use crate::store::{Store, metrics};

/// How often a round runs.
const TICK: Duration = Duration::from_secs(1);
/// Delay after a local change of presence before the next round, so that changes at the same time share a round.
const CHANGE_DELAY: Duration = Duration::from_millis(50);
/// How often an instance writes to the database that it is alive.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// An instance without a new heartbeat for this time counts as stopped.
const EXPIRY: Duration = Duration::from_secs(15);
/// How many presence entries one command of the writer changes at most.
const ROWS_PER_WRITE: usize = 500;
/// Events that can change the number of open tickets or the message rate.
const COUNTED_KINDS: KindSet = KindSet::of(&[
    EventKind::MessageAdded,
    EventKind::MessageUpdated,
    EventKind::MessageDeleted,
    EventKind::ChannelUpdated,
    EventKind::ChannelDeleted,
]);
const MINUTE: Duration = Duration::from_secs(60);

/// Another instance, as its rows in the database show it.
struct RemoteInstance {
    row: Instance,
    /// When this instance saw the heartbeat change last.
    last_heartbeat: Instant,
    entries: Vec<Entry>,
}

/// The other instances, by id.
#[derive(Default)]
struct RemoteInstances {
    known: HashMap<i64, RemoteInstance>,
    read_at: Option<Instant>,
}

impl RemoteInstances {
    /// The version of each instance's entries as last read. Entries are read again only when the version has changed.
    fn versions(&self) -> HashMap<i64, i64> {
        self.known.iter().map(|(id, other)| (*id, other.row.version)).collect()
    }

    /// Replaces the known state by the rows found at `now`. Returns the ids of instances without a new heartbeat for
    /// [`EXPIRY`]. Time in which the database could not be read does not count, because no heartbeat could be seen
    /// then.
    fn update(&mut self, rows: Vec<(Instance, Option<Vec<Entry>>)>, now: Instant) -> Vec<i64> {
        let unreadable = self.read_at.replace(now).map_or(Duration::ZERO, |at| now.duration_since(at));
        if unreadable > HEARTBEAT_INTERVAL {
            self.known.values_mut().for_each(|other| other.last_heartbeat += unreadable);
        }
        self.known.retain(|id, _| rows.iter().any(|(instance, _)| instance.id == *id));
        for (row, entries) in rows {
            let other =
                self.known.entry(row.id).or_insert(RemoteInstance { row, last_heartbeat: now, entries: Vec::new() });
            if other.row.beat != row.beat {
                other.last_heartbeat = now;
            }
            other.row = row;
            other.entries = entries.unwrap_or(std::mem::take(&mut other.entries));
        }
        let is_expired = |other: &RemoteInstance| now.duration_since(other.last_heartbeat.min(now)) >= EXPIRY;
        let expired: Vec<i64> = self.known.iter().filter(|(_, other)| is_expired(other)).map(|(id, _)| *id).collect();
        expired.iter().for_each(|id| drop(self.known.remove(id)));
        expired
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.known.values().flat_map(|other| other.entries.iter().copied())
    }
}

/// The periodic work of one instance.
pub struct PeriodicWork {
    store: Arc<Store>,
    hub: Hub,
    presence: Arc<Presence>,
    metrics: Arc<LatestMetrics>,
    own: Instance,
    /// The entries of this instance in the database, as far as this instance knows.
    written: HashSet<Entry>,
    written_at: Option<Instant>,
    others: RemoteInstances,
    counter: EventCounter,
    measured_at: Option<Instant>,
}

impl PeriodicWork {
    pub(super) fn new(store: Arc<Store>, hub: Hub, presence: Arc<Presence>, metrics: Arc<LatestMetrics>) -> Self {
        let own = Instance { id: rand::random_range(1..i64::MAX), beat: 0, version: 0 };
        let (written, others) = (HashSet::new(), RemoteInstances::default());
        let counter = EventCounter {
            subscription: None,
            era: 0,
            counted: Seq(0),
            messages: VecDeque::new(),
            open_tickets: 0,
            is_stale: true,
        };
        Self { store, hub, presence, metrics, own, written, written_at: None, others, counter, measured_at: None }
    }

    /// Runs a round every second, or sooner after a change of presence, until the task is aborted.
    pub async fn run(mut self) {
        loop {
            if let Err(error) = self.run_round().await {
                tracing::debug!(%error, "cannot exchange presence or refresh metrics; retrying");
            }
            let next = tokio::time::sleep(TICK);
            tokio::pin!(next);
            tokio::select! {
                () = &mut next => {}
                () = self.presence.moved() => tokio::time::sleep(CHANGE_DELAY).await,
            }
        }
    }

    async fn run_round(&mut self) -> Result<()> {
        let own = self.presence.own();
        let published = self.publish_local(&own).await;
        self.pull_remote().await?;
        self.presence.show(own.into_iter().chain(self.others.entries()).collect());
        // Subscriptions to metrics receive at most one value per second.
        if self.measured_at.is_none_or(|at| at.elapsed() >= TICK) {
            self.measured_at = Some(Instant::now());
            self.refresh_metrics().await?;
        }
        published
    }

    /// Writes this instance's presence entries if they changed, and while it has entries a heartbeat every
    /// [`HEARTBEAT_INTERVAL`].
    async fn publish_local(&mut self, own: &HashSet<Entry>) -> Result<()> {
        let added: Vec<Entry> = own.difference(&self.written).copied().collect();
        let removed: Vec<Entry> = self.written.difference(own).copied().collect();
        let has_changed = !added.is_empty() || !removed.is_empty();
        let is_due = self.written_at.is_some_and(|at| at.elapsed() >= HEARTBEAT_INTERVAL) && !self.written.is_empty();
        if !has_changed && !is_due {
            return Ok(());
        }
        self.own.beat += 1;
        self.own.version += i64::from(has_changed);
        let (mut added, mut removed) = (added, removed);
        loop {
            let some_added: Vec<Entry> = added.split_off(added.len().saturating_sub(ROWS_PER_WRITE));
            let some_removed: Vec<Entry> = removed.split_off(removed.len().saturating_sub(ROWS_PER_WRITE));
            self.write(some_added, some_removed).await?;
            if added.is_empty() && removed.is_empty() {
                self.written_at = Some(Instant::now());
                return Ok(());
            }
        }
    }

    async fn write(&mut self, added: Vec<Entry>, removed: Vec<Entry>) -> Result<()> {
        let own = self.own;
        let (added, removed) = (Arc::new(added), Arc::new(removed));
        let (some_added, some_removed) = (Arc::clone(&added), Arc::clone(&removed));
        let writing = self.store.maintain(move |db| {
            let row = presence::beat(db, own)?;
            if row != HeartbeatOutcome::Another {
                presence::change(db, own.id, &some_added, &some_removed)?;
            }
            Ok(row)
        });
        match writing.await {
            Ok(HeartbeatOutcome::AsLeft) => {}
            // The other instances took this instance for stopped and removed its entries. The next round writes all
            // again.
            Ok(HeartbeatOutcome::Missing) => self.written.clear(),
            // A failover lost this instance's last writes: the old primary had not replicated them.
            Ok(HeartbeatOutcome::Another) => {
                self.restart_with_new_id();
                return Ok(());
            }
            Err(error) => {
                // The commit may or may not have succeeded.
                self.restart_with_new_id();
                return Err(error);
            }
        }
        self.written.extend(added.iter().copied());
        self.written.retain(|entry| !removed.contains(entry));
        Ok(())
    }

    /// Continues under a new instance id. The entries under the old id may be wrong; they expire.
    fn restart_with_new_id(&mut self) {
        self.own = Instance { id: rand::random_range(1..i64::MAX), beat: 0, version: 0 };
        self.written.clear();
    }

    /// Reads the presence entries of the other instances, and removes stopped instances from the database.
    async fn pull_remote(&mut self) -> Result<()> {
        let known = self.others.versions();
        let own = self.own.id;
        let found = self
            .store
            .read(move |snapshot| {
                let mut found = Vec::new();
                for instance in presence::instances(snapshot.db())?.into_iter().filter(|other| other.id != own) {
                    let is_known = known.get(&instance.id) == Some(&instance.version);
                    let entries = (!is_known).then(|| presence::of_instance(snapshot.db(), instance.id)).transpose()?;
                    found.push((instance, entries));
                }
                Ok(found)
            })
            .await?;
        for id in self.others.update(found, Instant::now()) {
            self.store.maintain(move |db| presence::forget(db, id)).await?;
        }
        Ok(())
    }

    async fn refresh_metrics(&mut self) -> Result<()> {
        self.counter.count_events(&self.hub).await?;
        let is_stale = self.counter.is_stale;
        let (published, open) = self
            .store
            .read(move |snapshot| {
                let open = is_stale.then(|| metrics::open_tickets(snapshot.db())).transpose()?;
                Ok((metrics::all(snapshot.db())?, open))
            })
            .await?;
        self.counter.open_tickets = open.unwrap_or(self.counter.open_tickets);
        self.counter.is_stale = false;
        let users = self.presence.view().of(None).len();
        let own = [
            (ACTIVE_USERS, users as f64),
            (OPEN_TICKETS, self.counter.open_tickets as f64),
            (MESSAGES_PER_MINUTE, self.counter.messages.len() as f64),
        ];
        self.metrics.show(published, own);
        Ok(())
    }
}

/// Counts messages and detects changes of tickets from the event stream, without queries.
struct EventCounter {
    subscription: Option<(Receiver, Cursor)>,
    /// The era of the log that `counted` belongs to.
    era: u64,
    /// The last event that was counted; events up to here are not counted again.
    counted: Seq,
    /// The times at which the messages of the last minute were posted.
    messages: VecDeque<Timestamp>,
    open_tickets: i64,
    /// Whether `open_tickets` may be wrong. Stays set until the number was read again, even if a read fails.
    is_stale: bool,
}

impl EventCounter {
    /// Counts the events since the last call, and drops messages that are older than a minute.
    async fn count_events(&mut self, hub: &Hub) -> Result<()> {
        let minute_ago = Timestamp::now().before(MINUTE);
        loop {
            let (receiver, position) = match &mut self.subscription {
                Some(subscription) => subscription,
                none => {
                    self.is_stale = true;
                    let era = hub.era();
                    let (receiver, head) = hub.subscribe(Topic::Everything, COUNTED_KINDS).await?;
                    if std::mem::replace(&mut self.era, era) != era {
                        // Another history gives the same numbers to other events.
                        self.counted = Seq(0);
                    }
                    // Start at the bottom of the window, so that messages from before a restart are counted too.
                    let from = hub.floor().max(self.counted);
                    none.insert((receiver, Cursor { seq: from, ..head }))
                }
            };
            let next = poll_fn(|context| Poll::Ready(receiver.poll_next(position.seq, context))).await;
            match next {
                Poll::Pending => break,
                Poll::Ready(Next::Lagged) => self.subscription = None,
                Poll::Ready(Next::Event(event)) => {
                    *position = event.cursor;
                    self.counted = event.cursor.seq;
                    self.is_stale |= COUNTED_KINDS.contains(event.kind)
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

    /// While the database cannot be read, this instance cannot see the heartbeats of others.
    #[test]
    fn an_outage_of_the_database_does_not_expire_other_instances() {
        let mut others = RemoteInstances::default();
        let start = Instant::now();
        let found = |beat| vec![(Instance { id: 7, beat, version: 1 }, Some(vec![(None, UserId(1))]))];
        assert!(others.update(found(1), start).is_empty());
        let back = start + 4 * EXPIRY;
        assert!(others.update(found(1), back).is_empty(), "no heartbeat can be seen during an outage");
        assert_eq!(others.entries().count(), 1);
        let mut now = back;
        while now < back + EXPIRY {
            assert_eq!(others.entries().count(), 1);
            now += TICK;
            let expired = others.update(found(1), now);
            assert_eq!(expired.is_empty(), now < back + EXPIRY, "{expired:?}");
        }
        assert_eq!(others.entries().count(), 0, "an instance without a heartbeat must expire");
    }
}
