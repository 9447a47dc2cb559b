//! Origins of web pages that may use the server from a browser.

use std::fmt;
use std::str::FromStr;

/// A list of origins (`https://chat.example`), in addition to the origin of the server. The default list is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins {
    any: bool,
    list: Vec<String>,
}

impl Origins {
    /// Whether pages of this origin, the value of an `Origin` header, are allowed.
    #[must_use]
    pub fn allow(&self, origin: &str) -> bool {
        self.any || self.list.iter().any(|listed| listed.eq_ignore_ascii_case(origin))
    }

    /// Whether every origin is allowed.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// The hosts of the listed origins, with their ports.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        self.list.iter().filter_map(|origin| Some(origin.split_once("://")?.1.to_owned()))
    }
}

/// Parses origins that are separated by commas; `*` is every origin.
impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut origins = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if part == "*" {
                origins.any = true;
            } else {
                origins.list.push(origin(part)?);
            }
        }
        Ok(origins)
    }
}

/// Normalizes an origin to the form that browsers send: a scheme and a host in lower case, without the default port.
fn origin(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' is not an origin like https://chat.example (or * for every page)");
    let lower = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, host) = lower.split_once("://").ok_or_else(wrong)?;
    let letters = |c: char| c.is_ascii_alphanumeric() || ".-_:[]+".contains(c);
    if scheme.is_empty() || host.is_empty() || !scheme.chars().chain(host.chars()).all(letters) {
        return Err(wrong());
    }
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    Ok(format!("{scheme}://{}", host.strip_suffix(default_port).unwrap_or(host)))
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = self.any.then_some("*");
        let all: Vec<&str> = star.into_iter().chain(self.list.iter().map(String::as_str)).collect();
        f.write_str(&all.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_origins_are_allowed() {
        let origins: Origins = "https://Chat.example/, http://localhost:3000,https://a.example:443".parse().unwrap();
        for yes in ["https://chat.example", "http://localhost:3000", "https://a.example"] {
            assert!(origins.allow(yes), "{yes}");
        }
        for no in ["http://chat.example", "https://chat.example.evil", "null", "", "http://localhost:3001"] {
            assert!(!origins.allow(no), "{no}");
        }
        assert!(!Origins::default().allow("https://chat.example"));
        assert!("*".parse::<Origins>().unwrap().allow("null"));
        assert_eq!(origins.to_string(), "https://chat.example,http://localhost:3000,https://a.example");
    }

    #[test]
    fn entries_that_are_not_origins_are_refused() {
        assert_eq!("".parse(), Ok(Origins::default()));
        for bad in ["chat.example", "https://", "https://chat.example/path", "https://*.example", "https://a b"] {
            assert!(bad.parse::<Origins>().is_err(), "{bad}");
        }
    }
}
