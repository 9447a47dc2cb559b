//! Whose address it is.

use std::net::{IpAddr, Ipv6Addr};

/// Who counts as one: an IPv4 address, or the 2^64 IPv6 addresses that one customer gets.
#[must_use]
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}
