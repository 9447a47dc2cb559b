//! Passwords as Argon2id hashes. Owns the cost of a hash and how many are computed at once; must
//! never compute one on an async thread. Which user a hash belongs to is `board`'s business.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::unicode;

/// OWASP's Password Storage Cheat Sheet, Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;

/// How long a sign-in may wait for others before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(3);

/// The letters of a generated password: 32 of them, none that looks like another (l, o, 0, 1).
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Hashes and checks passwords, a few at a time: each takes 19 MiB and a core for some 20 ms, so
/// a flood of sign-ins must queue here instead of taking the machine from everybody else.
#[derive(Clone)]
pub struct Passwords {
    cost: Cost,
    turns: Arc<Semaphore>,
    /// What a password is compared with where there is no user: a hash that no password has, at
    /// the same cost, so that the time of the answer does not tell which usernames exist.
    nobody: Arc<str>,
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
        let turns = parallel.clamp(1, Semaphore::MAX_PERMITS);
        Self { cost, turns: Arc::new(Semaphore::new(turns)), nobody: cost.unmatchable().into() }
    }

    /// The hash to store for a new password, as a PHC string with a salt of its own.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when too many others are signing in.
    pub async fn hash(&self, password: String) -> Result<String> {
        let cost = self.cost;
        self.in_turn(move || cost.hash(&unicode::prepared(&password))).await
    }

    /// Whether this is the password of that hash. `None` (there is no such user) takes as long and
    /// is `false`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when too many others are signing in, [`Error::Internal`] when the
    /// stored hash cannot be read.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        let nobody = Arc::clone(&self.nobody);
        self.in_turn(move || matches_any(&password, hash.as_deref().unwrap_or(&nobody))).await
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let turn = self.turn().await?;
        // The turn moves with the work: a client that hangs up does not stop the thread, so it
        // must not free the place either.
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        match timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(turn) => turn.map_err(Error::internal),
            Err(_) => Err(Error::Unavailable("too many are signing in at this moment; try again".into())),
        }
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("free", &self.turns.available_permits()).finish_non_exhaustive()
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
    use super::*;

    fn cheap() -> Passwords {
        Passwords::with_cost(2, 64, 1)
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = cheap();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct hors".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(String::new(), Some(hash.clone())).await.unwrap());
        assert_ne!(hash, passwords.hash("correct horse".into()).await.unwrap(), "each has a salt of its own");
    }

    #[tokio::test]
    async fn accents_match_however_they_were_typed() {
        let (passwords, composed, decomposed) = (cheap(), "Gr\u{fc}\u{df}e 123", "Gru\u{308}\u{df}e\u{a0}123");
        for typed in [composed, decomposed] {
            let hash = passwords.hash(typed.into()).await.unwrap();
            for again in [composed, decomposed] {
                assert!(passwords.verify(again.into(), Some(hash.clone())).await.unwrap(), "{typed} {again}");
            }
        }
        let old = passwords.cost.hash(decomposed).unwrap();
        assert!(passwords.verify(decomposed.into(), Some(old)).await.unwrap(), "a hash of version 0.1.0");
    }

    #[tokio::test]
    async fn nobody_is_checked_at_the_same_cost_and_never_matches() {
        let passwords = cheap();
        assert!(!passwords.verify("anything".into(), None).await.unwrap());
        let real = passwords.hash("x".into()).await.unwrap();
        let cost_of = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cost_of(&real), cost_of(&passwords.nobody));
        assert_eq!(real.len(), passwords.nobody.len());
    }

    #[tokio::test]
    async fn a_broken_hash_is_our_fault_and_stays_out_of_the_error() {
        let error = cheap().verify("x".into(), Some("not-a-hash".into())).await.unwrap_err();
        assert!(matches!(&error, Error::Internal(detail) if !detail.contains("not-a-hash")), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends() {
        let passwords = Passwords::with_cost(1, 64, 1);
        let _all = passwords.turn().await.unwrap();
        let error = passwords.verify("x".into(), None).await.unwrap_err();
        assert_eq!(error.code(), "UNAVAILABLE");
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
