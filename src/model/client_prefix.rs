//! Grouping of client addresses.

use std::net::{IpAddr, Ipv6Addr};

/// The part of an address that identifies one client: a whole IPv4 address, or the /64 prefix of an IPv6 address.
/// Providers give each customer at least a /64, so limits per full IPv6 address would limit nothing.
#[must_use]
pub fn client_prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}
