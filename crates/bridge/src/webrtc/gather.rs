//! Where this machine may be reached: its interfaces, and what STUN servers see in their place.

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::candidate::Candidate;
use super::stun::{self, TransactionId};

/// What is known of the own addresses.
#[derive(Debug)]
pub(super) struct Gathering {
    /// The addresses of the interfaces, the best first.
    interfaces: Vec<IpAddr>,
    looked: Option<Instant>,
    /// Addresses of STUN servers, as far as their names are known.
    servers: Vec<SocketAddr>,
    /// What a server sees, a family each.
    mapped: [Option<SocketAddr>; 2],
    asked: Option<Instant>,
    /// Descriptions wait for the first answer until then.
    until: Option<Instant>,
}

impl Gathering {
    /// `expects_servers`: addresses of STUN servers will be told.
    pub(super) fn new(now: Instant, expects_servers: bool) -> Self {
        Self {
            interfaces: Vec::new(),
            looked: None,
            servers: Vec::new(),
            mapped: [None; 2],
            asked: None,
            until: expects_servers.then_some(now + PATIENCE),
        }
    }

    /// The names of the servers mean these addresses.
    pub(super) fn handle_servers(&mut self, servers: Vec<SocketAddr>) {
        if servers.is_empty() {
            self.until = None;
        }
        self.servers = servers;
        self.servers.truncate(MAX_SERVERS);
    }

    /// A server has answered.
    pub(super) fn handle_response(&mut self, packet: &[u8]) {
        if let Some(address) = stun::mapped_address(packet) {
            self.mapped[usize::from(address.is_ipv6())] = Some(address);
            self.until = None;
        }
    }

    /// Whether a description should wait, because it would lack what a server is about to tell.
    pub(super) fn is_awaited(&mut self, now: Instant) -> bool {
        self.until = self.until.filter(|until| *until > now);
        self.until.is_some()
    }

    /// What to ask servers now, where to, from which interface. Mappings are forgotten by routers that see no packets.
    pub(super) fn requests(
        &mut self,
        now: Instant,
        mut random: impl FnMut(&mut [u8]),
    ) -> Vec<(IpAddr, SocketAddr, [u8; 20])> {
        let due = self
            .asked
            .is_none_or(|asked| now.saturating_duration_since(asked) >= REFRESH);
        if self.servers.is_empty() || !due {
            return Vec::new();
        }
        self.asked = Some(now);
        self.look(now);
        let servers = self.servers.iter();
        servers
            .filter_map(|server| {
                let local = self.of_family(server)?;
                let mut transaction = TransactionId::default();
                random(&mut transaction);
                Some((local, *server, stun::binding_request(&transaction)))
            })
            .collect()
    }

    /// The interface that reaches a server.
    pub(super) fn interface(&mut self, now: Instant, server: &SocketAddr) -> Option<IpAddr> {
        self.look(now);
        self.of_family(server)
    }

    fn of_family(&self, server: &SocketAddr) -> Option<IpAddr> {
        let mut interfaces = self.interfaces.iter();
        interfaces.find(|ip| ip.is_ipv4() == server.is_ipv4()).copied()
    }

    /// When to ask again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let again = self.asked.map(|asked| asked + REFRESH);
        [again.filter(|_| !self.servers.is_empty()), self.until]
            .into_iter()
            .flatten()
            .min()
    }

    /// The addresses of this machine for a port.
    pub(super) fn local(&mut self, now: Instant, port: u16, ipv6: bool) -> Vec<SocketAddr> {
        self.look(now);
        let usable = self.interfaces.iter().filter(|ip| ipv6 || ip.is_ipv4());
        usable.map(|ip| SocketAddr::new(*ip, port)).collect()
    }

    /// What a description names for a port. Servers were asked from the `main` one alone.
    pub(super) fn candidates(&self, local: &[SocketAddr], main: bool) -> Vec<Candidate> {
        let hosts = (0..)
            .zip(local)
            .map(|(rank, address)| Candidate::host(*address, rank));
        let mapped = self.mapped.iter().flatten().filter(|_| main);
        let reflexive = (0..).zip(mapped).filter_map(|(rank, mapped)| {
            let base = local.iter().find(|local| local.is_ipv4() == mapped.is_ipv4())?;
            (!local.contains(mapped)).then(|| Candidate::reflexive(*mapped, *base, rank))
        });
        hosts.chain(reflexive).collect()
    }

    fn look(&mut self, now: Instant) {
        let fresh = self
            .looked
            .is_some_and(|looked| now.saturating_duration_since(looked) < FRESH);
        if !fresh {
            self.looked = Some(now);
            self.interfaces = interfaces();
        }
    }
}

/// The addresses of the interfaces that others can reach; the loopback's where there is no other.
fn interfaces() -> Vec<IpAddr> {
    let all = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(
            "the interfaces of this machine can't be listed, so no WebRTC peer will reach it: {error}"
        );
        Vec::new()
    });
    let mut addresses: Vec<IpAddr> = all.into_iter().map(|interface| interface.ip()).collect();
    if addresses.iter().any(|ip| !ip.is_loopback()) {
        addresses.retain(|ip| !ip.is_loopback());
    }
    addresses.retain(|ip| match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    });
    // IPv4 first: it is what the other side has for sure.
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.dedup();
    addresses.truncate(MAX_INTERFACES);
    addresses
}

/// Interfaces beyond this number are not offered.
const MAX_INTERFACES: usize = 8;
/// Servers that are asked, of those that the names mean.
const MAX_SERVERS: usize = 4;
/// For so long interfaces are taken for what they were.
const FRESH: Duration = Duration::from_secs(10);
/// Routers keep a mapping without traffic for 30 s at least.
const REFRESH: Duration = Duration::from_secs(25);
/// How long a description waits for the first answer of a server.
const PATIENCE: Duration = Duration::from_secs(1);
