//! Which web pages may use the server from a browser.

use std::fmt;
use std::str::FromStr;

/// Origins (`https://chat.example`) beside the server's own. By default there are none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins {
    any: bool,
    list: Vec<String>,
}

impl Origins {
    /// Whether a page of this origin (the text of an `Origin` header) is on the list.
    #[must_use]
    pub fn allow(&self, origin: &str) -> bool {
        self.any || self.list.iter().any(|ours| ours.eq_ignore_ascii_case(origin))
    }
}

impl Origins {
    /// Whether every page is allowed.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// The hosts of those on the list, with their ports.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        self.list.iter().filter_map(|origin| Some(origin.split_once("://")?.1.to_owned()))
    }
}

/// Separated by commas; `*` is every page.
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

/// As browsers write it: a scheme and a host, no path, in lower case, without the usual port.
fn origin(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' is not an origin like https://chat.example (or * for every page)");
    let lower = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, host) = lower.split_once("://").ok_or_else(wrong)?;
    let letters = |c: char| c.is_ascii_alphanumeric() || ".-_:[]+".contains(c);
    if scheme.is_empty() || host.is_empty() || !scheme.chars().chain(host.chars()).all(letters) {
        return Err(wrong());
    }
    let usual_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    Ok(format!("{scheme}://{}", host.strip_suffix(usual_port).unwrap_or(host)))
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
    fn only_those_on_the_list() {
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
    fn spelling() {
        assert_eq!("".parse(), Ok(Origins::default()));
        for bad in ["chat.example", "https://", "https://chat.example/path", "https://*.example", "https://a b"] {
            assert!(bad.parse::<Origins>().is_err(), "{bad}");
        }
    }
}
