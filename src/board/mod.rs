//! What the board means: the use cases, who may see what, and how changes reach their readers.
//! It knows no SQL, no GraphQL and no sockets. A use case that changes something is done when the change is on disk.

mod access;
mod accounts;
mod attention;
mod broadcasts;
mod channels;
mod comments;
mod counts;
mod key;
mod messages;
mod metrics;
mod names;
mod notifications;
mod organizations;
mod presence;
mod pulse;
mod removal;
mod tail;
mod templates;
mod text;
mod upkeep;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

pub use access::{Access, Standing, Viewer};
pub use accounts::{NewUser, Session};
pub use broadcasts::Broadcast;
pub use channels::{ChannelEdit, NewChannel};
pub use comments::{CommentEdit, NewComment};
pub use counts::Counts;
pub use messages::{MessageEdit, NewMessage, NewTicket, TicketEdit};
pub use metrics::{Gauges, MAX_METRIC_NAME, Metrics};
pub use notifications::NewNotification;
pub use organizations::{Assignment, MAX_LOCATIONS};
pub use presence::{Presence, Seated, Users as PresentUsers};
pub use removal::Removed;
pub use tail::{Notice, Progress, Tail};
pub use templates::NewTemplate;
pub use upkeep::Retention;

use crate::auth::{Passwords, SignInLimiter, Tokens};
use crate::capacity::{RateLimiter, Share, Turn, Turns};
use crate::error::{Error, Result};
use crate::hub::{Hub, ReadAt};
use crate::model::{Body, ChannelId, Cursor, EventKind, Memory, Party, UserId};
use crate::store::{Change, Store, Tx};
use attention::Mentioned;

/// How long the answer to a change of rights waits until this instance serves its readers by them.
const SERVED: std::time::Duration = std::time::Duration::from_secs(1);

/// How long the database may take to say that it is there.
const REACH: std::time::Duration = std::time::Duration::from_secs(2);

/// How many mutations may be under way at once, each of which waits for the disk: they commit in groups. All anonymous
/// callers together have a quarter of them, and so has each caller.
const MUTATIONS: Share = Share { total: 256, anonymous: 64, each: 64 };

/// How many users one author may have notified by mentioning them, in a minute.
pub const MENTIONS_PER_MINUTE: u32 = 120;

/// How many may wait for that.
const WAITING_MUTATIONS: Share = Share { total: 16_384, anonymous: 2_048, each: 1_024 };

/// How long a mutation waits for its turn.
const TURN: std::time::Duration = std::time::Duration::from_secs(5);

/// The rules of one installation.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whether strangers may register.
    pub registration_open: bool,
    /// Whether readers who are not signed in see public channels.
    pub anonymous_read: bool,
    /// The longest title, in characters.
    pub max_title: usize,
    /// The longest text, in characters.
    pub max_content: usize,
    /// Memory for responses that are being made or sent, in bytes. Pages of the log have a quarter as much besides.
    pub response_memory: usize,
}

/// The largest objects that the rules of an installation allow, in bytes of memory.
#[derive(Debug, Clone, Copy)]
pub struct Largest {
    /// A message.
    pub message: usize,
    /// A comment.
    pub comment: usize,
    /// A channel.
    pub channel: usize,
    /// A template.
    pub template: usize,
    /// A notification.
    pub notification: usize,
    /// A user.
    pub user: usize,
    /// An organization or a location.
    pub place: usize,
}

impl Rules {
    /// The largest objects that they allow.
    #[must_use]
    pub fn largest(&self) -> Largest {
        // A character has four bytes at most.
        let (title, content) = (4 * self.max_title, 4 * self.max_content);
        let (fixed, audience) = (256, 24 * MAX_LOCATIONS);
        Largest {
            message: fixed + title + content + audience,
            comment: fixed + content,
            channel: fixed + title + 4 * channels::MAX_DESCRIPTION,
            template: fixed + title + content + audience,
            notification: fixed + title + content,
            user: fixed + 3 * 4 * accounts::MAX_USERNAME,
            place: fixed + title,
        }
    }
}

/// What the board needs of the sign-in floor.
pub struct Doorkeepers {
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Issues and checks tokens.
    pub tokens: Tokens,
    /// Counts sign-in attempts.
    pub attempts: SignInLimiter,
    /// Counts mutations.
    pub mutations: RateLimiter<UserId>,
    /// Counts users that are mentioned.
    pub mentions: RateLimiter<UserId>,
    /// Counts new rooms.
    pub rooms: RateLimiter<UserId>,
    /// Counts sign-in attempts by where they come from, whatever the username.
    pub sign_ins: RateLimiter<IpAddr>,
    /// Counts new accounts by where they are made.
    pub registrations: RateLimiter<IpAddr>,
}

/// The board of one instance.
pub struct Board {
    store: Arc<Store>,
    hub: Hub,
    access: Arc<Access>,
    progress: Arc<Progress>,
    keepers: Doorkeepers,
    rules: Rules,
    presence: Arc<Presence>,
    metrics: Metrics,
    names: names::Names,
    remover: removal::Remover,
    mutations: Turns,
    /// When the database was last asked whether it is there, and what it answered.
    health: tokio::sync::Mutex<Option<(Instant, Result<Cursor>)>>,
    counts: Counts,
    /// For responses that are being made or sent.
    memory: Arc<Memory>,
    /// For pages of the log that readers have not taken yet.
    pages: Arc<Memory>,
}

impl Board {
    /// Over an open store whose tail feeds the hub.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        hub: Hub,
        access: Arc<Access>,
        progress: Arc<Progress>,
        keepers: Doorkeepers,
        rules: Rules,
    ) -> Self {
        let (presence, metrics) = (Arc::new(Presence::default()), Metrics::default());
        let (names, remover, counts) = (names::Names::default(), removal::Remover::default(), Counts::default());
        let mutations = Turns::new(MUTATIONS, WAITING_MUTATIONS, TURN, "the server is busy; try again");
        let health = tokio::sync::Mutex::default();
        let size = rules.response_memory;
        let (memory, pages) = (Memory::new(size, 3 * (size / 8)), Memory::new(size / 4, size / 16));
        Self {
            store,
            hub,
            access,
            progress,
            keepers,
            rules,
            presence,
            metrics,
            names,
            remover,
            mutations,
            health,
            counts,
            memory,
            pages,
        }
    }

    /// The store, for reading.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The hub, for reading.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Up to where readers of this instance have been served at most.
    #[must_use]
    pub fn head(&self) -> Cursor {
        self.hub.head()
    }

    /// Behind everything that this instance has acknowledged, of which readers may not have been told yet.
    #[must_use]
    pub fn now(&self) -> Cursor {
        let head = self.hub.head();
        self.progress.committed().filter(|committed| committed.seq > head.seq).unwrap_or(head)
    }

    /// Counts the histories of the log that this instance has seen: more than one after a restore or a failover that lost
    /// events. Numbers and ids of two of them cannot be compared.
    #[must_use]
    pub fn era(&self) -> u64 {
        self.hub.era()
    }

    /// For what is read from the database from now on: in which history of the log, and where it stands.
    #[must_use]
    pub fn read_at(&self) -> ReadAt {
        // The era first: what is read may be newer than that, and never older.
        let era = self.hub.era();
        ReadAt { era, seq: self.hub.head().seq }
    }

    /// Whether an object was edited or deleted since something was read, or the log is another one.
    #[must_use]
    pub fn rewritten_since(&self, read: ReadAt) -> bool {
        self.hub.rewritten_since(read)
    }

    /// Up to where all of some readers have been served, by where each is. A position above the head is of a history that
    /// was lost: it is answered as it is, and the log refuses it. With the head instead, its reader would skip events.
    #[must_use]
    pub fn lowest(&self, served: impl Iterator<Item = Cursor>) -> Cursor {
        let served: Vec<Cursor> = served.collect();
        // Asked for after the readers, which may move meanwhile.
        let head = self.hub.head();
        let lost = served.iter().find(|cursor| cursor.seq > head.seq);
        *lost.or_else(|| served.iter().min_by_key(|cursor| cursor.seq)).unwrap_or(&head)
    }

    /// Whether readers who are not signed in see public channels.
    #[must_use]
    pub fn serves_strangers(&self) -> bool {
        self.rules.anonymous_read
    }

    /// The rules of the installation.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Memory for responses that are being made or sent.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Memory for pages of the log that readers have not taken yet.
    #[must_use]
    pub fn page_memory(&self) -> &Arc<Memory> {
        &self.pages
    }

    /// What was counted for operators.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The turn of something that this caller may write.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the turn does not come in time.
    pub async fn turn(&self, party: Party) -> Result<Turn> {
        self.mutations.take(party).await
    }

    /// Where the log stands in the database. However many ask, one of them asks the database at a time, and the others
    /// share the answer to a question that came after theirs.
    ///
    /// # Errors
    /// `UNAVAILABLE` if it does not answer.
    pub async fn reach_database(&self) -> Result<Cursor> {
        let asked = Instant::now();
        let mut last = self.health.lock().await;
        if let Some((at, answer)) = &*last
            && *at >= asked
        {
            return answer.clone();
        }
        let at = Instant::now();
        let answer = self.ask_database().await;
        *last = Some((at, answer.clone()));
        answer
    }

    async fn ask_database(&self) -> Result<Cursor> {
        let asking = self.store.read(|snapshot| crate::store::log::head(snapshot.db()));
        let answer = tokio::time::timeout(REACH, asking).await;
        answer.unwrap_or_else(|_| Err(Error::Unavailable("the database does not answer".into())))
    }

    /// Why the database takes no changes, as far as is known: a full disk, a file that was moved, and the like.
    pub async fn database_trouble(&self) -> Option<String> {
        tokio::time::timeout(REACH, self.store.trouble()).await.unwrap_or_else(|_| Some("it does not answer".into()))
    }

    /// Has the database take a change. One that is merely busy is no reason not to start.
    ///
    /// # Errors
    /// One line for the operator.
    pub async fn check_writable(&self) -> std::result::Result<(), String> {
        drop(self.store.probe().await);
        self.store.trouble().await.map_or(Ok(()), Err)
    }

    /// Who may do something at all now: a signed-in user within the limit of mutations.
    fn actor(&self, viewer: &Viewer) -> Result<Arc<Standing>> {
        let standing = viewer.standing()?;
        self.keepers.mutations.check(standing.user.id)?;
        Ok(standing)
    }

    /// Whom these texts mention. Each author has a budget of notifications: users beyond it are mentioned without one.
    fn mentions(&self, author: UserId, texts: &[&str]) -> Mentioned {
        Mentioned::new(texts, || self.keepers.mentions.check(author).is_ok())
    }

    /// Runs a command that changes what somebody may see, and answers when this instance serves
    /// its readers by the new rights.
    async fn write_access<T: Send + 'static>(
        &self,
        mut command: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let writing = self.store.write(move |tx| {
            let made = command(tx)?;
            Ok((made, tx.head()))
        });
        let (made, head) = writing.await?;
        self.progress.passes(head, SERVED).await;
        Ok(made)
    }
}

/// Refuses a change that was decided upon an older state of the object.
fn unchanged(now: Cursor, expected: Option<Cursor>) -> Result<()> {
    match expected {
        Some(expected) if expected != now => {
            Err(Error::Conflict("it was changed meanwhile: read it again, then decide".into()))
        }
        _ => Ok(()),
    }
}

/// Tells one user's readers that what they may see has changed.
fn access_changed(tx: &mut Tx<'_>, user: UserId, channel: Option<ChannelId>, actor: Option<UserId>) {
    let change = Change::new(EventKind::AccessChanged, user.0, actor).for_user(user);
    let change = channel.into_iter().fold(change, Change::in_channel);
    tx.record(change, Body::None);
}

/// Tells everybody to whom it makes a difference that a channel became public or private.
fn visibility_changed(tx: &mut Tx<'_>, channel: ChannelId, actor: UserId) {
    tx.record(Change::new(EventKind::AccessChanged, channel.0, Some(actor)).in_channel(channel), Body::None);
}
