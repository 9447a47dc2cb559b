//! Host names that the server answers to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A list of host names. Local names (`localhost`) and literal addresses are always allowed, because DNS rebinding needs a
/// name whose address the attacker controls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts {
    any: bool,
    list: Vec<String>,
}

impl Hosts {
    /// Whether every name is allowed.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// Adds names, with or without a port.
    #[must_use]
    pub fn and(mut self, hosts: impl Iterator<Item = String>) -> Self {
        self.list.extend(hosts.map(|host| name_of(&host)));
        self
    }

    /// Whether the server answers to this `Host` header. The port is ignored.
    #[must_use]
    pub fn allow(&self, host: &str) -> bool {
        if self.any {
            return true;
        }
        let name = name_of(host);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_local = name == "localhost" || name.ends_with(".localhost");
        is_address || is_local || self.list.contains(&name)
    }
}

/// The host in lower case, without the port and without the dot at the end.
fn name_of(host: &str) -> String {
    let lower = host.to_ascii_lowercase();
    let name = match lower.rsplit_once(':') {
        // Without brackets, the text after the last colon is a group of an IPv6 address.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && is_one_host(name) => name,
        _ => &lower,
    };
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

fn is_one_host(name: &str) -> bool {
    !name.contains(':') || name.ends_with(']')
}

/// Parses names that are separated by commas; `*` is every name.
impl FromStr for Hosts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut hosts = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let is_name = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
            if part == "*" {
                hosts.any = true;
            } else if is_name {
                hosts.list.push(name_of(part));
            } else {
                return Err(format!("'{part}' is not a host name like board.example (or * for every name)"));
            }
        }
        Ok(hosts)
    }
}

impl fmt::Display for Hosts {
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
    fn listed_names_local_names_and_addresses_are_allowed() {
        let hosts: Hosts = "Board.Example, other.example:8443".parse().unwrap();
        for yes in [
            "board.example",
            "BOARD.example:443",
            "board.example.",
            "other.example",
            "localhost",
            "localhost:8000",
            "app.localhost:5173",
            "127.0.0.1",
            "127.0.0.1:8000",
            "[::1]",
            "[::1]:8000",
            "192.0.2.7:80",
            "[2001:db8::7]:80",
        ] {
            assert!(hosts.allow(yes), "{yes}");
        }
        for no in [
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "board.example.evil",
            "",
            "127.0.0.1.evil.example",
        ] {
            assert!(!hosts.allow(no), "{no}");
        }
        assert!("*".parse::<Hosts>().unwrap().allow("evil.example"));
        assert!(Hosts::default().and(["page.example:3000".to_owned()].into_iter()).allow("page.example"));
    }

    #[test]
    fn entries_that_are_not_host_names_are_refused() {
        assert_eq!("".parse(), Ok(Hosts::default()));
        for bad in ["https://board.example", "board.example/path", "*.example", "a b"] {
            assert!(bad.parse::<Hosts>().is_err(), "{bad}");
        }
    }
}
