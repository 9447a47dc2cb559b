//! Hashing and checking of passwords with Argon2id. This module owns the cost of a hash, and the number of hashes that
//! are computed or wait at once. It never computes a hash on an async thread. It does not know which user a hash
//! belongs to.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::capacity::{FairLimits, FairPermit, FairSemaphore};
use crate::error::{Error, Result};
use crate::model::CapacityKey;
use crate::unicode;

/// Memory of one hash. The values follow OWASP's Password Storage Cheat Sheet for Argon2id: 19 MiB, two passes, one
/// lane.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;

/// Maximum time that a sign-in waits for other sign-ins before it is refused.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// Assumed duration of a permit until durations were measured.
const INITIAL_DURATION: Duration = Duration::from_millis(40);

/// Maximum number of sign-ins that wait, however fast hashing is. It bounds the memory of their requests.
const MAX_QUEUE: usize = 4_096;

/// The error message for a sign-in that gets no permit.
const BUSY: &str = "too many sign-ins are in progress; try again";

/// The characters of generated passwords: 32 letters and digits without those that look alike (l, o, 0, 1).
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Hashes and checks passwords, a bounded number at a time. Each takes 19 MiB and some 20 ms of a core. So a flood of
/// sign-ins must queue here instead of slowing all other requests down.
#[derive(Clone)]
pub struct Passwords {
    cost: HashCost,
    parallel: usize,
    /// One permit per password that is processed. The queue is as long as can be served within [`MAX_WAIT`]. Callers
    /// are served round-robin, so a flood of sign-ins from one address delays only that address.
    turns: FairSemaphore,
    /// Moving average of the time that a permit was held.
    average: Arc<Mutex<Duration>>,
    /// A hash that no password matches, at the same cost as real hashes. Sign-ins with an unknown username are compared
    /// with it, so that the response time does not reveal which usernames exist.
    unmatchable: Arc<str>,
}

/// A permit to hash and check passwords. Dropping it lets the next caller in.
pub struct PasswordPermit {
    since: Instant,
    passwords: Passwords,
    _turn: FairPermit,
}

#[derive(Clone, Copy)]
struct HashCost {
    memory_kib: u32,
    iterations: u32,
}

impl Passwords {
    /// Processes at most `parallel` passwords at once (at least one), at the cost that OWASP recommends.
    #[must_use]
    pub fn new(parallel: usize) -> Self {
        Self::with_cost(parallel, MEMORY_KIB, ITERATIONS)
    }

    /// Like [`Self::new`] with another cost, for test suites that sign in a thousand times. Values below Argon2's
    /// minimum of 8 KiB and one pass are raised to it.
    #[must_use]
    pub fn with_cost(parallel: usize, memory_kib: u32, iterations: u32) -> Self {
        let cost =
            HashCost { memory_kib: memory_kib.max(Params::MIN_M_COST), iterations: iterations.max(Params::MIN_T_COST) };
        let parallel = parallel.max(1);
        let slots = FairLimits { total: parallel, anonymous: parallel, each: parallel };
        let turns = FairSemaphore::new(slots, queue_limits(parallel, INITIAL_DURATION), MAX_WAIT, BUSY);
        Self {
            cost,
            parallel,
            turns,
            average: Arc::new(Mutex::new(INITIAL_DURATION)),
            unmatchable: cost.unmatchable().into(),
        }
    }

    /// Waits for a permit. Callers must take it before a permit for a mutation: a caller that waits for password
    /// hashing must not hold a permit that other mutations need.
    ///
    /// # Errors
    /// `UNAVAILABLE` at once if more callers wait than can be served in time; later if the permit does not come in
    /// time.
    pub async fn turn(&self, party: CapacityKey) -> Result<PasswordPermit> {
        let turn = self.turns.take(party).await?;
        Ok(PasswordPermit { since: Instant::now(), passwords: self.clone(), _turn: turn })
    }

    /// Hashes a new password. Returns a PHC string with a random salt, and the permit.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the system provides no memory or no randomness, or if the hashing thread panics.
    pub async fn hash(&self, turn: PasswordPermit, password: String) -> Result<(String, PasswordPermit)> {
        let cost = self.cost;
        self.run_blocking(turn, move || cost.hash(&unicode::normalized_password(&password))).await
    }

    /// Whether the password matches the hash. Without a hash, because the user does not exist, this takes the same time
    /// and returns `false`.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the stored hash is not a valid PHC string.
    pub async fn verify(
        &self,
        turn: PasswordPermit,
        password: String,
        hash: Option<String>,
    ) -> Result<(bool, PasswordPermit)> {
        let unmatchable = Arc::clone(&self.unmatchable);
        self.run_blocking(turn, move || matches_any(&password, hash.as_deref().unwrap_or(&unmatchable))).await
    }

    /// Runs `work` on a blocking thread, which owns the permit meanwhile. A client that disconnects does not stop the
    /// thread, so it must not release the permit either.
    async fn run_blocking<T: Send + 'static>(
        &self,
        turn: PasswordPermit,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<(T, PasswordPermit)> {
        let working = tokio::task::spawn_blocking(move || work().map(|done| (done, turn)));
        working.await.map_err(Error::internal)?
    }
}

impl Drop for PasswordPermit {
    /// Adjusts the length of the queue to the measured duration of permits.
    fn drop(&mut self) {
        let Passwords { parallel, turns, average, .. } = &self.passwords;
        let mut average = average.lock().unwrap_or_else(PoisonError::into_inner);
        *average = (*average * 7 + self.since.elapsed()) / 8;
        turns.set_queue_limits(queue_limits(*parallel, *average));
    }
}

/// The number of callers that `parallel` permits serve within [`MAX_WAIT`], if each permit is held for `duration`.
fn queue_limits(parallel: usize, duration: Duration) -> FairLimits {
    let served = MAX_WAIT.as_secs_f64() / duration.as_secs_f64().max(0.000_1);
    let total = (served as usize).saturating_mul(parallel).clamp(1, MAX_QUEUE);
    FairLimits { total, anonymous: total, each: total }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("parallel", &self.parallel).finish_non_exhaustive()
    }
}

impl HashCost {
    fn hash(self, password: &str) -> Result<String> {
        let params = Params::new(self.memory_kib, self.iterations, 1, None).map_err(Error::internal)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(argon2.hash_password(password.as_bytes()).map_err(Error::internal)?.to_string())
    }

    /// A well-formed hash with this cost that no known password matches. It consists of random bytes, so it is computed
    /// without hashing.
    fn unmatchable(self) -> String {
        let Self { memory_kib, iterations } = self;
        let salt = STANDARD_NO_PAD.encode(rand::random::<[u8; 16]>());
        let hash = STANDARD_NO_PAD.encode(rand::random::<[u8; 32]>());
        format!("$argon2id$v=19$m={memory_kib},t={iterations},p=1${salt}${hash}")
    }
}

/// Whether the password matches in its normalized form, or as it was typed. Version 0.1.0 and earlier hashed passwords
/// as they were typed. The second hash is computed only if the first does not match and the forms differ. So it never
/// depends on whether the user exists.
fn matches_any(password: &str, hash: &str) -> Result<bool> {
    let normalized = unicode::normalized_password(password);
    Ok(matches_hash(&normalized, hash)? || (normalized != password && matches_hash(password, hash)?))
}

/// Whether the password matches. The cost is read from the hash, so older hashes stay valid when the cost is raised.
fn matches_hash(password: &str, hash: &str) -> Result<bool> {
    match Argon2::default().verify_password(password.as_bytes(), hash) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(Error::internal(format_args!("a stored password hash cannot be used: {error}"))),
    }
}

/// Generates a password with 100 random bits in four groups of five characters, such as `k7m2p-…`. It is easy to read
/// out.
#[must_use]
pub fn generate_password() -> String {
    let letters = rand::random::<[u8; 20]>().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    letters.chunks(5).map(String::from_iter).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::FutureExt as _;

    use super::*;

    const HOME: CapacityKey = CapacityKey::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    const AWAY: CapacityKey = CapacityKey::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

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
        assert_ne!(hash, hash_of(&passwords, "correct horse").await, "each hash has its own salt");
    }

    #[tokio::test]
    async fn a_password_matches_in_every_unicode_form() {
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
    async fn an_unknown_user_costs_the_same_and_never_matches() {
        let passwords = cheap();
        assert!(!is_match(&passwords, "anything", None).await.unwrap());
        let real = hash_of(&passwords, "x").await;
        let cost_of = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cost_of(&real), cost_of(&passwords.unmatchable));
        assert_eq!(real.len(), passwords.unmatchable.len());
    }

    #[tokio::test]
    async fn an_invalid_hash_is_an_internal_error_without_the_hash_in_it() {
        let error = is_match(&cheap(), "x", Some("not-a-hash".into())).await.unwrap_err();
        assert!(matches!(&error, Error::Internal(detail) if !detail.contains("not-a-hash")), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_waits_too_long_is_refused() {
        let passwords = Passwords::with_cost(1, 64, 1);
        let _all = passwords.turn(HOME).await.unwrap();
        assert_eq!(passwords.turn(AWAY).await.err().map(|error| error.code()), Some("UNAVAILABLE"));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_one_address_does_not_keep_others_out() {
        let passwords = Passwords::with_cost(1, 64, 1);
        let held = passwords.turn(HOME).await.unwrap();
        let room = queue_limits(1, INITIAL_DURATION).total;
        let mut flood: Vec<_> = (0..room).map(|_| Box::pin(passwords.turn(HOME))).collect();
        assert!(flood.iter_mut().all(|waiting| waiting.as_mut().now_or_never().is_none()));
        assert!(passwords.turn(HOME).now_or_never().expect("at once").is_err());
        let mut other = Box::pin(passwords.turn(AWAY));
        assert!(other.as_mut().now_or_never().is_none(), "the caller waits");
        drop(held);
        let first = flood[0].as_mut().now_or_never();
        drop(first.expect("the first caller in the queue is served").expect("a permit"));
        assert!(other.now_or_never().expect("the other address is next").is_ok());
    }

    #[test]
    fn the_queue_is_as_long_as_can_be_served_in_time() {
        assert_eq!(queue_limits(1, Duration::from_millis(30)).total, 100);
        assert_eq!(queue_limits(4, Duration::from_millis(30)).total, 400);
        assert_eq!(queue_limits(1, Duration::from_secs(60)).total, 1);
        assert_eq!(queue_limits(64, Duration::ZERO).total, MAX_QUEUE);
    }

    #[test]
    fn hashes_have_the_recommended_cost() {
        let hash = Passwords::new(1).cost.hash("x").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(matches_hash("x", &hash).unwrap());
    }

    #[test]
    fn generated_passwords_differ_and_are_readable() {
        let password = generate_password();
        assert_eq!(password.len(), 23);
        assert!(password.split('-').all(|group| group.len() == 5 && group.bytes().all(|b| ALPHABET.contains(&b))));
        assert_ne!(password, generate_password());
    }
}
