//! Moves the rows of the outbox into the log. Other programs insert them in transactions of their own, on PostgreSQL and
//! on SQLite.
//!
//! Any instance may move any row: a batch writes the event and deletes the row in one transaction, and writes nothing if
//! the row is gone. So which instance looks first matters only for speed. An instance that finds that another one was
//! faster stands by: it moves rows again only if the first row stays the same for a while.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event_to_publish::{ChannelAddress, EventToPublish, NewAppEvent};
use super::event_type_cache::EventTypeCache;
use super::type_checks::TypeChecks;
use super::validate::MAX_PAYLOAD;
use crate::error::{Error, Result};
use crate::model::{ChannelId, Counter, CountersBy, JsonText, Label as _, Rights, labels};
use crate::store::outbox::{self, MAX_DATA, OutboxRow, RejectedRow};
use crate::store::{BatchState, Db, Effects, Needs, Numbers, Settle, Store, WriteCommand, channels};

/// How many rows, and bytes of data, one command moves at most.
const ROWS: usize = 1_000;
const BYTES: usize = 1 << 20;
/// How many channels one command addresses by name at most. Each name takes a lookup.
const NAMES: usize = 100;
/// The longest name of a channel that is looked up, in characters.
const MAX_NAME: usize = 200;
/// How often an instance looks for rows even if nothing wakes it, because notifications can be lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often an instance looks while it is awake: it has moved rows in the last [`AWAKE`].
const AWAKE_INTERVAL: Duration = Duration::from_millis(20);
const AWAKE: Duration = Duration::from_secs(5);
/// How long the first row stays the same before an instance that stands by moves it.
const STANDBY: Duration = Duration::from_millis(100);
/// The delay after an error.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// How many rows that other programs have locked an instance leaves aside at most.
const MAX_HELD: usize = 10_000;

labels! {
    /// Why a row of the outbox is not published.
    pub enum OutboxReason {
        UnknownChannel = "unknown_channel": "no channel has this id or name",
        InvalidType = "invalid_type": "the type is not valid",
        InvalidKey = "invalid_key": "the key is not valid",
        NotJson = "not_json": "the data is not JSON",
        InvalidData = "invalid_data": "the data is JSON that an event must not have",
        NulCharacter = "nul_character": "the data has the character U+0000",
        TooLarge = "too_large": "the data is larger than 64 KiB",
        Misfit = "misfit": "the data does not fit the schema of its type",
        Failed = "failed": "the database cannot store the event",
    }
}

/// What became of the rows that this instance has moved.
#[derive(Debug, Default)]
pub struct OutboxCounts {
    /// Rows that were published.
    pub published: Counter,
    /// Rows that were dropped, because their key was used.
    pub duplicates: Counter,
    /// Rows that cannot be published, by the reason.
    pub rejected: CountersBy<OutboxReason>,
}

/// Moves the rows of the outbox.
pub struct OutboxMover {
    store: Arc<Store>,
    type_checks: Arc<TypeChecks>,
    counts: Arc<OutboxCounts>,
    /// Whether this instance moves rows at once. If not, it stands by.
    is_active: bool,
    /// The first row, as this instance has seen it while it stands by.
    first: Option<i64>,
    /// How many rows the next command moves at most.
    limit: usize,
    /// Whether the last command with a single row failed. Then the next one rejects the row.
    has_failed: bool,
    /// When this instance has moved rows last.
    moved_at: Option<Instant>,
    /// Rows that another program has locked, and until when they are left aside.
    held: BTreeSet<i64>,
    held_until: Option<Instant>,
}

impl OutboxMover {
    pub(super) fn new(store: Arc<Store>, type_checks: Arc<TypeChecks>, counts: Arc<OutboxCounts>) -> Self {
        Self {
            store,
            type_checks,
            counts,
            is_active: true,
            first: None,
            limit: ROWS,
            has_failed: false,
            moved_at: None,
            held: BTreeSet::new(),
            held_until: None,
        }
    }

    /// Moves rows until the task is aborted.
    pub async fn run(mut self) {
        let signal = Arc::clone(self.store.outbox_signal());
        let mut is_failing = false;
        loop {
            let result = self.drain().await;
            if let (Err(error), false) = (&result, is_failing) {
                tracing::warn!(%error, "cannot move the rows of the outbox; retrying");
            }
            is_failing = result.is_err();
            if is_failing {
                tokio::time::sleep(RETRY_DELAY).await;
                continue;
            }
            let is_awake = self.is_active && self.moved_at.is_some_and(|at| at.elapsed() < AWAKE);
            let interval = if signal.set_awake(is_awake) { AWAKE_INTERVAL } else { LOOK_INTERVAL };
            tokio::select! {
                () = signal.arrived() => {}
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    /// Moves all rows that are committed and not locked.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached. A row is moved or stays, also after an error.
    async fn drain(&mut self) -> Result<()> {
        loop {
            if self.held_until.is_some_and(|until| until <= Instant::now()) {
                self.held.clear();
                self.held_until = None;
            }
            if !self.is_active && !self.has_stalled().await? {
                return Ok(());
            }
            let rows = self.next_rows().await?;
            if rows.is_empty() {
                return Ok(());
            }
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            match self.store.write(MoveRows { rows, types: Arc::clone(self.type_checks.types()) }).await {
                Ok(moved) => self.record(&ids, &moved),
                Err(Error::Internal(detail)) => {
                    tracing::warn!(detail, rows = ids.len(), first = ids[0], "rows of the outbox cannot be moved");
                    self.has_failed = self.limit == 1;
                    self.limit = 1;
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// While this instance stands by: waits until no row is left (`false`), or until the first row has stayed the same,
    /// so that no other instance moves rows.
    async fn has_stalled(&mut self) -> Result<bool> {
        loop {
            let (held, count) = (self.held.clone(), self.held.len() + 1);
            let ids = self.store.read(move |snapshot| outbox::first_ids(snapshot.db(), count)).await?;
            let first = ids.into_iter().find(|id| !held.contains(id));
            let before = std::mem::replace(&mut self.first, first);
            match first {
                None => return Ok(false),
                Some(_) if first == before => return Ok(true),
                Some(_) => tokio::time::sleep(STANDBY).await,
            }
        }
    }

    /// Reads and checks the next rows.
    async fn next_rows(&self) -> Result<Vec<CheckedRow>> {
        let (held, limit, is_rejected) = (self.held.clone(), self.limit, self.has_failed);
        let read = self.store.read(move |snapshot| {
            let mut rows = outbox::first_rows(snapshot.db(), &held, limit, BYTES)?;
            let channels = channels_by_name(snapshot.db(), &mut rows)?;
            Ok(rows.into_iter().map(|row| CheckedRow::new(row, &channels, is_rejected)).collect())
        });
        self.with_checked_data(read.await?).await
    }

    /// Checks the data of the events by the schemas of their types.
    async fn with_checked_data(&self, rows: Vec<CheckedRow>) -> Result<Vec<CheckedRow>> {
        let (mut ids, mut events, mut checked) = (Vec::new(), Vec::new(), Vec::with_capacity(rows.len()));
        for row in rows {
            match row.event {
                Ok(event) => {
                    ids.push(row.id);
                    events.push(event);
                }
                Err(_) => checked.push(row),
            }
        }
        let events = self.type_checks.check_outbox(events).await?;
        checked.extend(ids.into_iter().zip(events).map(|(id, event)| CheckedRow { id, event: Ok(event) }));
        // The events keep the order of the rows.
        checked.sort_unstable_by_key(|row| row.id);
        Ok(checked)
    }

    /// Counts what was moved, and notes the rows that stayed.
    fn record(&mut self, ids: &[i64], moved: &Moved) {
        self.counts.published.add(moved.published);
        self.counts.duplicates.add(moved.duplicates);
        moved.rejected.iter().for_each(|reason| self.counts.rejected.count(*reason));
        if let Some(reason) = moved.rejected.first() {
            let rows = moved.rejected.len();
            tracing::warn!(
                rows,
                reason = reason.label(),
                "rows of the outbox cannot be published: see outbox_rejected"
            );
        }
        self.limit = (self.limit * 2).min(ROWS);
        self.has_failed = false;
        let left = ids.iter().filter(|id| !moved.ids.contains(id));
        // These rows are gone, because another instance was faster, or locked.
        let room = MAX_HELD.saturating_sub(self.held.len());
        self.held.extend(left.take(room));
        if !self.held.is_empty() {
            self.held_until.get_or_insert(Instant::now() + LOOK_INTERVAL);
        }
        self.is_active = !moved.ids.is_empty();
        self.moved_at = self.is_active.then(Instant::now).or(self.moved_at);
        self.store.outbox_signal().set_awake(self.is_active);
        self.first = None;
    }
}

/// The ids of the channels that the rows address by name. Leaves out rows at the end if they have too many names.
fn channels_by_name(db: &mut Db, rows: &mut Vec<OutboxRow>) -> Result<HashMap<String, Option<ChannelId>>> {
    let mut channels = HashMap::new();
    for index in 0..rows.len() {
        let ChannelAddress::Name(name) = ChannelAddress::of(&rows[index].channel) else { continue };
        if channels.contains_key(&name) {
            continue;
        }
        if channels.len() == NAMES {
            rows.truncate(index);
            break;
        }
        let is_possible = !name.contains('\0') && name.chars().count() <= MAX_NAME;
        let found = if is_possible { channels::find_by_name(db, &rights(), &name)? } else { None };
        channels.insert(name, found.map(|channel| channel.id));
    }
    Ok(channels)
}

/// The outbox publishes in every channel.
fn rights() -> Rights {
    Rights { admin: true, ..Rights::default() }
}

/// A row of the outbox, and its event or the reason why it has none.
struct CheckedRow {
    id: i64,
    event: Result<EventToPublish, (OutboxReason, String)>,
}

impl CheckedRow {
    fn new(row: OutboxRow, channels: &HashMap<String, Option<ChannelId>>, is_rejected: bool) -> Self {
        let failed = || (OutboxReason::Failed, "the database cannot store the event: see the log".to_owned());
        let event = if is_rejected { Err(failed()) } else { check(row.clone(), channels) };
        Self { id: row.id, event }
    }
}

fn check(
    row: OutboxRow,
    channels: &HashMap<String, Option<ChannelId>>,
) -> Result<EventToPublish, (OutboxReason, String)> {
    let channel = match ChannelAddress::of(&row.channel) {
        ChannelAddress::Id(id) => Some(id),
        ChannelAddress::Name(name) => channels.get(&name).copied().flatten(),
    };
    let channel = channel.ok_or_else(unknown_channel)?;
    let too_large =
        || (OutboxReason::TooLarge, format!("data has more than {MAX_DATA} bytes; at most {MAX_PAYLOAD} are allowed"));
    let data = row.data.ok_or_else(too_large)?;
    if !row.is_text {
        return Err((OutboxReason::NotJson, "the row is not UTF-8 text".into()));
    }
    let data = JsonText::parse(&data).map_err(|problem| (OutboxReason::NotJson, format!("data is {problem}")))?;
    let new = NewAppEvent {
        channel: ChannelAddress::Id(channel),
        app_type: row.app_type,
        data: data.clone(),
        key: row.key,
        locations: Vec::new(),
    };
    EventToPublish::new(None, channel, new).map_err(|error| (reason(&error, &data), error.to_string()))
}

fn unknown_channel() -> (OutboxReason, String) {
    (OutboxReason::UnknownChannel, "no channel has this id or name".into())
}

/// Why a checked row is refused after all: its channel may have been deleted meanwhile, or its type defined.
fn refusal(error: Error) -> (OutboxReason, String) {
    match error {
        Error::NotFound(_) => unknown_channel(),
        Error::BadInput { field, message } if field == "data" => (OutboxReason::Misfit, message),
        error => (OutboxReason::InvalidData, error.to_string()),
    }
}

/// The reason for the error of a field.
fn reason(error: &Error, data: &JsonText) -> OutboxReason {
    match error {
        Error::NotFound(_) => OutboxReason::UnknownChannel,
        Error::BadInput { field, .. } if field == "type" => OutboxReason::InvalidType,
        Error::BadInput { field, .. } if field == "idempotencyKey" => OutboxReason::InvalidKey,
        _ if data.as_str().len() > MAX_PAYLOAD => OutboxReason::TooLarge,
        _ if data.has_nul() => OutboxReason::NulCharacter,
        _ => OutboxReason::InvalidData,
    }
}

/// Moves rows of the outbox into the log, or to the rejected rows.
struct MoveRows {
    rows: Vec<CheckedRow>,
    types: Arc<EventTypeCache>,
}

/// What became of the rows of a command.
#[derive(Debug, Default)]
struct Moved {
    /// The rows that existed, and were moved.
    ids: HashSet<i64>,
    published: u64,
    duplicates: u64,
    rejected: Vec<OutboxReason>,
}

impl Settle for Moved {
    fn settle(&mut self, _: &Numbers) {}
}

impl WriteCommand for MoveRows {
    type Output = Moved;

    fn needs(&self, needs: &mut Needs) {
        needs.many_events(self.rows.len());
        for row in &self.rows {
            needs.outbox_row(row.id);
            row.event.iter().for_each(|event| event.needs(needs));
        }
    }

    fn decide(&self, state: &BatchState) -> Result<(Moved, Effects)> {
        let (mut moved, mut effects, mut used) = (Moved::default(), state.effects(), HashSet::new());
        let types = self.types.current();
        for row in self.rows.iter().filter(|row| state.has_outbox_row(row.id)) {
            moved.ids.insert(row.id);
            let published = match &row.event {
                Ok(event) => event.publish_from_outbox((state, &types), &mut used, &mut effects).map_err(refusal),
                Err(rejection) => Err(rejection.clone()),
            };
            match published {
                Ok(true) => moved.published += 1,
                Ok(false) => moved.duplicates += 1,
                Err((reason, detail)) => {
                    moved.rejected.push(reason);
                    effects.reject_from_outbox(RejectedRow { id: row.id, reason: reason.label(), detail });
                    continue;
                }
            }
            effects.take_from_outbox(row.id);
        }
        Ok((moved, effects))
    }
}
