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

use super::tls::{self, CertificateCheck};
use super::watch::Inbox;
use crate::error::Error;
use crate::model::Cursor;

/// The channel of the database on which positions are said.
const CHANNEL: &str = "tidings";
/// How long is waited before the connection is made anew, at first and at most; half of it at random.
const MIN_RECONNECT_DELAY: Duration = Duration::from_millis(100);
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(3);
/// What libpq is told for the other connections (`connection.rs`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(5), Duration::from_secs(2), 3);
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// Which parameters of a libpq URL mean the same here; the others are about what is set above.
const FORWARDED_PARAMETERS: [&str; 12] = [
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
const UNSUPPORTED_PARAMETERS: [&str; 9] =
    ["sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile", "service", "gssencmode", "krbsrvname", "require_auth"];

/// Where and how to listen.
pub struct PgListener {
    config: Config,
    tls: MakeRustlsConnect,
}

impl PgListener {
    /// For the database of a libpq URL.
    ///
    /// # Errors
    /// If the URL cannot be understood.
    pub fn new(url: &str) -> Result<Self, Error> {
        let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
        let pairs = || parameters.split('&').filter_map(|pair| pair.split_once('='));
        let invalid = Error::Internal;
        let mut forwarded = Vec::new();
        for (name, value) in pairs().filter(|(name, _)| FORWARDED_PARAMETERS.contains(name)) {
            let value =
                if name == "target_session_attrs" { target_session_attrs(value).map_err(invalid)? } else { value };
            forwarded.push(format!("{name}={value}"));
        }
        for (name, _) in pairs().filter(|(name, _)| UNSUPPORTED_PARAMETERS.contains(name)) {
            tracing::warn!("the connection that listens to other instances does not know {name}, and goes without");
        }
        // What it says on errors does not repeat the URL.
        let config = format!("{place}?{}", forwarded.join("&")).parse::<Config>();
        let mut config = config.map_err(|error| invalid(error.to_string()))?;
        let decoded = form_urlencoded::parse(parameters.as_bytes());
        let root_file = decoded.filter(|(name, _)| name == "sslrootcert").map(|(_, file)| file.into_owned()).last();
        let mode = pairs().filter(|(name, _)| *name == "sslmode").map(|(_, mode)| mode).next_back().unwrap_or("prefer");
        let (mode, check) = parse_ssl_mode(mode, root_file.is_some()).map_err(invalid)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        let (idle, interval, retries) = KEEPALIVE;
        config.ssl_mode(mode).application_name("tidings listener").tcp_user_timeout(USER_TIMEOUT);
        config.keepalives_idle(idle).keepalives_interval(interval).keepalives_retries(retries);
        let tls = tls::client(check, root_file.as_deref()).map_err(invalid)?;
        Ok(Self { config, tls: MakeRustlsConnect::new(tls) })
    }

    /// Listens until aborted, or until nobody has anything to say any more: what others say goes to
    /// `heard`, what is put into `own` is said.
    pub async fn listen(self, inbox: Weak<Inbox>, mut own_head: watch::Receiver<Option<Cursor>>) {
        let mut delay = MIN_RECONNECT_DELAY;
        while let Err(error) = self.run_connection(&inbox, &mut own_head, &mut delay).await {
            tracing::warn!(%error, "not listening: what other instances change is seen within a second");
            tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..1.0))).await;
            delay = (delay * 2).min(MAX_RECONNECT_DELAY);
        }
    }

    /// One connection's life.
    async fn run_connection(
        &self,
        inbox: &Weak<Inbox>,
        own_head: &mut watch::Receiver<Option<Cursor>>,
        delay: &mut Duration,
    ) -> Result<(), tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let notify = |head| inbox.upgrade().into_iter().for_each(|inbox| inbox.notify(head));
        let receiving = async {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message? {
                    // Another version may say it in other words: then the log is looked at.
                    notify(notification.payload().parse().ok());
                }
            }
            Ok(())
        };
        let announcing = async {
            // A word need not survive a crash, so nothing waits for the disk.
            client.batch_execute(&format!("SET synchronous_commit = off; LISTEN {CHANNEL}")).await?;
            *delay = MIN_RECONNECT_DELAY;
            // Only now nothing is missed: what happened before is in the log.
            notify(None);
            while own_head.changed().await.is_ok() {
                let Some(head) = own_head.borrow_and_update().map(|head| head.to_string()) else { continue };
                client.execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &head]).await?;
            }
            Ok(())
        };
        tokio::select! {
            broken = receiving => broken,
            ended = announcing => ended,
        }
    }
}

/// What `target_session_attrs` of libpq 14 means for a connection that says something: it needs a server that writes.
fn target_session_attrs(value: &str) -> Result<&str, String> {
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
fn parse_ssl_mode(mode: &str, has_root_file: bool) -> Result<(SslMode, CertificateCheck), String> {
    match mode {
        "disable" => Ok((SslMode::Disable, CertificateCheck::Unchecked)),
        "allow" | "prefer" => Ok((SslMode::Prefer, CertificateCheck::Unchecked)),
        "require" if has_root_file => Ok((SslMode::Require, CertificateCheck::Authority)),
        "require" => Ok((SslMode::Require, CertificateCheck::Unchecked)),
        "verify-ca" => Ok((SslMode::Require, CertificateCheck::Authority)),
        "verify-full" => Ok((SslMode::Require, CertificateCheck::Host)),
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
        let listener = PgListener::new(url).unwrap();
        assert_eq!(listener.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(listener.config.get_password(), Some(&b"s&cret"[..]));
        assert_eq!(listener.config.get_ports(), [5433]);
        assert_eq!(listener.config.get_connect_timeout(), Some(&Duration::from_secs(7)));
        assert_eq!(PgListener::new("postgres://me@db/tidings").unwrap().config.get_ssl_mode(), SslMode::Prefer);
    }

    #[test]
    fn every_word_of_libpq_for_a_server_that_writes_is_understood() {
        for (value, expected) in [
            ("primary", TargetSessionAttrs::ReadWrite),
            ("read-write", TargetSessionAttrs::ReadWrite),
            ("any", TargetSessionAttrs::Any),
            ("prefer-standby", TargetSessionAttrs::Any),
        ] {
            let listener = PgListener::new(&format!("postgres://me@a,b/t?target_session_attrs={value}")).unwrap();
            assert_eq!(listener.config.get_target_session_attrs(), expected, "{value}");
        }
        for standby in ["standby", "read-only", "maybe"] {
            let refused = PgListener::new(&format!("postgres://me@a,b/t?target_session_attrs={standby}"));
            assert!(matches!(refused, Err(Error::Internal(line)) if line.contains(standby)), "{standby}");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let refusal = |url: &str| match PgListener::new(url) {
            Err(Error::Internal(detail)) => detail,
            other => panic!("{url}: {:?}", other.err()),
        };
        assert!(refusal("postgres://me@db/t?sslmode=verify-full").contains("sslrootcert"));
        assert!(refusal("postgres://me@db/t?sslmode=maybe").contains("sslmode"));
        assert!(refusal("postgres://me@db/t?sslmode=verify-ca&sslrootcert=/no/such/file").contains("/no/such/file"));
    }
}
