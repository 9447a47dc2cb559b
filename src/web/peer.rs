//! Who is at the other end of a connection, and the places it takes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;

use super::quota::Share;
use super::{Site, callers};
use crate::model::{Counted, household};

/// Who is at the other end of a connection, and its place among those that are allowed: an open
/// socket holds it as long as it lives.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The address.
    pub address: SocketAddr,
    _place: Arc<Place>,
    /// Its place among those of its address; a proxy's connection has none, its requests have.
    of_address: Option<Arc<Share<IpAddr>>>,
}

/// One of the places that there are, and the count of those that are taken.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Peer {
    /// A connection's, if its address may have one more. What a trusted proxy sends is of many clients.
    pub fn connected(site: &Site, address: SocketAddr, permit: OwnedSemaphorePermit) -> Option<Self> {
        let is_proxy = site.settings.trusted_proxies.contain(address.ip());
        let of_address = if is_proxy { None } else { Some(Arc::new(counted(site, address.ip())?)) };
        let place = Place { _permit: permit, _counted: site.counts.connections.enter() };
        Some(Self { address, _place: Arc::new(place), of_address })
    }

    /// A request's: behind a proxy that is one of the client's, as long as it lasts.
    pub fn asking(&self, site: &Site, headers: &HeaderMap) -> Option<Self> {
        if self.of_address.is_some() {
            return Some(self.clone());
        }
        let client = callers::address(site, self, headers);
        Some(Self { of_address: Some(Arc::new(counted(site, client)?)), ..self.clone() })
    }
}

fn counted(site: &Site, address: IpAddr) -> Option<Share<IpAddr>> {
    let address = household(address);
    let spared = address.is_loopback() && !site.settings.sockets.limits_loopback();
    if spared { Some(Share::nothing()) } else { site.addresses.one_more(address) }
}
