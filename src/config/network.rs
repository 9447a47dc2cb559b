//! Networks of machines, for the list of trusted proxies.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address, or all that share its first bits (`10.0.0.0/8`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A list of networks, empty by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(pub Vec<Network>);

impl Network {
    /// Whether the address lies in this network. IPv4 is the same inside IPv6 (`::ffff:a.b.c.d`).
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differing = ours.to_bits() ^ theirs.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differing = ours.to_bits() ^ theirs.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

impl Networks {
    /// Whether the address lies in one of them.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not an address or network like 10.0.0.1 or 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        if prefix > bits { Err(wrong()) } else { Ok(Self { address, prefix }) }
    }
}

/// Separated by commas; blanks do not matter.
impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership() {
        let networks: Networks = "10.0.0.0/8, 192.0.2.7,2001:db8::/32, ::1".parse().unwrap();
        let inside = |text: &str| networks.contain(text.parse().unwrap());
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "2001:db8:ffff::1", "::1"] {
            assert!(inside(address), "{address}");
        }
        for address in ["11.0.0.0", "192.0.2.8", "2001:db9::1", "::2", "::10.1.2.3"] {
            assert!(!inside(address), "{address}");
        }
        let everybody: Networks = "0.0.0.0/0".parse().unwrap();
        assert!(everybody.contain("203.0.113.9".parse().unwrap()));
        assert!(!everybody.contain("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn spelling() {
        assert_eq!("".parse(), Ok(Networks::default()));
        for bad in ["10.0.0.0/33", "10.0.0.0/", "10.0.0", "proxy.example", "::/129", "10.0.0.0/-1"] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
        assert_eq!("10.0.0.1".parse::<Network>().unwrap().to_string(), "10.0.0.1/32");
    }
}
