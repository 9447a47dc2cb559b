//! Passwords as Argon2id hashes. Owns the cost of a hash, how many are computed at once and how many wait; must
//! never compute one on an async thread. Which user a hash belongs to is `board`'s business.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::capacity::{Share, Turn, Turns};
use crate::error::{Error, Result};
use crate::model::Party;
use crate::unicode;

/// OWASP's Password Storage Cheat Sheet, Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;

/// How long a sign-in may wait for others before it is refused.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a turn is taken to last before any was measured.
const USUAL: Duration = Duration::from_millis(40);

/// How many sign-ins may wait at most, however quick passwords are: what their bodies take of memory is bounded.
const LONGEST_QUEUE: usize = 4_096;

/// What a caller reads whose turn does not come.
const BUSY: &str = "too many are signing in at this moment; try again";

/// The letters of a generated password: 32 of them, none that looks like another (l, o, 0, 1).
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Hashes and checks passwords, a few at a time: each takes 19 MiB and a core for some 20 ms, so
/// a flood of sign-ins must queue here instead of taking the machine from everybody else.
#[derive(Clone)]
pub struct Passwords {
    cost: Cost,
    parallel: usize,
    /// As many as passwords at once. The queue before them is as long as can be served within [`PATIENCE`], and callers
    /// take turns in it: a flood from one address is its own loss.
    turns: Turns,
    /// How long a turn lasted of late.
    pace: Arc<Mutex<Duration>>,
    /// What a password is compared with where there is no user: a hash that no password has, at
    /// the same cost, so that the time of the answer does not tell which usernames exist.
    nobody: Arc<str>,
}

/// One caller's turn.
pub struct PasswordTurn {
    since: Instant,
    passwords: Passwords,
    _turn: Turn,
}

#[derive(Clone, Copy)]
struct Cost {
    memory_kib: u32,
    iterations: u32,
}

impl Passwords {
    /// At most `parallel` passwords at once (at least one), at the cost OWASP recommends.
    #[must_use]
    pub fn new(parallel: usize) -> Self {
        Self::with_cost(parallel, MEMORY_KIB, ITERATIONS)
    }

    /// The same at another cost: test suites sign in a thousand times. Argon2's least cost is
    /// 8 KiB and one pass.
    #[must_use]
    pub fn with_cost(parallel: usize, memory_kib: u32, iterations: u32) -> Self {
        let cost =
            Cost { memory_kib: memory_kib.max(Params::MIN_M_COST), iterations: iterations.max(Params::MIN_T_COST) };
        let parallel = parallel.max(1);
        let slots = Share { total: parallel, anonymous: parallel, each: parallel };
        let turns = Turns::new(slots, queue(parallel, USUAL), PATIENCE, BUSY);
        Self { cost, parallel, turns, pace: Arc::new(Mutex::new(USUAL)), nobody: cost.unmatchable().into() }
    }

    /// The turn of one caller, with which passwords can be hashed and compared. To be taken before any other turn: who
    /// waits for a password must not keep what others need.
    ///
    /// # Errors
    /// [`Error::Unavailable`] at once when more wait than can be served in time, or when the turn does not come.
    pub async fn turn(&self, party: Party) -> Result<PasswordTurn> {
        let turn = self.turns.take(party).await?;
        Ok(PasswordTurn { since: Instant::now(), passwords: self.clone(), _turn: turn })
    }

    /// The hash to store for a new password, as a PHC string with a salt of its own.
    ///
    /// # Errors
    /// [`Error::Internal`] when the machine gives no memory or no randomness.
    pub async fn hash(&self, turn: PasswordTurn, password: String) -> Result<(String, PasswordTurn)> {
        let cost = self.cost;
        self.in_turn(turn, move || cost.hash(&unicode::prepared(&password))).await
    }

    /// Whether this is the password of that hash. `None` (there is no such user) takes as long and
    /// is `false`.
    ///
    /// # Errors
    /// [`Error::Internal`] when the stored hash cannot be read.
    pub async fn verify(
        &self,
        turn: PasswordTurn,
        password: String,
        hash: Option<String>,
    ) -> Result<(bool, PasswordTurn)> {
        let nobody = Arc::clone(&self.nobody);
        self.in_turn(turn, move || matches_any(&password, hash.as_deref().unwrap_or(&nobody))).await
    }

    /// Works on a thread that may block. The turn moves with the work: a client that hangs up does not stop the thread, so
    /// it must not free the place either.
    async fn in_turn<T: Send + 'static>(
        &self,
        turn: PasswordTurn,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<(T, PasswordTurn)> {
        let working = tokio::task::spawn_blocking(move || work().map(|done| (done, turn)));
        working.await.map_err(Error::internal)?
    }
}

impl Drop for PasswordTurn {
    /// The queue is as long as can be served in time at the pace of late.
    fn drop(&mut self) {
        let Passwords { parallel, turns, pace, .. } = &self.passwords;
        let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
        *pace = (*pace * 7 + self.since.elapsed()) / 8;
        turns.set_room(queue(*parallel, *pace));
    }
}

/// How many may wait for so many turns of this length.
fn queue(parallel: usize, pace: Duration) -> Share {
    let served = PATIENCE.as_secs_f64() / pace.as_secs_f64().max(0.000_1);
    let total = (served as usize).saturating_mul(parallel).clamp(1, LONGEST_QUEUE);
    Share { total, anonymous: total, each: total }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("parallel", &self.parallel).finish_non_exhaustive()
    }
}

impl Cost {
    fn hash(self, password: &str) -> Result<String> {
        let params = Params::new(self.memory_kib, self.iterations, 1, None).map_err(Error::internal)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(argon2.hash_password(password.as_bytes()).map_err(Error::internal)?.to_string())
    }

    /// A well-formed hash of this cost that no known password has: made of random bytes, so making
    /// it takes no time.
    fn unmatchable(self) -> String {
        let Self { memory_kib, iterations } = self;
        let salt = STANDARD_NO_PAD.encode(rand::random::<[u8; 16]>());
        let hash = STANDARD_NO_PAD.encode(rand::random::<[u8; 32]>());
        format!("$argon2id$v=19$m={memory_kib},t={iterations},p=1${salt}${hash}")
    }
}

/// Whether the password matches in the form in which passwords are hashed now, or as it was typed: until version 0.1.0
/// they were hashed so. That is two hashes at most, and none more for users that do not exist or for a right password.
fn matches_any(password: &str, hash: &str) -> Result<bool> {
    let prepared = unicode::prepared(password);
    Ok(matches_hash(&prepared, hash)? || (prepared != password && matches_hash(password, hash)?))
}

/// The cost is the one written in the hash, so raising it later leaves older hashes valid.
fn matches_hash(password: &str, hash: &str) -> Result<bool> {
    match Argon2::default().verify_password(password.as_bytes(), hash) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(Error::internal(format_args!("a stored password hash cannot be used: {error}"))),
    }
}

/// The hash to store for a password, on this very thread: for the command line, which has nobody
/// waiting beside it.
///
/// # Errors
/// [`Error::Internal`] when the machine gives no memory or no randomness.
pub fn hash_blocking(password: &str) -> Result<String> {
    Cost { memory_kib: MEMORY_KIB, iterations: ITERATIONS }.hash(&unicode::prepared(password))
}

/// A new password of 100 random bits, easy to read out: `k7m2p-…` in four groups of five.
#[must_use]
pub fn generate_password() -> String {
    let letters = rand::random::<[u8; 20]>().map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    letters.chunks(5).map(String::from_iter).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::FutureExt as _;

    use super::*;

    const HOME: Party = Party::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    const AWAY: Party = Party::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

    fn cheap() -> Passwords {
        Passwords::with_cost(2, 64, 1)
    }

    async fn hash_of(passwords: &Passwords, password: &str) -> String {
        passwords.hash(passwords.turn(HOME).await.unwrap(), password.into()).await.unwrap().0
    }

    async fn is_match(passwords: &Passwords, password: &str, hash: Option<String>) -> Result<bool> {
        let verified = passwords.verify(passwords.turn(HOME).await?, password.into(), hash).await;
        verified.map(|(is_right, _)| is_right)
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = cheap();
        let hash = hash_of(&passwords, "correct horse").await;
        assert!(is_match(&passwords, "correct horse", Some(hash.clone())).await.unwrap());
        assert!(!is_match(&passwords, "correct hors", Some(hash.clone())).await.unwrap());
        assert!(!is_match(&passwords, "", Some(hash.clone())).await.unwrap());
        assert_ne!(hash, hash_of(&passwords, "correct horse").await, "each has a salt of its own");
    }

    #[tokio::test]
    async fn accents_match_however_they_were_typed() {
        let (passwords, composed, decomposed) = (cheap(), "Gr\u{fc}\u{df}e 123", "Gru\u{308}\u{df}e\u{a0}123");
        for typed in [composed, decomposed] {
            let hash = hash_of(&passwords, typed).await;
            for again in [composed, decomposed] {
                assert!(is_match(&passwords, again, Some(hash.clone())).await.unwrap(), "{typed} {again}");
            }
        }
        let old = passwords.cost.hash(decomposed).unwrap();
        assert!(is_match(&passwords, decomposed, Some(old)).await.unwrap(), "a hash of version 0.1.0");
    }

    #[tokio::test]
    async fn nobody_is_checked_at_the_same_cost_and_never_matches() {
        let passwords = cheap();
        assert!(!is_match(&passwords, "anything", None).await.unwrap());
        let real = hash_of(&passwords, "x").await;
        let cost_of = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cost_of(&real), cost_of(&passwords.nobody));
        assert_eq!(real.len(), passwords.nobody.len());
    }

    #[tokio::test]
    async fn a_broken_hash_is_our_fault_and_stays_out_of_the_error() {
        let error = is_match(&cheap(), "x", Some("not-a-hash".into())).await.unwrap_err();
        assert!(matches!(&error, Error::Internal(detail) if !detail.contains("not-a-hash")), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends() {
        let passwords = Passwords::with_cost(1, 64, 1);
        let _all = passwords.turn(HOME).await.unwrap();
        assert_eq!(passwords.turn(AWAY).await.err().map(|error| error.code()), Some("UNAVAILABLE"));
    }

    #[tokio::test]
    async fn what_cannot_be_served_in_time_is_refused_at_once_and_a_flood_keeps_no_other_address_out() {
        let passwords = Passwords::with_cost(1, 64, 1);
        let held = passwords.turn(HOME).await.unwrap();
        let room = queue(1, USUAL).total;
        let mut flood: Vec<_> = (0..room).map(|_| Box::pin(passwords.turn(HOME))).collect();
        assert!(flood.iter_mut().all(|waiting| waiting.as_mut().now_or_never().is_none()));
        assert!(passwords.turn(HOME).now_or_never().expect("at once").is_err());
        let mut other = Box::pin(passwords.turn(AWAY));
        assert!(other.as_mut().now_or_never().is_none(), "it waits");
        drop(held);
        let first = flood[0].as_mut().now_or_never();
        drop(first.expect("it came first").expect("a turn"));
        assert!(other.now_or_never().expect("the other address is next").is_ok());
    }

    #[test]
    fn the_queue_is_as_long_as_can_be_served() {
        assert_eq!(queue(1, Duration::from_millis(30)).total, 100);
        assert_eq!(queue(4, Duration::from_millis(30)).total, 400);
        assert_eq!(queue(1, Duration::from_secs(60)).total, 1);
        assert_eq!(queue(64, Duration::ZERO).total, LONGEST_QUEUE);
    }

    #[test]
    fn the_command_line_hashes_at_full_cost() {
        let hash = hash_blocking("x").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(matches_hash("x", &hash).unwrap());
    }

    #[test]
    fn generated_passwords_differ_and_read_well() {
        let password = generate_password();
        assert_eq!(password.len(), 23);
        assert!(password.split('-').all(|group| group.len() == 5 && group.bytes().all(|b| LETTERS.contains(&b))));
        assert_ne!(password, generate_password());
    }
}
