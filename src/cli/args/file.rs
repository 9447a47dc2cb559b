//! Secrets that come in files, as Docker, Kubernetes and systemd mount them: `TIDINGS_JWT_SECRET_FILE` names the file
//! whose text is the value of `TIDINGS_JWT_SECRET`.

use std::fs::File;
use std::io::Read as _;

use crate::config::{DatabaseUrl, Secret};

/// More than any secret or URL has; what is longer is another file.
const LONGEST: u64 = 64 << 10;

/// A database URL.
pub(super) fn database_url(path: &str) -> Result<DatabaseUrl, String> {
    text(path)?.parse().map_err(|error| format!("{path} {error}"))
}

/// A key to sign tokens with.
pub(super) fn signing_secret(path: &str) -> Result<Secret, String> {
    Secret::for_signing(&text(path)?).map_err(|error| format!("{path} {error}"))
}

/// A token that readers of `/metrics` send.
pub(super) fn bearer_token(path: &str) -> Result<Secret, String> {
    Secret::for_bearers(&text(path)?).map_err(|error| format!("{path} {error}"))
}

fn text(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err("has no value".into());
    }
    let failed = |error: std::io::Error| format!("{path} cannot be read: {error}");
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("{path} is larger than 64 KiB, so it holds something else"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{path} is not UTF-8 text"))
}

/// The value that was given in one of the two ways.
///
/// # Errors
/// One line if it was given in both.
pub(super) fn one_of<T>(variable: &str, value: Option<T>, from_file: Option<T>) -> Result<Option<T>, String> {
    if value.is_some() && from_file.is_some() {
        return Err(format!("{variable} and {variable}_FILE are both set: keep one of them"));
    }
    Ok(value.or(from_file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_value_and_perhaps_a_line_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let name = path.to_str().unwrap();
        let key = "0123456789abcdef0123456789abcdef";
        std::fs::write(&path, format!("{key}\n")).unwrap();
        assert_eq!(signing_secret(name).unwrap().reveal(), key);
        assert_eq!(bearer_token(name).unwrap().reveal(), key);
        std::fs::write(&path, "postgres://u:p@h/x\n").unwrap();
        assert_eq!(database_url(name), Ok(DatabaseUrl::Postgres("postgres://u:p@h/x".into())));
    }

    #[test]
    fn what_is_wrong_with_it_names_the_file_and_shows_nothing_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let name = path.to_str().unwrap();
        let long = vec![b'x'; (LONGEST + 1) as usize];
        for bad in [b"".as_slice(), b"\n", b"hunter2", &[0xff; 64], &long] {
            std::fs::write(&path, bad).unwrap();
            let refusal = signing_secret(name).unwrap_err();
            assert!(refusal.starts_with(name) && !refusal.contains("hunter2"), "{refusal}");
        }
        assert!(signing_secret("/nowhere/at/all").unwrap_err().contains("/nowhere/at/all"));
        assert!(signing_secret(directory.path().to_str().unwrap()).unwrap_err().contains("directory"));
        assert_eq!(signing_secret("").unwrap_err(), "has no value");
    }
}
