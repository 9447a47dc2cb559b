//! Lists of IP networks, for trusted proxies.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A list of IP addresses and networks (`10.0.0.0/8`). The default list is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether the list contains the address. An IPv4 address and its IPv6-mapped form (`::ffff:a.b.c.d`) are equal.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// Whether the list has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Parses entries that are separated by commas. Blanks around an entry and empty entries are ignored.
impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(network).collect::<Result<_, _>>().map(Self)
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| format!("'{text}' is not an address or network like 10.0.0.1 or 10.0.0.0/8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_contains_the_addresses_of_its_networks() {
        let networks: Networks = "10.0.0.0/8, 192.0.2.7,2001:db8::/32, ::1".parse().unwrap();
        let inside = |text: &str| networks.contain(text.parse().unwrap());
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "2001:db8:ffff::1", "::1"] {
            assert!(inside(address), "{address}");
        }
        for address in ["11.0.0.0", "192.0.2.8", "2001:db9::1", "::2", "::10.1.2.3"] {
            assert!(!inside(address), "{address}");
        }
        let all_of_ipv4: Networks = "0.0.0.0/0".parse().unwrap();
        assert!(all_of_ipv4.contain("203.0.113.9".parse().unwrap()));
        assert!(!all_of_ipv4.contain("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn entries_that_are_not_networks_are_refused() {
        assert_eq!("".parse(), Ok(Networks::default()));
        for bad in ["10.0.0.0/33", "10.0.0.0/", "10.0.0", "proxy.example", "::/129", "10.0.0.0/-1"] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
    }
}
