//! The remote end of a connection, and the limits on connections that it counts against.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Span;

use super::client_identity;
use super::connection_limits::Permit;
use super::state::AppState;
use crate::model::{GaugeGuard, client_prefix};

/// The remote end of a connection, with its permits. A WebSocket holds them for as long as it is open.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The remote address of the TCP connection; behind a proxy, the proxy's.
    pub address: SocketAddr,
    /// The number of the connection.
    pub connection_id: u64,
    _slot: Arc<ConnectionSlot>,
    /// The permit of the address. A trusted proxy's connection has none, because it carries many clients: each request
    /// has.
    address_permit: Option<Arc<Permit<IpAddr>>>,
}

/// A permit of the total limit on connections, and the gauge of open connections.
#[derive(Debug)]
struct ConnectionSlot {
    _permit: OwnedSemaphorePermit,
    _counted: GaugeGuard,
}

impl Peer {
    /// The peer of a new connection, unless its address has reached the limit. Connections of trusted proxies do not
    /// count.
    pub fn connected(site: &AppState, address: SocketAddr, permit: OwnedSemaphorePermit) -> Option<Self> {
        let is_trusted_proxy = site.settings.trusted_proxies.contain(address.ip());
        let address_permit = if is_trusted_proxy { None } else { Some(Arc::new(acquire(site, address.ip())?)) };
        let slot = ConnectionSlot { _permit: permit, _counted: site.counts.connections.enter() };
        let connection_id = site.next_connection_id();
        Some(Self { address, connection_id, _slot: Arc::new(slot), address_permit })
    }

    /// The span of the connection's log lines.
    pub fn span(&self) -> Span {
        tracing::info_span!(parent: None, "connection", connection_id = self.connection_id, peer = %self.address)
    }

    /// The span of a WebSocket's log lines. There is none at level info, because the spans of ten thousand idle sockets
    /// would need megabytes.
    pub fn socket_span(&self) -> Span {
        if tracing::enabled!(tracing::Level::DEBUG) { self.span() } else { Span::none() }
    }

    /// The peer of a request. Behind a trusted proxy, the request takes a permit of the client's address while it
    /// lasts; `None` if the client has reached the limit.
    pub fn for_request(&self, site: &AppState, headers: &HeaderMap) -> Option<Self> {
        if self.address_permit.is_some() {
            return Some(self.clone());
        }
        let client = client_identity::address(site, self.address.ip(), headers);
        Some(Self { address_permit: Some(Arc::new(acquire(site, client)?)), ..self.clone() })
    }
}

fn acquire(site: &AppState, address: IpAddr) -> Option<Permit<IpAddr>> {
    let address = client_prefix(address);
    let is_exempt = address.is_loopback() && !site.settings.sockets.limits_loopback();
    if is_exempt { Some(Permit::uncounted()) } else { site.addresses.try_acquire(address) }
}
