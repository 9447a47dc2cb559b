//! How instances on one PostgreSQL wake each other: each listens on a connection of its own and says
//! there how far it has brought the log. A lost word costs nothing but time, for the tail looks by
//! itself, too; a lost connection is made anew, and then the log is looked at.

use std::future::poll_fn;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, Trust};
use super::watch::Inbox;
use crate::error::Error;
use crate::model::Cursor;

/// The channel of the database on which positions are said.
const CHANNEL: &str = "tidings";
/// How long is waited before the connection is made anew, at first and at most; half of it at random.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// What libpq is told for the other connections (`connection.rs`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(5), Duration::from_secs(2), 3);
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// Which parameters of a libpq URL mean the same here; the others are about what is set above.
const SHARED: [&str; 12] = [
    "user",
    "password",
    "dbname",
    "options",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
    "sslnegotiation",
];

/// Which parameters of libpq decide how a connection is made and are not known here.
const UNKNOWN: [&str; 9] =
    ["sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile", "service", "gssencmode", "krbsrvname", "require_auth"];

/// Where and how to listen.
pub struct Ear {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Ear {
    /// For the database of a libpq URL.
    ///
    /// # Errors
    /// If the URL cannot be understood.
    pub fn new(url: &str) -> Result<Self, Error> {
        let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
        let pairs = || parameters.split('&').filter_map(|pair| pair.split_once('='));
        let unusable = Error::Internal;
        let mut shared = Vec::new();
        for (name, value) in pairs().filter(|(name, _)| SHARED.contains(name)) {
            let value =
                if name == "target_session_attrs" { session_attributes(value).map_err(unusable)? } else { value };
            shared.push(format!("{name}={value}"));
        }
        for (name, _) in pairs().filter(|(name, _)| UNKNOWN.contains(name)) {
            tracing::warn!("the connection that listens to other instances does not know {name}, and goes without");
        }
        // What it says on errors does not repeat the URL.
        let config = format!("{place}?{}", shared.join("&")).parse::<Config>();
        let mut config = config.map_err(|error| unusable(error.to_string()))?;
        let decoded = form_urlencoded::parse(parameters.as_bytes());
        let authorities = decoded.filter(|(name, _)| name == "sslrootcert").map(|(_, file)| file.into_owned()).last();
        let mode = pairs().filter(|(name, _)| *name == "sslmode").map(|(_, mode)| mode).next_back().unwrap_or("prefer");
        let (mode, trust) = encryption(mode, authorities.is_some()).map_err(unusable)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        let (idle, interval, retries) = KEEPALIVE;
        config.ssl_mode(mode).application_name("tidings listener").tcp_user_timeout(USER_TIMEOUT);
        config.keepalives_idle(idle).keepalives_interval(interval).keepalives_retries(retries);
        let tls = tls::client(trust, authorities.as_deref()).map_err(unusable)?;
        Ok(Self { config, tls: MakeRustlsConnect::new(tls) })
    }

    /// Listens until aborted, or until nobody has anything to say any more: what others say goes to
    /// `heard`, what is put into `own` is said.
    pub async fn listen(self, heard: Weak<Inbox>, mut own: watch::Receiver<Option<Cursor>>) {
        let mut pause = PAUSE;
        while let Err(lost) = self.session(&heard, &mut own, &mut pause).await {
            tracing::warn!(%lost, "not listening: what other instances change is seen within a second");
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One connection's life.
    async fn session(
        &self,
        heard: &Weak<Inbox>,
        own: &mut watch::Receiver<Option<Cursor>>,
        pause: &mut Duration,
    ) -> Result<(), tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let put = |head| heard.upgrade().into_iter().for_each(|heard| heard.put(head));
        let hearing = async {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(said) = message? {
                    // Another version may say it in other words: then the log is looked at.
                    put(said.payload().parse().ok());
                }
            }
            Ok(())
        };
        let talking = async {
            // A word need not survive a crash, so nothing waits for the disk.
            client.batch_execute(&format!("SET synchronous_commit = off; LISTEN {CHANNEL}")).await?;
            *pause = PAUSE;
            // Only now nothing is missed: what happened before is in the log.
            put(None);
            while own.changed().await.is_ok() {
                let Some(head) = own.borrow_and_update().map(|head| head.to_string()) else { continue };
                client.execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &head]).await?;
            }
            Ok(())
        };
        tokio::select! {
            broken = hearing => broken,
            ended = talking => ended,
        }
    }
}

/// What `target_session_attrs` of libpq 14 means for a connection that says something: it needs a server that writes.
fn session_attributes(value: &str) -> Result<&str, String> {
    match value {
        "any" | "read-write" => Ok(value),
        "primary" => Ok("read-write"),
        // libpq takes a standby only if there is one; a standby is refused at the start.
        "prefer-standby" => Ok("any"),
        other => Err(format!(
            "target_session_attrs={other} leads to a server that takes no changes: use read-write or primary"
        )),
    }
}

/// What `sslmode` means: whether to encrypt, and how much to look at the certificate. As libpq has it, a file
/// of authorities makes `require` look at it.
fn encryption(mode: &str, has_authorities: bool) -> Result<(SslMode, Trust), String> {
    match mode {
        "disable" => Ok((SslMode::Disable, Trust::Anybody)),
        "allow" | "prefer" => Ok((SslMode::Prefer, Trust::Anybody)),
        "require" if has_authorities => Ok((SslMode::Require, Trust::Authority)),
        "require" => Ok((SslMode::Require, Trust::Anybody)),
        "verify-ca" => Ok((SslMode::Require, Trust::Authority)),
        "verify-full" => Ok((SslMode::Require, Trust::Host)),
        other => Err(format!("sslmode {other:?} is none of disable, allow, prefer, require, verify-ca, verify-full")),
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::TargetSessionAttrs;

    use super::*;

    #[test]
    fn a_url_of_libpq_is_understood() {
        let url = "postgres://me:s%26cret@db:5433/tidings?sslmode=require&keepalives_count=9&connect_timeout=7";
        let ear = Ear::new(url).unwrap();
        assert_eq!(ear.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(ear.config.get_password(), Some(&b"s&cret"[..]));
        assert_eq!(ear.config.get_ports(), [5433]);
        assert_eq!(ear.config.get_connect_timeout(), Some(&Duration::from_secs(7)));
        assert_eq!(Ear::new("postgres://me@db/tidings").unwrap().config.get_ssl_mode(), SslMode::Prefer);
    }

    #[test]
    fn every_word_of_libpq_for_a_server_that_writes_is_understood() {
        for (said, meant) in [
            ("primary", TargetSessionAttrs::ReadWrite),
            ("read-write", TargetSessionAttrs::ReadWrite),
            ("any", TargetSessionAttrs::Any),
            ("prefer-standby", TargetSessionAttrs::Any),
        ] {
            let ear = Ear::new(&format!("postgres://me@a,b/t?target_session_attrs={said}")).unwrap();
            assert_eq!(ear.config.get_target_session_attrs(), meant, "{said}");
        }
        for standby in ["standby", "read-only", "maybe"] {
            let refused = Ear::new(&format!("postgres://me@a,b/t?target_session_attrs={standby}"));
            assert!(matches!(refused, Err(Error::Internal(line)) if line.contains(standby)), "{standby}");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let refusal = |url: &str| match Ear::new(url) {
            Err(Error::Internal(detail)) => detail,
            other => panic!("{url}: {:?}", other.err()),
        };
        assert!(refusal("postgres://me@db/t?sslmode=verify-full").contains("sslrootcert"));
        assert!(refusal("postgres://me@db/t?sslmode=maybe").contains("sslmode"));
        assert!(refusal("postgres://me@db/t?sslmode=verify-ca&sslrootcert=/no/such/file").contains("/no/such/file"));
    }
}
