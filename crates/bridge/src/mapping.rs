//! Asking the router of our network to pass on to us what comes to our ports: by PCP (RFC 6887) or NAT-PMP (RFC 6886),
//! else by `UPnP`. What was asked for is taken back at the end.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::num::NonZeroU16;
use core::time::Duration;
use std::fs;
use std::net::UdpSocket;

use crab_nat::{InternetProtocol, PortMapping, PortMappingOptions, TimeoutConfig};
use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{PortMappingProtocol, SearchOptions};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::torrent::is_local;

/// A port of ours that others are to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Tcp(u16),
    Udp(u16),
}

/// Where routers are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routers {
    /// The router of our network, and our own address there, where they are known.
    pub(crate) nearest: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Where `UPnP` devices listen.
    pub(crate) upnp: SocketAddr,
}

impl Routers {
    /// Those of the networks that this machine is in.
    pub(crate) fn find() -> Self {
        let upnp = SocketAddr::new([239, 255, 255, 250].into(), 1900);
        let router = fs::read_to_string("/proc/net/route").ok();
        let router = router.and_then(|table| default_route(&table));
        let nearest = router.and_then(|router| Some((router, own_address(router.into())?)));
        Self { nearest, upnp }
    }
}

/// The router that a table of Linux's names.
fn default_route(table: &str) -> Option<Ipv4Addr> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (to, over) = (fields.next()?, fields.next()?);
        let over = u32::from_str_radix(over, 16).ok()?;
        (to == "00000000" && over != 0).then(|| Ipv4Addr::from(over.to_le_bytes()))
    })
}

/// Our own address towards that one. Nothing is sent to find it.
fn own_address(to: IpAddr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(own) => Some(own),
        IpAddr::V6(_) => None,
    }
}

/// Whether somebody has to pass on what comes for this address: not where nobody else is meant to reach it, nor where all do.
pub(crate) fn is_needed(listen: SocketAddr) -> bool {
    let ip = listen.ip().to_canonical();
    ip.is_unspecified() || (ip.is_ipv4() && is_local(ip) && !ip.is_loopback())
}

/// The ports that are passed on, for as long as this is not stopped.
#[derive(Debug)]
pub(crate) struct Mappings {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Mappings {
    /// Asks for these ports, and again before that is forgotten.
    pub(crate) fn keep(ports: Vec<Port>, routers: Routers) -> Self {
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(keep(ports, routers, ended));
        Self { end, task }
    }

    /// Takes everything back.
    pub(crate) async fn stop(self) {
        // The task may have ended.
        self.end.send(()).unwrap_or_default();
        timeout(LEAVING, self.task).await.ok();
    }
}

async fn keep(ports: Vec<Port>, routers: Routers, mut ended: oneshot::Receiver<()>) {
    let mut kept: Vec<Kept> = Vec::new();
    loop {
        // This is not broken off: what a router has promised is to be taken back.
        let mut all = Vec::new();
        for port in &ports {
            all.extend(ask(*port, routers).await);
        }
        if kept.is_empty() && !all.is_empty() {
            tracing::info!("the router passes on what comes to our ports: {ports:?}");
        }
        kept = all;
        // Whoever has no router of this kind is asked now and then: machines move.
        tokio::select! {
            () = sleep(AGAIN) => {}
            _ = &mut ended => break,
        }
    }
    for mapping in kept {
        mapping.drop().await;
    }
}

/// What a router has promised.
enum Kept {
    Nearest(Box<PortMapping>),
    Upnp(Box<Gateway<Tokio>>, Port),
}

impl Kept {
    async fn drop(self) {
        match self {
            // Otherwise it ends by itself.
            Self::Nearest(mapping) => drop(mapping.try_drop().await),
            Self::Upnp(gateway, port) => {
                let (protocol, number) = port.upnp();
                gateway.remove_port(protocol, number).await.unwrap_or_default();
            }
        }
    }
}

impl Port {
    const fn number(self) -> u16 {
        match self {
            Self::Tcp(number) | Self::Udp(number) => number,
        }
    }

    const fn nearest(self) -> InternetProtocol {
        match self {
            Self::Tcp(_) => InternetProtocol::Tcp,
            Self::Udp(_) => InternetProtocol::Udp,
        }
    }

    const fn upnp(self) -> (PortMappingProtocol, u16) {
        match self {
            Self::Tcp(number) => (PortMappingProtocol::TCP, number),
            Self::Udp(number) => (PortMappingProtocol::UDP, number),
        }
    }
}

async fn ask(port: Port, routers: Routers) -> Option<Kept> {
    if let Some((router, own)) = routers.nearest {
        match ask_nearest(port, router, own).await {
            Ok(mapping) => return Some(Kept::Nearest(Box::new(mapping))),
            Err(reason) => tracing::debug!("{router} does not pass on {port:?}: {reason}"),
        }
    }
    match ask_upnp(port, routers.upnp).await {
        Ok(gateway) => Some(Kept::Upnp(Box::new(gateway), port)),
        Err(reason) => {
            tracing::debug!("no UPnP router passes on {port:?}: {reason}");
            None
        }
    }
}

/// By PCP or NAT-PMP. Only the same number is of use: it is what others are told.
async fn ask_nearest(port: Port, router: Ipv4Addr, own: Ipv4Addr) -> Result<PortMapping, String> {
    let number = NonZeroU16::new(port.number()).ok_or("it has no number")?;
    let options = PortMappingOptions {
        external_port: Some(number),
        lifetime_seconds: Some(LIFETIME),
        timeout_config: Some(TimeoutConfig {
            initial_timeout: Duration::from_millis(250),
            max_retries: 3,
            max_retry_timeout: None,
        }),
    };
    let mapping = PortMapping::new(router.into(), own.into(), port.nearest(), number, options).await;
    let mapping = mapping.map_err(|failure| format!("{failure:?}"))?;
    if mapping.external_port() == number {
        Ok(mapping)
    } else {
        let other = mapping.external_port();
        drop(mapping.try_drop().await);
        Err(format!("it offers port {other} alone"))
    }
}

async fn ask_upnp(port: Port, place: SocketAddr) -> Result<Gateway<Tokio>, String> {
    let mut options = SearchOptions::default();
    options.broadcast_address = place;
    options.timeout = Some(SEARCHING);
    if !place.ip().is_multicast() {
        // Who is asked by name may also be on this machine.
        options.allowed_gateway_ips = vec![place.ip()];
    }
    let gateway = search_gateway(options).await.map_err(|error| error.to_string())?;
    let own = own_address(gateway.addr.ip()).ok_or("our own address is not known")?;
    let (protocol, number) = port.upnp();
    let own = SocketAddr::new(own.into(), number);
    let asked = gateway
        .add_port(protocol, number, own, LIFETIME, "Causeway")
        .await;
    asked.map(|()| gateway).map_err(|error| error.to_string())
}

/// How long a router passes things on, in seconds.
const LIFETIME: u32 = 3600;
const AGAIN: Duration = Duration::from_mins(25);
const SEARCHING: Duration = Duration::from_secs(4);
const LEAVING: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
