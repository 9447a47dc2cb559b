//! The line to PostgreSQL is encrypted when it must be, and the server is who it says it is.

use std::path::Path;
use std::process::Command;

use super::{on, postgres};
use crate::support::Server;
use tidings::app::App;
use tidings::config::Config;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_is_encrypted_and_the_certificate_is_looked_at() {
    let postgres = postgres("tls", &["fsync=off"]).await;
    let (ours, theirs) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    certificate(ours.path());
    certificate(theirs.path());
    tokio::task::block_in_place(|| postgres.encrypt(&ours.path().join("crt"), &ours.path().join("key")));
    let name = postgres.create_database();
    let url = |parameters: &str| format!("{}?{parameters}", postgres.url(postgres.port(), &name));
    let authority = |directory: &Path| directory.join("crt").display().to_string();

    for parameters in ["sslmode=require".into(), format!("sslmode=verify-full&sslrootcert={}", authority(ours.path()))]
    {
        let mut server = Server::start_with(on(&url(&parameters))).await;
        let ann = server.register(&format!("ann{}", parameters.len())).await;
        server.channel(&ann, &parameters).await;
        // The writer, the readers, and who listens.
        let ours = format!(
            "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl), \
             count(*) FILTER (WHERE application_name = 'tidings listener') \
             FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = '{name}'"
        );
        let connections = || postgres.run("psql", &["-qAt", "-d", "postgres", "-c", &ours]);
        let counted = crate::support::soon("the listener", async {
            loop {
                let counted: Vec<u32> =
                    connections().trim().split('|').map(|count| count.parse().expect("a count")).collect();
                if counted[2] == 1 {
                    return counted;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        let counted = counted.await;
        assert!(counted[0] >= 3 && counted[1] == 0, "{parameters}: {counted:?}");
        server.close().await;
    }

    let wrong = url(&format!("sslmode=verify-full&sslrootcert={}", authority(theirs.path())));
    let mut config = Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::default() };
    on(&wrong)(&mut config);
    let refusal = App::start(config).await.err().expect("another authority is not believed");
    assert!(refusal.contains("cannot be reached"), "{refusal}");
}

/// A certificate for this machine, and its key.
fn certificate(directory: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=tidings test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key", "-out", "crt"])
        .current_dir(directory)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
