//! Identities that an instance does not know yet. Those that arrive at the same time are looked up together, and their
//! users are created in one commit: after a restart, everyone returns at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedMutexGuard, oneshot};

use super::names::StoredProfile;
use crate::auth::VerifiedToken;
use crate::board::commands::Commands;
use crate::board::records::record_user_updated;
use crate::board::retention::DELETED_KEPT;
use crate::error::{Error, Result};
use crate::model::{ExternalIdentity, Role, SessionId, Timestamp, User, UserId, UserKind};
use crate::store::{
    BatchState, Effects, Needs, NewUserRow, Numbers, Settle, SingleWrite, Store, WriteCommand, identities,
};
use crate::unicode;

/// How many identities are looked up together.
const MAX_GROUP: usize = 100;
/// How many requests may wait for the user of an identity.
const MAX_WAITING: usize = 10_000;

/// The requests that wait for the user of an identity.
pub struct Arrivals {
    commands: Arc<Commands>,
    store: Arc<Store>,
    waiting: Mutex<Vec<(Arrival, oneshot::Sender<Result<UserId>>)>>,
    /// Held while a group is looked up.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// An identity, as a token shows it.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub identity: ExternalIdentity,
    pub issued_at: Timestamp,
    pub profile: StoredProfile,
}

impl Arrival {
    /// Whether the token was issued before this time, as far as it tells.
    fn is_from_before(&self, time: Timestamp) -> bool {
        self.issued_at != Timestamp(0) && self.issued_at < time
    }
}

impl Arrivals {
    pub fn new(commands: Arc<Commands>, store: Arc<Store>) -> Self {
        Self { commands, store, waiting: Mutex::default(), turn: Arc::default() }
    }

    /// The user of the token's identity, who is created if there is none.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the user was deleted after the token was issued. `UNAVAILABLE` if too many requests wait, or
    /// the database cannot be reached.
    pub async fn find_or_create(self: &Arc<Self>, token: &VerifiedToken) -> Result<UserId> {
        let VerifiedToken { identity, issued_at, profile, .. } = token;
        let profile = StoredProfile::of(profile);
        let arrival = Arrival { identity: identity.clone(), issued_at: *issued_at, profile };
        let (answer, mut answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MAX_WAITING {
                return Err(Error::Unavailable("the server is busy; try again".into()));
            }
            waiting.push((arrival, answer));
        }
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => {
                    return answer.unwrap_or_else(|_| Err(Error::internal("a group of identities was dropped")));
                }
                // A task of its own: the others of the group do not depend on this request.
                turn = Arc::clone(&self.turn).lock_owned() => drop(tokio::spawn(Arc::clone(self).serve_group(turn)).await),
            }
        }
    }

    async fn serve_group(self: Arc<Self>, _turn: OwnedMutexGuard<()>) {
        let group: Vec<_> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let size = waiting.len().min(MAX_GROUP);
            waiting.drain(..size).filter(|(_, answer)| !answer.is_closed()).collect()
        };
        let (arrivals, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let users = self.users(arrivals).await;
        for (index, answer) in answers.into_iter().enumerate() {
            let user = users.as_ref().map_err(Clone::clone).and_then(|users| users[index].clone());
            drop(answer.send(user));
        }
    }

    /// The user of each arrival, in the same order.
    async fn users(&self, arrivals: Vec<Arrival>) -> Result<Vec<Result<UserId>>> {
        let known = self.find(&arrivals).await?;
        let is_new = |arrival: &&Arrival| !known.contains_key(&arrival.identity);
        let new: Vec<_> = arrivals.iter().filter(is_new).cloned().collect();
        let mut created = HashMap::new();
        if !new.is_empty() {
            let outcomes = self.commands.write_access(CreateExternalUsers(new.clone())).await?;
            // The writer may have found its own commit in the log, which does not name new users.
            let later =
                if outcomes.iter().any(ArrivalResult::is_unnamed) { self.find(&new).await? } else { HashMap::new() };
            created.extend(new.into_iter().zip(outcomes).map(|(arrival, outcome)| {
                let user = later.get(&arrival.identity).copied().map_or(outcome.0, Ok);
                (arrival.identity, user)
            }));
        }
        let user = |arrival: Arrival| {
            let known = known.get(&arrival.identity).copied().map(Ok);
            known.or_else(|| created.get(&arrival.identity).cloned()).unwrap_or_else(|| Err(unnamed()))
        };
        Ok(arrivals.into_iter().map(user).collect())
    }

    async fn find(&self, arrivals: &[Arrival]) -> Result<HashMap<ExternalIdentity, UserId>> {
        let wanted: Vec<_> = arrivals.iter().map(|arrival| arrival.identity.clone()).collect();
        self.store.read(move |snapshot| identities::users_of(snapshot.db(), &wanted)).await
    }
}

/// Creates the users of identities that have none.
pub(super) struct CreateExternalUsers(pub Vec<Arrival>);

/// The user of an identity, or why there is none.
#[derive(Debug, PartialEq)]
pub(super) struct ArrivalResult(pub Result<UserId>);

impl ArrivalResult {
    fn is_unnamed(&self) -> bool {
        self.0.as_ref().is_ok_and(|user| user.0 < 0)
    }
}

impl Settle for ArrivalResult {
    fn settle(&mut self, numbers: &Numbers) {
        if let Ok(user) = &mut self.0 {
            user.settle(numbers);
        }
    }
}

impl WriteCommand for CreateExternalUsers {
    type Output = Vec<ArrivalResult>;

    fn needs(&self, needs: &mut Needs) {
        let names = |arrival: &Arrival| {
            let usernames = arrival.profile.usernames(&arrival.identity);
            usernames.into_iter().chain(arrival.profile.display_name.clone())
        };
        needs.similar_users(self.0.iter().flat_map(names).collect(), None);
        needs.identities(self.0.iter().map(|arrival| arrival.identity.clone()).collect());
    }

    fn decide(&self, state: &BatchState) -> Result<(Vec<ArrivalResult>, Effects)> {
        let mut effects = state.effects();
        let (mut rows, mut outcomes) = (Vec::new(), Vec::new());
        let (mut created, mut names) = (HashMap::new(), NewNames { state, forms: HashSet::new() });
        for arrival in &self.0 {
            let identity = &arrival.identity;
            let known = state.user_of(identity).or_else(|| created.get(identity).copied());
            let outcome = match known {
                Some(user) => Ok(user),
                None if state.deleted_at(identity).is_some_and(|at| arrival.issued_at <= at) => {
                    Err(Error::Unauthenticated("the user of this token was deleted".into()))
                }
                None if arrival.is_from_before(state.now().before(DELETED_KEPT)) => {
                    Err(Error::Unauthenticated("the token is too old to create a user: sign in again".into()))
                }
                None => {
                    let id = UserId(-1 - i64::try_from(rows.len()).map_err(Error::internal)?);
                    new_user(arrival, id, state.now(), &mut names).map(|row| {
                        rows.push(row);
                        record_user_updated(&mut effects, id, None);
                        created.insert(identity, id);
                        id
                    })
                }
            };
            outcomes.push(ArrivalResult(outcome));
        }
        if !rows.is_empty() {
            effects.write(SingleWrite::AddUsers(rows));
        }
        Ok((outcomes, effects))
    }
}

fn new_user(arrival: &Arrival, id: UserId, now: Timestamp, names: &mut NewNames<'_>) -> Result<NewUserRow> {
    let Arrival { identity, profile, issued_at } = arrival;
    let username = names.choose(profile.usernames(identity))?;
    let is_free = |name: &&String| names.is_free(name).unwrap_or(false);
    let display_name = profile.display_name.as_ref().filter(is_free).unwrap_or(&username).clone();
    names.add(&username);
    let user = User {
        id,
        username,
        display_name,
        role: profile.role.unwrap_or(Role::Member),
        disabled: false,
        token_version: 0,
        organization_id: None,
        location_id: None,
        created_at: now,
        last_session: SessionId(0),
        kind: UserKind::Person,
        email: profile.email.clone(),
        deleted_at: None,
    };
    Ok(NewUserRow { user, password_hash: String::new(), identity: Some(identity.clone()), profile_at: *issued_at })
}

/// The usernames of a group. No name may look like another one.
struct NewNames<'s> {
    state: &'s BatchState,
    /// The new usernames, in the forms that are compared.
    forms: HashSet<String>,
}

impl NewNames<'_> {
    fn choose(&self, candidates: Vec<String>) -> Result<String> {
        for name in candidates {
            if self.is_free(&name)? {
                return Ok(name);
            }
        }
        Err(Error::Conflict("no username is free for the user of this token".into()))
    }

    fn is_free(&self, name: &str) -> Result<bool> {
        let is_new = || [unicode::skeleton(name), unicode::look(name)].iter().any(|form| self.forms.contains(form));
        Ok(self.state.similar_name(name)?.is_none() && !is_new())
    }

    fn add(&mut self, username: &str) {
        self.forms.extend([unicode::skeleton(username), unicode::look(username)]);
    }
}

fn unnamed() -> Error {
    Error::Unavailable("the user may not have been created; try again".into())
}
