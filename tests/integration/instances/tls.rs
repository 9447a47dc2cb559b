//! TLS connections to PostgreSQL, and verification of the server's certificate.

use std::path::PathBuf;
use std::process::Command;

use super::{on_database, postgres};
use crate::support::database::Postgres;
use crate::support::{Server, with_timeout};
use tidings::app::App;
use tidings::config::Config;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_database_connection_uses_tls_and_an_unknown_certificate_is_rejected() {
    let postgres = postgres("tls", &["fsync=off"]).await;
    let name = postgres.create_database();
    let url = |parameters: &str| format!("{}?{parameters}", postgres.url(postgres.port(), &name));
    let unknown_authority = Identity::new(true);
    for (round, identity) in [Identity::new(false), Identity::new(true)].iter().enumerate() {
        tokio::task::block_in_place(|| postgres.encrypt(&identity.file("crt"), &identity.file("key")));
        let full = format!("sslmode=verify-full&sslrootcert={}", identity.trusted());
        let signed = format!("sslmode=verify-ca&sslrootcert={}", identity.trusted());
        for (number, parameters) in ["sslmode=require", &signed, &full].into_iter().enumerate() {
            let mut server = Server::start_with(on_database(&url(parameters))).await;
            let ann = server.register(&format!("ann{round}{number}")).await;
            server.channel(&ann, &format!("{round} {number}")).await;
            let (encrypted, plain) = with_timeout("the listener", connections(&postgres, &name)).await;
            assert!(encrypted >= 3 && plain == 0, "{parameters}: {encrypted} encrypted, {plain} not");
            server.close().await;
        }
        let mut config = Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::default() };
        on_database(&url(&format!("sslmode=verify-full&sslrootcert={}", unknown_authority.trusted())))(&mut config);
        let refusal = App::start(config).await.err().expect("a certificate of an unknown authority is rejected");
        assert!(refusal.contains("certificate verify failed"), "{refusal}");
    }
}

/// The number of encrypted and of unencrypted connections to the database, once the listener is connected. The others
/// belong to the writer and the readers.
async fn connections(postgres: &Postgres, name: &str) -> (u32, u32) {
    let query = format!(
        "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl), \
         count(*) FILTER (WHERE application_name = 'tidings listener') \
         FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = '{name}'"
    );
    loop {
        let printed = postgres.run("psql", &["-qAt", "-d", "postgres", "-c", &query]);
        let counts: Vec<u32> = printed.trim().split('|').map(|count| count.parse().expect("a count")).collect();
        if counts[2] == 1 {
            return (counts[0], counts[1]);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The key and certificate of a server, either self-signed or signed by a test authority, and the certificate to trust.
struct Identity {
    directory: tempfile::TempDir,
    is_signed: bool,
}

impl Identity {
    fn new(is_signed: bool) -> Self {
        let identity = Self { directory: tempfile::tempdir().expect("a directory"), is_signed };
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let this_machine = ["-subj", "/CN=tidings test", "-addext", "subjectAltName=IP:127.0.0.1"];
        let mut arguments = vec!["req", "-x509"];
        arguments.extend(new_key);
        if is_signed {
            let authority = ["-subj", "/CN=an authority", "-keyout", "ca.key", "-out", "ca.crt"];
            identity.openssl(&[&arguments[..], &authority].concat());
            arguments.extend(["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]);
        }
        arguments.extend(this_machine);
        arguments.extend(["-keyout", "key", "-out", "crt"]);
        identity.openssl(&arguments);
        identity
    }

    fn openssl(&self, arguments: &[&str]) {
        let made = Command::new("openssl").args(arguments).current_dir(self.directory.path()).output();
        let made = made.expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn trusted(&self) -> String {
        self.file(if self.is_signed { "ca.crt" } else { "crt" }).display().to_string()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
