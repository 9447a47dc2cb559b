//! The secret that signs session tokens. It comes from the settings, or is generated once and stored beside the SQLite
//! file.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

use crate::auth::{generate_secret, is_generated_secret};
use crate::config::{Config, DatabaseUrl, Secret};

/// Maximum number of bytes that are read from the file. It is above the length of any secret, so a longer file is not
/// one.
const MAX_FILE_BYTES: u64 = 4096;

/// Whether the SQLite file exists. Must be called before the database is opened, because opening creates the file.
pub fn has_database(config: &Config) -> bool {
    matches!(config.database.url(), DatabaseUrl::Sqlite(path) if path.exists())
}

/// The secret of this installation. `had_database` says whether the database existed before this start.
///
/// # Errors
/// One line for the operator if the secret is not usable, or cannot be read or stored.
pub fn load_or_create(config: &Config, had_database: bool) -> Result<Secret, String> {
    if let Some(secret) = config.tokens.secret() {
        return Secret::for_signing(secret.reveal()).map_err(|error| format!("TIDINGS_JWT_SECRET: {error}"));
    }
    match config.database.url() {
        DatabaseUrl::Sqlite(path) => read_or_create(&path.with_extension("secret"), had_database),
        // The command line refuses commands that sign or check tokens if no secret is set. The other commands do not
        // use the secret, so a random one is enough.
        DatabaseUrl::Postgres(_) => generate_secret().parse(),
    }
}

/// The secret in this file. If the file is missing, it is created with a new secret. Two processes may do this at once.
/// A hard link makes the complete file appear in one step, so the second process finds and uses the first one's secret.
fn read_or_create(path: &Path, has_database: bool) -> Result<Secret, String> {
    let failed = |error: std::io::Error| format!("cannot store the secret in {}: {error}", path.display());
    match File::open(path) {
        Ok(file) => return read(path, file),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if has_database {
        tracing::warn!(
            path = %path.display(),
            "the file of the secret is missing: a new secret is generated, and all existing tokens become invalid"
        );
    }
    let draft = path.with_extension(format!("secret-{}", std::process::id()));
    private_file(&draft)
        .and_then(|mut file| {
            writeln!(file, "{}", generate_secret())?;
            file.sync_all()
        })
        .map_err(failed)?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft).map_err(failed)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
        _ => read_or_create(path, false),
    }
}

/// Reads a generated secret. Only a complete one is accepted: tokens that are signed with a part of a secret could be
/// forged.
fn read(path: &Path, file: File) -> Result<Secret, String> {
    let failed = |error: std::io::Error| format!("cannot read the secret in {}: {error}", path.display());
    warn_if_open(path, &file);
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let secret = text.trim_end();
    if !is_generated_secret(secret) {
        return Err(format!(
            "{} is damaged: it holds no secret that tidings has generated. Restore it from a backup, or delete it: \
             all users must then sign in again. A secret of your own goes into TIDINGS_JWT_SECRET or \
             TIDINGS_JWT_SECRET_FILE",
            path.display()
        ));
    }
    secret.parse()
}

/// Logs a warning if all users of the machine can access the file. It is created for its owner alone, but a copy or a
/// `chmod` may have changed that.
#[cfg(unix)]
fn warn_if_open(path: &Path, file: &File) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o007 != 0 {
        tracing::warn!(
            path = %path.display(),
            "every user of this machine can read the file of the secret and forge tokens: run `chmod 600` on it"
        );
    }
}

#[cfg(not(unix))]
fn warn_if_open(_: &Path, _: &File) {}

#[cfg(unix)]
fn private_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_generated_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidings.secret");
        let generated = read_or_create(&path, false).unwrap();
        assert_eq!(read_or_create(&path, true).unwrap(), generated);
        assert!(Secret::for_signing(generated.reveal()).is_ok());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "the temporary file is removed");
    }

    #[test]
    fn an_incomplete_or_changed_secret_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidings.secret");
        let whole = read_or_create(&path, false).unwrap().reveal().to_owned();
        for fine in [whole.clone(), format!("{whole}\n"), format!("{whole}\r\n")] {
            std::fs::write(&path, fine).unwrap();
            assert_eq!(read_or_create(&path, true).unwrap().reveal(), whole);
        }
        let damaged = [
            String::new(),
            "t".into(),
            whole[..4].into(),
            whole[..42].into(),
            format!("{whole}A"),
            format!("{whole}\n{whole}"),
            format!(" {}", &whole[1..]),
            format!("{}\0", &whole[1..]),
            "é".repeat(43),
        ];
        for damaged in damaged {
            std::fs::write(&path, &damaged).unwrap();
            assert!(read_or_create(&path, true).unwrap_err().contains("damaged"), "{damaged:?}");
        }
        std::fs::write(&path, [0xff; 43]).unwrap();
        assert!(read_or_create(&path, true).is_err());
    }
}
