//! The secret that tokens are signed with: given, or made once and kept beside the SQLite file.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

use crate::auth::{is_made_secret, make_secret};
use crate::config::{Config, DatabaseUrl, Secret};

/// More than any secret has; what is longer was put there by mistake.
const LONGEST: u64 = 4096;

/// Whether there is a SQLite file, to be asked before it is opened.
pub fn has_database(config: &Config) -> bool {
    matches!(config.database.url(), DatabaseUrl::Sqlite(path) if path.exists())
}

/// The secret of an installation, whose database was there before or not.
///
/// # Errors
/// One line that says what is wrong.
pub fn of(config: &Config, had_database: bool) -> Result<Secret, String> {
    if let Some(secret) = config.tokens.secret() {
        return Secret::for_signing(secret.reveal()).map_err(|error| format!("TIDINGS_JWT_SECRET: {error}"));
    }
    match config.database.url() {
        DatabaseUrl::Sqlite(path) => kept(&path.with_extension("secret"), had_database),
        // The commands that sign or check tokens are refused without one before they get here.
        DatabaseUrl::Postgres(_) => make_secret().parse(),
    }
}

/// The secret in this file, which is made if it is missing. Two processes may start at once: the
/// file appears complete or not at all, and whoever is second takes the other's.
fn kept(path: &Path, has_database: bool) -> Result<Secret, String> {
    let failed = |error: std::io::Error| format!("cannot keep the secret in {}: {error}", path.display());
    match File::open(path) {
        Ok(file) => return read(path, file),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if has_database {
        tracing::warn!("{} is missing: a new secret is made, and all tokens are void", path.display());
    }
    let draft = path.with_extension(format!("secret-{}", std::process::id()));
    private_file(&draft)
        .and_then(|mut file| {
            writeln!(file, "{}", make_secret())?;
            file.sync_all()
        })
        .map_err(failed)?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft).map_err(failed)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
        _ => kept(path, false),
    }
}

/// Tokens that are signed with what is left of a secret could be forged, so only a whole one is taken.
fn read(path: &Path, file: File) -> Result<Secret, String> {
    let failed = |error: std::io::Error| format!("cannot read the secret in {}: {error}", path.display());
    warn_if_open(path, &file);
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let secret = text.trim_end();
    if !is_made_secret(secret) {
        return Err(format!(
            "{} is damaged: it holds no secret that tidings has made. Put its copy back, or delete it: then everybody \
             signs in again. A secret of your own goes into TIDINGS_JWT_SECRET or TIDINGS_JWT_SECRET_FILE",
            path.display()
        ));
    }
    secret.parse()
}

/// The file is made for its owner alone; a copy or a `chmod` may have changed that.
#[cfg(unix)]
fn warn_if_open(path: &Path, file: &File) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o007 != 0 {
        let path = path.display();
        tracing::warn!("every user of this machine may read {path} and forge tokens: `chmod 600 {path}`");
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
    fn it_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidings.secret");
        let made = kept(&path, false).unwrap();
        assert_eq!(kept(&path, true).unwrap(), made);
        assert!(Secret::for_signing(made.reveal()).is_ok());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "the draft is gone");
    }

    #[test]
    fn what_is_left_of_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidings.secret");
        let whole = kept(&path, false).unwrap().reveal().to_owned();
        for fine in [whole.clone(), format!("{whole}\n"), format!("{whole}\r\n")] {
            std::fs::write(&path, fine).unwrap();
            assert_eq!(kept(&path, true).unwrap().reveal(), whole);
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
            assert!(kept(&path, true).unwrap_err().contains("damaged"), "{damaged:?}");
        }
        std::fs::write(&path, [0xff; 43]).unwrap();
        assert!(kept(&path, true).is_err());
    }
}
