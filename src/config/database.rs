//! Database URLs. The scheme of the URL chooses the database; `store` opens it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The database of an installation.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server: the whole URL, in the syntax of libpq.
    Postgres(String),
}

impl Default for DatabaseUrl {
    fn default() -> Self {
        Self::Sqlite("tidings.db".into())
    }
}

impl DatabaseUrl {
    /// Parses the URL of a replica, which must be a PostgreSQL server.
    pub(super) fn of_replica(url: &str) -> Result<Self, String> {
        match url.parse()? {
            Self::Sqlite(_) => {
                Err("is not postgres://USER:PASSWORD@HOST/DATABASE: only PostgreSQL has replicas".into())
            }
            postgres @ Self::Postgres(_) => Ok(postgres),
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    /// Errors never repeat the URL, which may hold a password.
    fn from_str(url: &str) -> Result<Self, String> {
        // Files end with a line break, and copied lines often with a blank.
        let url = url.trim();
        if url.contains(char::is_control) {
            return Err("contains a line break or another control character".into());
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
        // Diesel's command-line tool opens the path as a URI, in which these characters have a meaning.
        if path.contains(['?', '#', '%', '\0']) {
            return Err("a SQLite path takes no ?parameters, and none of # % in its name".into());
        }
        if path.is_empty() || path.ends_with('/') {
            return Err("names no file: sqlite://PATH, for example sqlite://tidings.db".into());
        }
        Ok(Self::Sqlite(path.into()))
    }
}

/// Refuses URLs for which an error of libpq would contain a part of the password. If no `@` comes before the first `/`,
/// libpq takes the text after a colon as a port, and the text after a `?` as a parameter.
fn checked(server: &str) -> Result<(), String> {
    let authority = server.split('/').next().unwrap_or_default();
    let place = authority.split_once('@').map_or(server, |(person, _)| &server[person.len() + 1..]);
    let hosts = place.split(['/', '?']).next().unwrap_or_default();
    if place.len() == server.len() && !hosts.split(',').all(has_good_port) {
        return Err(
            "has a port that is not a number, or no @ between USER:PASSWORD and HOST (in a password, / is written \
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

/// Whether the port is a number, or missing, in `host`, `host:port` or `[address]:port`.
fn has_good_port(host: &str) -> bool {
    let behind = if host.starts_with('[') { host.split_once(']').map_or(host, |(_, behind)| behind) } else { host };
    behind.split_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Writes the URL without its password.
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

/// Removes `:password` and all parameters, because `?password=` is one of them.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", ""));
    let place = rest.split('?').next().unwrap_or_default();
    match place.rsplit_once('@') {
        Some((who, place)) => format!("{scheme}://{}@{place}", who.split(':').next().unwrap_or_default()),
        // The password contains a `?`, so its end is unknown.
        None if rest.contains('@') => format!("{scheme}://…"),
        None => format!("{scheme}://{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_chooses_the_database() {
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
        assert_eq!(parse(" sqlite://tidings.db \r\n"), Ok(DatabaseUrl::default()), "blanks at the ends are ignored");
        for inner in ["postgres://h/x\npostgres://h/y", "sqlite://a\0b", "sqlite://a\nb"] {
            assert!(parse(inner).unwrap_err().contains("control character"), "{inner:?}");
        }
        assert!(!parse("mysql://root:hunter2@h/x").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn urls_whose_password_libpq_would_show_are_refused() {
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
    fn display_shows_no_password() {
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
