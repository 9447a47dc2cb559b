//! Notifications between the instances that share a PostgreSQL database. Each instance has one connection for
//! LISTEN and NOTIFY, on which it announces its log head. A lost notification only delays readers, because the
//! log tailer also polls the log. After a lost connection, the listener reconnects and has the tailer read the
//! log.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::inbox::Inbox;
use super::outbox_signal::AWAKE_LOCK;
use super::relay::RelayEnds;
use super::tls::{self, CertificateCheck};
use crate::error::Error;
use crate::model::Cursor;

/// Name of the PostgreSQL notification channel on which instances announce their log heads.
const CHANNEL: &str = "tidings";
/// Name of the PostgreSQL notification channel on which instances pass texts to each other.
const RELAY_CHANNEL: &str = "tidings_relay";
/// Name of the PostgreSQL notification channel on which a trigger announces new rows of the outbox.
const OUTBOX_CHANNEL: &str = "tidings_outbox";
/// Delay before the lock of the outbox is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(500);
/// Delay before reconnecting: it starts at the first value and doubles up to the second. The actual delay is
/// random, between half of it and all of it.
const MIN_RECONNECT_DELAY: Duration = Duration::from_millis(100);
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(3);
/// Connection settings, the same as those that `connection.rs` gives to libpq.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(5), Duration::from_secs(2), 3);
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// Parameters of a libpq URL that mean the same for `tokio_postgres`. TLS and keepalive parameters are handled
/// separately.
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

/// libpq parameters that affect how a connection is made, and that `tokio_postgres` does not support.
const UNSUPPORTED_PARAMETERS: [&str; 9] =
    ["sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile", "service", "gssencmode", "krbsrvname", "require_auth"];

/// Configuration of the listening connection.
pub struct PgListener {
    config: Config,
    tls: MakeRustlsConnect,
}

impl PgListener {
    /// Parses a libpq URL.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` with one line for the operator if the URL is invalid or its TLS settings cannot
    /// be honoured.
    pub fn new(url: &str) -> Result<Self, Error> {
        let (base_url, parameters) = url.split_once('?').unwrap_or((url, ""));
        let pairs = || parameters.split('&').filter_map(|pair| pair.split_once('='));
        let invalid = Error::Internal;
        let mut forwarded = Vec::new();
        for (name, value) in pairs().filter(|(name, _)| FORWARDED_PARAMETERS.contains(name)) {
            let value =
                if name == "target_session_attrs" { target_session_attrs(value).map_err(invalid)? } else { value };
            forwarded.push(format!("{name}={value}"));
        }
        for (name, _) in pairs().filter(|(name, _)| UNSUPPORTED_PARAMETERS.contains(name)) {
            tracing::warn!(
                parameter = name,
                "the listening connection does not support this libpq parameter and ignores it"
            );
        }
        // The error messages of this parser do not contain the URL, so they cannot reveal the password.
        let config = format!("{base_url}?{}", forwarded.join("&")).parse::<Config>();
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

    /// Listens until the sender of `own_head` is dropped. Notifications of other instances go to `inbox`; each
    /// new value of `own_head` is announced to them. Texts pass through `relay`, if this is the one watch that has it.
    /// Reconnects whenever the connection is lost.
    pub async fn listen(
        self,
        inbox: Weak<Inbox>,
        mut own_head: watch::Receiver<Option<Cursor>>,
        mut relay: Option<RelayEnds>,
    ) {
        let mut delay = MIN_RECONNECT_DELAY;
        while let Err(error) = self.run_connection(&inbox, &mut own_head, &mut relay, &mut delay).await {
            tracing::warn!(%error, "listening connection lost; changes of other instances may appear up to 1 s late");
            tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..1.0))).await;
            delay = (delay * 2).min(MAX_RECONNECT_DELAY);
        }
    }

    /// Runs one connection until it breaks or the sender of `own_head` is dropped.
    async fn run_connection(
        &self,
        inbox: &Weak<Inbox>,
        own_head: &mut watch::Receiver<Option<Cursor>>,
        relay: &mut Option<RelayEnds>,
        delay: &mut Duration,
    ) -> Result<(), tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let Some(outbox) = inbox.upgrade().map(|inbox| Arc::clone(inbox.outbox())) else { return Ok(()) };
        let notify = |head| inbox.upgrade().into_iter().for_each(|inbox| inbox.notify(head));
        let (mut to_send, received) = match relay {
            Some(ends) => (Some(&mut ends.outgoing), Some(&ends.incoming)),
            None => (None, None),
        };
        let receiving = async {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message? {
                    if notification.channel() == OUTBOX_CHANNEL {
                        outbox.notify();
                        continue;
                    }
                    if notification.channel() == RELAY_CHANNEL {
                        // A text is lost while too many wait.
                        received.iter().for_each(|queue| drop(queue.try_send(notification.payload().to_owned())));
                        continue;
                    }
                    // A payload that cannot be parsed may come from a newer version: the tailer then reads the
                    // log.
                    notify(notification.payload().parse().ok());
                }
            }
            Ok(())
        };
        let announcing = async {
            // Notifications need not survive a crash, so do not wait for the disk.
            client
                .batch_execute(&format!(
                    "SET synchronous_commit = off; LISTEN {CHANNEL}; LISTEN {RELAY_CHANNEL}; LISTEN {OUTBOX_CHANNEL}"
                ))
                .await?;
            *delay = MIN_RECONNECT_DELAY;
            // From here on no notification is missed. Earlier changes are in the log, which the tailer now
            // reads.
            notify(None);
            outbox.notify();
            let (mut awake, mut has_lock) = (outbox.awake(), false);
            loop {
                let is_awake = *awake.borrow_and_update();
                if is_awake != has_lock {
                    has_lock = set_awake(&client, is_awake).await?;
                    // Rows that were committed before the lock was released were not announced.
                    if !is_awake {
                        outbox.notify();
                    }
                }
                let (channel, text) = tokio::select! {
                    changed = awake.changed() => match changed {
                        Ok(()) => continue,
                        Err(_) => return Ok(()),
                    },
                    () = tokio::time::sleep(LOCK_RETRY), if is_awake != has_lock => continue,
                    changed = own_head.changed() => match changed {
                        Ok(()) => (CHANNEL, own_head.borrow_and_update().map(|head| head.to_string())),
                        Err(_) => return Ok(()),
                    },
                    text = next_text(&mut to_send) => (RELAY_CHANNEL, Some(text)),
                };
                if let Some(text) = text {
                    client.execute("SELECT pg_notify($1, $2)", &[&channel, &text]).await?;
                }
            }
        };
        tokio::select! {
            broken = receiving => broken,
            ended = announcing => ended,
        }
    }
}

/// Takes or releases the lock that tells other programs that this instance is awake. Returns whether it has the lock:
/// another instance may have it.
async fn set_awake(client: &Client, is_awake: bool) -> Result<bool, tokio_postgres::Error> {
    let statement = if is_awake { "SELECT pg_try_advisory_lock($1)" } else { "SELECT pg_advisory_unlock($1)" };
    let done: bool = client.query_one(statement, &[&AWAKE_LOCK]).await?.get(0);
    Ok(done && is_awake)
}

/// The next text for other instances; waits forever if there is none.
async fn next_text(queue: &mut Option<&mut mpsc::Receiver<String>>) -> String {
    if let Some(queue) = queue
        && let Some(text) = queue.recv().await
    {
        return text;
    }
    std::future::pending().await
}

/// Translates `target_session_attrs` of libpq 14 for a connection that sends NOTIFY and therefore needs a
/// primary.
fn target_session_attrs(value: &str) -> Result<&str, String> {
    match value {
        "any" | "read-write" => Ok(value),
        "primary" => Ok("read-write"),
        // libpq uses a standby only if there is one. A standby is rejected at start.
        "prefer-standby" => Ok("any"),
        other => Err(format!("target_session_attrs={other} leads to a read-only server: use read-write or primary")),
    }
}

/// Translates `sslmode` into whether to encrypt, and how to check the server's certificate. As in libpq,
/// `require` checks the certificate if a file of root certificates is given.
fn parse_ssl_mode(mode: &str, has_root_file: bool) -> Result<(SslMode, CertificateCheck), String> {
    match mode {
        "disable" => Ok((SslMode::Disable, CertificateCheck::Unchecked)),
        "allow" | "prefer" => Ok((SslMode::Prefer, CertificateCheck::Unchecked)),
        "require" if has_root_file => Ok((SslMode::Require, CertificateCheck::Authority)),
        "require" => Ok((SslMode::Require, CertificateCheck::Unchecked)),
        "verify-ca" => Ok((SslMode::Require, CertificateCheck::Authority)),
        "verify-full" => Ok((SslMode::Require, CertificateCheck::Host)),
        other => {
            Err(format!("sslmode={other} is invalid: use disable, allow, prefer, require, verify-ca or verify-full"))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::TargetSessionAttrs;

    use super::*;

    #[test]
    fn a_libpq_url_is_translated() {
        let url = "postgres://me:s%26cret@db:5433/tidings?sslmode=require&keepalives_count=9&connect_timeout=7";
        let listener = PgListener::new(url).unwrap();
        assert_eq!(listener.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(listener.config.get_password(), Some(&b"s&cret"[..]));
        assert_eq!(listener.config.get_ports(), [5433]);
        assert_eq!(listener.config.get_connect_timeout(), Some(&Duration::from_secs(7)));
        assert_eq!(PgListener::new("postgres://me@db/tidings").unwrap().config.get_ssl_mode(), SslMode::Prefer);
    }

    #[test]
    fn session_attributes_that_allow_a_primary_are_accepted() {
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
    fn tls_settings_that_cannot_be_honoured_are_rejected() {
        let refusal = |url: &str| match PgListener::new(url) {
            Err(Error::Internal(detail)) => detail,
            other => panic!("{url}: {:?}", other.err()),
        };
        assert!(refusal("postgres://me@db/t?sslmode=verify-full").contains("sslrootcert"));
        assert!(refusal("postgres://me@db/t?sslmode=maybe").contains("sslmode"));
        assert!(refusal("postgres://me@db/t?sslmode=verify-ca&sslrootcert=/no/such/file").contains("/no/such/file"));
    }
}
