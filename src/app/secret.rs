//! The secret that tokens are signed with: given, or made once and kept beside the SQLite file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use crate::auth::make_secret;
use crate::config::{Config, DatabaseUrl, Secret};

/// The secret of an installation.
///
/// # Errors
/// One line that says what is wrong.
pub fn of(config: &Config) -> Result<Secret, String> {
    if let Some(secret) = &config.sessions.secret {
        if secret.is_short() {
            tracing::warn!("TIDINGS_JWT_SECRET is short: use at least 32 characters that nobody can guess");
        }
        return Ok(secret.clone());
    }
    match &config.database {
        DatabaseUrl::Sqlite(path) => kept(&path.with_extension("secret")),
        // The commands that sign or check tokens are refused without one before they get here.
        DatabaseUrl::Postgres(_) => make_secret().parse(),
    }
}

/// The secret in this file, which is made if it is missing. Two processes may start at once: the
/// file appears complete or not at all, and whoever is second takes the other's.
fn kept(path: &Path) -> Result<Secret, String> {
    let failed = |error: std::io::Error| format!("cannot keep the secret in {}: {error}", path.display());
    match std::fs::read_to_string(path) {
        Ok(secret) => return secret.trim().parse().map_err(|error| format!("{}: {error}", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
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
        _ => kept(path),
    }
}

#[cfg(unix)]
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidings.secret");
        let made = kept(&path).unwrap();
        assert_eq!(kept(&path).unwrap(), made);
        assert!(!made.is_short());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "the draft is gone");
    }
}
