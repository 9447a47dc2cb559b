//! Who is present. This instance counts its own connections; a small table of the database shows the
//! users of other instances. Presence is not in the log: if 10,000 clients reconnect at once, the log would get 20,000
//! events.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::permissions::Viewer;
use crate::model::{ChannelId, UserId};
use crate::store::presence::PresenceEntry as Seat;

/// Grace period before a user without connections is reported as absent.
const LINGER: Duration = Duration::from_secs(5);

/// The users who are present in a channel, or connected to the installation.
pub type Users = Arc<BTreeSet<UserId>>;

/// The users who are present in each channel, and all connected users (`None`), on all instances together.
#[derive(Debug, Default)]
pub struct PresenceView(HashMap<Option<ChannelId>, Users>);

impl PresenceView {
    /// The users who are present in a channel. For `None`: all connected users.
    #[must_use]
    pub fn of(&self, channel: Option<ChannelId>) -> Users {
        self.0.get(&channel).cloned().unwrap_or_default()
    }

    /// The view of these presence entries; `None` if it equals this view. A channel whose users have not changed shares
    /// the set of users with this view.
    #[must_use]
    pub fn with(&self, seats: HashSet<Seat>) -> Option<Self> {
        let mut users: HashMap<Option<ChannelId>, BTreeSet<UserId>> = HashMap::new();
        for (channel, user) in seats {
            users.entry(channel).or_default().insert(user);
        }
        let mut changed = users.len() != self.0.len();
        let mut view = HashMap::with_capacity(users.len());
        for (channel, users) in users {
            let users = match self.0.get(&channel) {
                Some(known) if **known == users => Arc::clone(known),
                _ => {
                    changed = true;
                    Arc::new(users)
                }
            };
            view.insert(channel, users);
        }
        changed.then_some(Self(view))
    }
}

/// The connections of this instance by user and channel, and the view of all instances.
pub struct Presence {
    sockets: Mutex<HashMap<Seat, SocketCount>>,
    view: watch::Sender<Arc<PresenceView>>,
    moved: Notify,
}

#[derive(Debug)]
struct SocketCount {
    count: usize,
    /// When the last connection ended; `None` if there are connections.
    left: Option<Instant>,
}

/// Keeps a user present until it is dropped.
pub struct PresenceGuard(Arc<Presence>, Seat);

impl Drop for PresenceGuard {
    fn drop(&mut self) {
        let mut sockets = self.0.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sockets) = sockets.get_mut(&self.1) {
            sockets.count -= 1;
            sockets.left = (sockets.count == 0).then(Instant::now);
        }
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self { sockets: Mutex::default(), view: watch::Sender::new(Arc::default()), moved: Notify::new() }
    }
}

impl Presence {
    /// Marks the viewer as connected until the guard is dropped. `None` for anonymous viewers, who have no presence.
    #[must_use]
    pub fn connect(self: &Arc<Self>, viewer: &Viewer) -> Option<PresenceGuard> {
        viewer.user_id().map(|user| self.seat((None, user)))
    }

    /// Marks the viewer as present in a channel until the guard is dropped. `None` for anonymous viewers.
    #[must_use]
    pub fn enter(self: &Arc<Self>, viewer: &Viewer, channel: ChannelId) -> Option<PresenceGuard> {
        viewer.user_id().map(|user| self.seat((Some(channel), user)))
    }

    /// The users who are present in a channel, on all instances together.
    #[must_use]
    pub fn users_in(&self, channel: ChannelId) -> Users {
        self.view().of(Some(channel))
    }

    /// Watches the users who are present in each channel, on all instances together.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<PresenceView>> {
        self.view.subscribe()
    }

    fn seat(self: &Arc<Self>, seat: Seat) -> PresenceGuard {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = sockets.entry(seat).or_insert(SocketCount { count: 0, left: None });
        entry.count += 1;
        entry.left = None;
        self.moved.notify_one();
        PresenceGuard(Arc::clone(self), seat)
    }

    /// The presence entries of this instance. Entries without connections stay for the grace period.
    #[must_use]
    pub fn own(&self) -> HashSet<Seat> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.retain(|_, sockets| sockets.left.is_none_or(|left| left.elapsed() < LINGER));
        sockets.keys().copied().collect()
    }

    /// Waits until a connection of a user is added.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Publishes the presence entries of all instances to the watchers, if they changed.
    pub fn show(&self, seats: HashSet<Seat>) {
        let next = self.view.borrow().with(seats);
        if let Some(next) = next {
            self.view.send_replace(Arc::new(next));
        }
    }

    /// The users who are present, on all instances together.
    #[must_use]
    pub fn view(&self) -> Arc<PresenceView> {
        Arc::clone(&self.view.borrow())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_back_soon_has_not_been_away() {
        let presence = Arc::new(Presence::default());
        let seat = (Some(ChannelId(1)), UserId(1));
        let (first, second) = (presence.seat(seat), presence.seat(seat));
        drop(first);
        drop(second);
        assert_eq!(presence.own(), HashSet::from([seat]));
        let back = presence.seat(seat);
        let mut sockets = presence.sockets.lock().unwrap();
        assert!(sockets[&seat].left.is_none());
        sockets.get_mut(&seat).unwrap().left = Instant::now().checked_sub(LINGER);
        drop(sockets);
        assert!(presence.own().is_empty());
        drop(back);
    }

    #[test]
    fn what_did_not_change_is_the_same_value() {
        let (one, two) = ((Some(ChannelId(1)), UserId(1)), (Some(ChannelId(2)), UserId(1)));
        let before = PresenceView::default().with(HashSet::from([one])).expect("a change");
        assert!(before.with(HashSet::from([one])).is_none());
        let after = before.with(HashSet::from([one, two])).expect("a change");
        assert!(Arc::ptr_eq(&before.of(one.0), &after.of(one.0)));
    }
}
