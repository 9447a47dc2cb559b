//! Where the data is, chosen by the scheme of the URL. `store` opens it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The database of an installation.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server: the whole URL, as libpq reads it.
    Postgres(String),
}

impl Default for DatabaseUrl {
    fn default() -> Self {
        Self::Sqlite("tidings.db".into())
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    /// Errors never repeat the URL, which may hold a password.
    fn from_str(url: &str) -> Result<Self, String> {
        // A file that holds it ends with a line end, and a line that was copied often with a blank.
        let url = url.trim();
        if url.contains(char::is_control) {
            return Err("has a line end or another control character in it".into());
        }
        let server = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        if let Some(server) = server {
            return checked(server).map(|()| Self::Postgres(url.to_owned()));
        }
        let Some(path) = url.strip_prefix("sqlite://") else {
            return Err("is neither sqlite://PATH nor postgres://USER:PASSWORD@HOST/DATABASE".into());
        };
        if path.contains(":memory:") {
            return Err("a database in memory would lose what was acknowledged; give a file: sqlite://PATH".into());
        }
        // Diesel's own tool opens the path as a URI, where these letters mean something else.
        if path.contains(['?', '#', '%', '\0']) {
            return Err("a SQLite path takes no ?parameters, and none of # % in its name".into());
        }
        if path.is_empty() || path.ends_with('/') {
            return Err("names no file: sqlite://PATH, for example sqlite://tidings.db".into());
        }
        Ok(Self::Sqlite(path.into()))
    }
}

/// Refuses what libpq would refuse with words that quote a password: it takes what stands behind a colon for a port, and
/// what stands behind a `?` for a parameter, unless an `@` comes before the first `/`.
fn checked(server: &str) -> Result<(), String> {
    let authority = server.split('/').next().unwrap_or_default();
    let place = authority.split_once('@').map_or(server, |(person, _)| &server[person.len() + 1..]);
    let hosts = place.split(['/', '?']).next().unwrap_or_default();
    if place.len() == server.len() && !hosts.split(',').all(has_good_port) {
        return Err(
            "has a port that is no number, or no @ between USER:PASSWORD and HOST (in a password, / is written \
            %2F, and @ is written %40)"
                .into(),
        );
    }
    let parameters = place.split_once('?').map_or("", |(_, parameters)| parameters);
    if parameters.split('&').any(|pair| !pair.is_empty() && !pair.contains('=')) {
        return Err("has a parameter without a value behind its ? (in a password, ? is written %3F)".into());
    }
    Ok(())
}

/// Of `host`, `host:port` and `[address]:port`.
fn has_good_port(host: &str) -> bool {
    let behind = if host.starts_with('[') { host.split_once(']').map_or(host, |(_, behind)| behind) } else { host };
    behind.split_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The URL, without its password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Leaves out `:password` and all parameters (`?password=` is one of them).
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", ""));
    let place = rest.split('?').next().unwrap_or_default();
    match place.rsplit_once('@') {
        Some((who, place)) => format!("{scheme}://{}@{place}", who.split(':').next().unwrap_or_default()),
        // A `?` inside a password: no telling where it ends.
        None if rest.contains('@') => format!("{scheme}://…"),
        None => format!("{scheme}://{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_decides() {
        let parse = |url: &str| url.parse::<DatabaseUrl>();
        assert_eq!(parse("sqlite://tidings.db"), Ok(DatabaseUrl::default()));
        assert_eq!(parse("sqlite:///var/lib/t.db"), Ok(DatabaseUrl::Sqlite("/var/lib/t.db".into())));
        for url in ["postgres://localhost/x", "postgresql://u:p@h:5432/x?sslmode=require"] {
            assert_eq!(parse(url), Ok(DatabaseUrl::Postgres(url.into())));
        }
        for bad in
            ["", "tidings.db", "sqlite:tidings.db", "sqlite://", "sqlite:///var/", "sqlite://:memory:", "mysql://h/x"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("sqlite://tidings.db?mode=rwc").unwrap_err().contains("?parameters"));
        assert_eq!(parse(" sqlite://tidings.db \r\n"), Ok(DatabaseUrl::default()), "blanks at the ends do not count");
        for inner in ["postgres://h/x\npostgres://h/y", "sqlite://a\0b", "sqlite://a\nb"] {
            assert!(parse(inner).unwrap_err().contains("control character"), "{inner:?}");
        }
        assert!(!parse("mysql://root:hunter2@h/x").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn what_may_be_a_password_without_a_host_is_refused_and_not_shown() {
        for url in [
            "postgres://u:hunter2",
            "postgres://u:hunter2/x",
            "postgresql://u:hunter2?sslmode=require",
            "postgres://u:hunter2 host/x",
            "postgres://u:hunter2:5432/x",
            "postgres://u:hun/ter2@h/x",
            "postgres://u:12hunter2,h:5432/x",
            "postgres://[::1]:hunter2/x",
            "postgres://u:12?hunter2",
            "postgres://u@h/x?hunter2",
            "postgres://u:p@h/x?sslmode=require&hunter2",
        ] {
            let refusal = url.parse::<DatabaseUrl>().unwrap_err();
            assert!(!refusal.contains("hun") && !refusal.contains("ter2"), "{url}: {refusal}");
        }
        for url in [
            "postgres://h",
            "postgres://h:5432",
            "postgres://h:/x",
            "postgres://h1:5432,h2:5433/x?target_session_attrs=read-write",
            "postgres://[::1]:5432/x",
            "postgres://[fe80::1]/x",
            "postgres:///x?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/x",
            "postgres://u:p?q@h/x?",
            "postgres://u:p:q@h/x",
            "postgres://u@h:5432/x?a=b&",
        ] {
            assert!(url.parse::<DatabaseUrl>().is_ok(), "{url}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("postgres://u:p@h:5432/x?sslmode=require", "postgres://u@h:5432/x"),
            ("postgres://u:p@ss@h/x", "postgres://u@h/x"),
            ("postgresql://h/x?user=u&password=p", "postgresql://h/x"),
            ("postgres://u@h/x", "postgres://u@h/x"),
            ("postgres://u:p?q@h/x", "postgres://…"),
        ] {
            assert_eq!(url.parse::<DatabaseUrl>().unwrap().to_string(), shown);
        }
    }
}
