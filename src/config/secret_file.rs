//! Secrets in files, as Docker, Kubernetes and systemd provide them: `TIDINGS_JWT_SECRET_FILE` names a file that contains
//! the value of `TIDINGS_JWT_SECRET`.

use std::fs::File;
use std::io::Read as _;

use super::database::DatabaseUrl;
use super::secret::Secret;

/// A larger file cannot be a secret or a URL.
const MAX_BYTES: u64 = 64 << 10;

/// Reads a database URL.
pub(super) fn database_url(path: &str) -> Result<DatabaseUrl, String> {
    text(path)?.parse().map_err(|error| format!("{path} {error}"))
}

/// Reads the URL of a replica.
pub(super) fn replica_url(path: &str) -> Result<DatabaseUrl, String> {
    DatabaseUrl::of_replica(&text(path)?).map_err(|error| format!("{path} {error}"))
}

/// Reads a secret that signs tokens.
pub(super) fn signing_secret(path: &str) -> Result<Secret, String> {
    Secret::for_signing(&text(path)?).map_err(|error| format!("{path} {error}"))
}

/// Reads the bearer token for `/metrics`.
pub(super) fn bearer_token(path: &str) -> Result<Secret, String> {
    Secret::for_bearers(&text(path)?).map_err(|error| format!("{path} {error}"))
}

/// Reads the secret of a client at an issuer.
pub(super) fn client_secret(path: &str) -> Result<Secret, String> {
    Secret::of_client(&text(path)?).map_err(|error| format!("{path} {error}"))
}

fn text(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err("has no value".into());
    }
    let failed = |error: std::io::Error| format!("{path} cannot be read: {error}");
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{path} is larger than 64 KiB, so it is not a secret or URL"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{path} is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_contains_one_value_and_at_most_one_line_end() {
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
    fn errors_name_the_file_and_never_show_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let name = path.to_str().unwrap();
        let long = vec![b'x'; (MAX_BYTES + 1) as usize];
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
