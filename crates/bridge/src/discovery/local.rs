//! Local discovery (BEP 14): peers in the same network find each other by multicast.

use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::time::Duration;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use causeway_core::InfoHash;
use if_addrs::{IfAddr, Interface, get_if_addrs};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{World, ended, is_near, is_private};
use crate::session::Shared;
use crate::torrent::{Handle, Origin};

/// All networks that this machine is in, as far as peers reach us there.
#[derive(Debug)]
pub(super) struct Local {
    places: Vec<Place>,
    /// Tells our own words, which come back, from others'.
    cookie: String,
    /// The moment from which on something may be said.
    free: Mutex<Instant>,
}

/// One network.
#[derive(Debug)]
struct Place {
    socket: UdpSocket,
    group: SocketAddr,
}

impl Local {
    /// Joins the networks from which this address is reached.
    pub(super) fn open(listen: SocketAddr) -> Self {
        let interfaces = get_if_addrs().unwrap_or_else(|error| {
            tracing::debug!("the networks of this machine are not known: {error}");
            Vec::new()
        });
        let (mut places, mut joined) = (Vec::new(), BTreeSet::new());
        for interface in interfaces
            .iter()
            .filter(|it| is_reached(it, listen))
            .take(MOST_PLACES)
        {
            // Of an interface's addresses one will do.
            if !joined.insert((&interface.name, interface.ip().is_ipv6())) {
                continue;
            }
            match Place::open(interface) {
                Ok(place) => places.push(place),
                Err(error) => tracing::debug!("no local discovery on {}: {error}", interface.name),
            }
        }
        Self {
            places,
            cookie: format!("{:016x}", fastrand::u64(..)),
            free: Mutex::new(Instant::now()),
        }
    }

    /// Says that we have a torrent, in every network.
    async fn announce(&self, info_hash: InfoHash, port: u16) {
        {
            // Who has many torrents says so slowly.
            let mut free = self.free.lock().await;
            sleep_until(*free).await;
            *free = Instant::now() + PACE;
        }
        for Place { socket, group } in &self.places {
            let message = message(*group, port, info_hash, &self.cookie);
            if let Err(error) = socket.send_to(message.as_bytes(), group).await {
                tracing::debug!("nothing can be said to {group}: {error}");
            }
        }
    }
}

/// Whether a peer in the network of this interface reaches us. Only who listens on the loopback interface alone speaks there.
fn is_reached(interface: &Interface, listen: SocketAddr) -> bool {
    let ip = interface.ip();
    if listen.ip().is_unspecified() {
        !interface.is_loopback() && (listen.is_ipv6() || ip.is_ipv4())
    } else {
        ip == listen.ip().to_canonical()
    }
}

impl Place {
    fn open(interface: &Interface) -> io::Result<Self> {
        let (domain, any, group): (_, IpAddr, IpAddr) = match &interface.addr {
            IfAddr::V4(_) => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into(), GROUP_V4.into()),
            IfAddr::V6(_) => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into(), GROUP_V6.into()),
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        // Other clients on this machine listen, too.
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        match &interface.addr {
            IfAddr::V4(address) => {
                socket.join_multicast_v4(&GROUP_V4, &address.ip)?;
                socket.set_multicast_if_v4(&address.ip)?;
                #[cfg(target_os = "linux")]
                socket.set_multicast_all_v4(false)?;
            }
            IfAddr::V6(_) => {
                let index = interface.index.unwrap_or(0);
                socket.set_only_v6(true)?;
                socket.join_multicast_v6(&GROUP_V6, index)?;
                socket.set_multicast_if_v6(index)?;
                #[cfg(target_os = "linux")]
                socket.set_multicast_all_v6(false)?;
            }
        }
        socket.bind(&SocketAddr::new(any, PORT).into())?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            group: SocketAddr::new(group, PORT),
        })
    }
}

/// Hears of others' torrents, for as long as it is polled.
pub(super) async fn listen(shared: Arc<Shared>, world: Arc<World>) {
    let count = world.local.as_ref().map_or(0, |local| local.places.len());
    let mut listening = JoinSet::new();
    for place in 0..count {
        listening.spawn(hear(shared.clone(), world.clone(), place));
    }
    listening.join_all().await;
}

async fn hear(shared: Arc<Shared>, world: Arc<World>, place: usize) {
    let Some((local, place)) = world
        .local
        .as_ref()
        .and_then(|local| Some((local, local.places.get(place)?)))
    else {
        return;
    };
    let mut buffer = [0; MOST_BYTES];
    loop {
        let (length, from) = match place.socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!("nothing more is heard in {}: {error}", place.group);
                return;
            }
        };
        let heard = buffer.get(..length).and_then(read);
        // Whoever is farther away has no business here.
        let Some(heard) = heard.filter(|heard| heard.cookie != Some(&local.cookie) && is_near(from.ip()))
        else {
            continue;
        };
        let address = match from {
            SocketAddr::V4(from) => SocketAddr::new((*from.ip()).into(), heard.port),
            SocketAddr::V6(from) => SocketAddrV6::new(*from.ip(), heard.port, 0, from.scope_id()).into(),
        };
        for info_hash in heard.info_hashes {
            let torrent = shared.torrent(info_hash);
            if let Some(torrent) = torrent.filter(|torrent| !is_private(&torrent.status().borrow())) {
                tracing::debug!(torrent = %info_hash, %address, "heard of in our own network");
                torrent.add_peers(vec![address], Origin::Stranger { is_local: true });
            }
        }
    }
}

/// Says now and then that we have this torrent, until it has ended or turns out to be private (BEP 27).
pub(super) async fn announce(world: Arc<World>, torrent: Handle) {
    let Some(local) = world.local.as_ref().filter(|_| world.port != 0) else {
        return;
    };
    let mut changes = torrent.status();
    loop {
        let status = changes.borrow_and_update().clone();
        if is_private(&status) {
            return;
        }
        if status.is_running() {
            local.announce(torrent.info_hash(), world.port).await;
        }
        let due = Instant::now() + AGAIN;
        tokio::select! {
            () = sleep_until(due) => {}
            () = ended(&mut changes) => return,
        }
    }
}

/// What others are told, in the form of HTTP.
fn message(group: SocketAddr, port: u16, info_hash: InfoHash, cookie: &str) -> String {
    let mut text = format!("BT-SEARCH * HTTP/1.1\r\nHost: {group}\r\nPort: {port}\r\n");
    // Writing to a string can't fail.
    write!(text, "Infohash: {info_hash}\r\ncookie: {cookie}\r\n\r\n\r\n").unwrap_or_default();
    text
}

/// What somebody says.
#[derive(Debug, PartialEq, Eq)]
struct Heard<'a> {
    port: u16,
    info_hashes: Vec<InfoHash>,
    cookie: Option<&'a str>,
}

/// Reads what somebody says; `None` where it is something else.
fn read(bytes: &[u8]) -> Option<Heard<'_>> {
    let mut lines = str::from_utf8(bytes).ok()?.lines();
    if !lines.next()?.starts_with("BT-SEARCH ") {
        return None;
    }
    let (mut port, mut info_hashes, mut cookie) = (None, Vec::new(), None);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("port") {
            port = value.parse().ok().filter(|port| *port != 0);
        } else if name.eq_ignore_ascii_case("infohash") {
            info_hashes.extend(value.parse::<InfoHash>());
        } else if name.eq_ignore_ascii_case("cookie") {
            cookie = Some(value);
        }
    }
    let port = port.filter(|_| !info_hashes.is_empty())?;
    Some(Heard {
        port,
        info_hashes,
        cookie,
    })
}

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f);
const PORT: u16 = 6771;
/// Networks of this machine.
const MOST_PLACES: usize = 16;
/// Bytes of one message; BEP 14 has them fit into a packet.
const MOST_BYTES: usize = 1500;
/// BEP 14 has a torrent announced every five minutes, and never twice in one.
const AGAIN: Duration = Duration::from_mins(5);
/// Between two messages of ours.
const PACE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read() {
        let group = SocketAddr::new(GROUP_V4.into(), PORT);
        let info_hash = InfoHash::new([0xab; 20]);
        let text = message(group, 7, info_hash, "me");
        assert!(text.starts_with("BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\n"));
        let heard = Heard {
            port: 7,
            info_hashes: vec![info_hash],
            cookie: Some("me"),
        };
        assert_eq!(read(text.as_bytes()), Some(heard));
        let other = "BT-SEARCH * HTTP/1.1\r\nPORT:9\r\ninfohash: ABABABABABABABABABABABABABABABABABABABAB\r\nInfohash: x\r\n";
        let heard = read(other.as_bytes()).expect("in order");
        assert_eq!(
            (heard.port, heard.info_hashes, heard.cookie),
            (9, vec![info_hash], None)
        );
    }

    #[test]
    fn noise_is_not_read() {
        let hash = "ab".repeat(20);
        for text in [
            String::new(),
            "GET / HTTP/1.1\r\n".to_owned(),
            "BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n".to_owned(),
            format!("BT-SEARCH * HTTP/1.1\r\nPort: 0\r\nInfohash: {hash}\r\n"),
            format!("BT-SEARCH * HTTP/1.1\r\nPort: 70000\r\nInfohash: {hash}\r\n"),
            format!("BT-SEARCH * HTTP/1.1\r\nInfohash: {hash}\r\n"),
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read(b"BT-SEARCH \xff"), None);
    }
}
