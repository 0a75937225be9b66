//! A UDP port with everything that makes it cheap: runs of packets in one call, in both directions.

use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BytesMut;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::connection::Path;

/// The same port in IPv4 and, where the machine has that, IPv6.
#[derive(Debug)]
pub(super) struct Port {
    v4: Socket,
    v6: Option<Socket>,
    number: u16,
}

#[derive(Debug)]
struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    /// The address that packets without a named destination are for.
    bound: SocketAddr,
    /// What could not be sent at once.
    backlog: VecDeque<(Path, BytesMut)>,
}

/// Where packets are received: shared by all ports, because a packet is taken out before the next ones come.
#[derive(Debug)]
pub(super) struct Buffers {
    bytes: Vec<u8>,
    meta: [RecvMeta; BATCH],
}

impl Port {
    /// Opens a port; 0 stands for any that is free.
    pub(super) fn bind(number: u16) -> io::Result<Self> {
        let mut attempts = 0;
        loop {
            let v4 = Socket::bind((Ipv4Addr::UNSPECIFIED, number).into())?;
            let chosen = v4.bound.port();
            match Socket::bind((Ipv6Addr::UNSPECIFIED, chosen).into()) {
                Ok(v6) => return Ok(Self::new(v4, Some(v6))),
                // Free in one family, taken in the other.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && number == 0 && attempts < 16 => {
                    attempts += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                Err(error) => {
                    tracing::debug!("there are no WebRTC peers over IPv6: {error}");
                    return Ok(Self::new(v4, None));
                }
            }
        }
    }

    fn new(v4: Socket, v6: Option<Socket>) -> Self {
        let number = v4.bound.port();
        Self { v4, v6, number }
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    pub(super) fn has_ipv6(&self) -> bool {
        self.v6.is_some()
    }

    /// Receives what has come, up to a batch of each family, and hands it out. Whether there may be more.
    pub(super) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffers: &mut Buffers,
        take: &mut impl FnMut(Path, &[u8]),
    ) -> bool {
        let mut more = self.v4.poll_receive(context, buffers, take);
        if let Some(v6) = &mut self.v6 {
            more |= v6.poll_receive(context, buffers, take);
        }
        more
    }

    /// Sends packets, or keeps them until the socket takes more; too many of them are dropped, as a network does.
    pub(super) fn send(&mut self, packets: &mut VecDeque<(Path, BytesMut)>) {
        while let Some((path, _)) = packets.front() {
            match self.socket(path.local.ip()) {
                Some(socket) => socket.send(packets),
                None => drop(packets.pop_front()),
            }
        }
    }

    /// Sends what was kept.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) {
        for socket in [Some(&mut self.v4), self.v6.as_mut()].into_iter().flatten() {
            socket.poll_flush(context);
        }
    }

    fn socket(&mut self, local: IpAddr) -> Option<&mut Socket> {
        match local {
            IpAddr::V4(_) => Some(&mut self.v4),
            IpAddr::V6(_) => self.v6.as_mut(),
        }
    }
}

impl Socket {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let raw = RawSocket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            raw.set_only_v6(true)?;
        }
        raw.set_nonblocking(true)?;
        raw.bind(&address.into())?;
        let io = UdpSocket::from_std(raw.into())?;
        let state = UdpSocketState::new((&io).into())?;
        // Packets are lost in the receiver's buffer, where they are lost at all on a good network. The system may
        // grant less.
        for result in [
            state.set_recv_buffer_size((&io).into(), SOCKET_BUFFER),
            state.set_send_buffer_size((&io).into(), SOCKET_BUFFER),
        ] {
            if let Err(error) = result {
                tracing::debug!("a socket keeps its small buffer: {error}");
            }
        }
        Ok(Self {
            bound: io.local_addr()?,
            io,
            state,
            backlog: VecDeque::new(),
        })
    }

    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffers: &mut Buffers,
        take: &mut impl FnMut(Path, &[u8]),
    ) -> bool {
        for _ in 0..BATCHES {
            match self.io.poll_recv_ready(context) {
                Poll::Pending => return false,
                Poll::Ready(Err(error)) => {
                    tracing::debug!("a socket can't be read: {error}");
                    return false;
                }
                Poll::Ready(Ok(())) => {}
            }
            let Buffers { bytes, meta } = buffers;
            let mut chunks = bytes.chunks_mut(BUFFER).map(IoSliceMut::new);
            let mut slices: [IoSliceMut<'_>; BATCH] =
                core::array::from_fn(|_| chunks.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            let received = self.io.try_io(Interest::READABLE, || {
                self.state.recv((&self.io).into(), &mut slices, meta)
            });
            // Whoever sent to a closed port is told so on the next call; there may be more behind it.
            let Ok(count) = received else { continue };
            for (slice, meta) in slices.iter().zip(meta.iter()).take(count) {
                let path = Path {
                    local: SocketAddr::new(meta.dst_ip.unwrap_or(self.bound.ip()), self.bound.port()),
                    remote: meta.addr,
                };
                for packet in slice[..meta.len].chunks(meta.stride.max(1)) {
                    take(path, packet);
                }
            }
        }
        true
    }

    /// Sends the packets in front that are for this socket.
    fn send(&mut self, packets: &mut VecDeque<(Path, BytesMut)>) {
        let is_ipv4 = self.bound.is_ipv4();
        while packets
            .front()
            .is_some_and(|(path, _)| path.local.is_ipv4() == is_ipv4)
        {
            if self.backlog.is_empty() && self.send_run(packets) {
                continue;
            }
            if let Some(packet) = packets.pop_front()
                && self.backlog.len() < MAX_BACKLOG
            {
                self.backlog.push_back(packet);
            }
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) {
        let mut backlog = std::mem::take(&mut self.backlog);
        while !backlog.is_empty() && matches!(self.io.poll_send_ready(context), Poll::Ready(Ok(()))) {
            while self.send_run(&mut backlog) {}
        }
        self.backlog = backlog;
    }

    /// Sends the longest run of packets with the same path and, but for the last, the same length. `false` where there is
    /// none, or the socket takes nothing at the moment.
    fn send_run(&mut self, packets: &mut VecDeque<(Path, BytesMut)>) -> bool {
        let Some((path, mut run)) = packets.pop_front() else {
            return false;
        };
        let length = run.len();
        let most = self.state.max_gso_segments().min(MAX_RUN / length.max(1)) * length;
        // Only the last one may be shorter.
        while run.len() < most
            && run.len().is_multiple_of(length)
            && let Some((_, packet)) =
                packets.pop_front_if(|(other, packet)| *other == path && packet.len() <= length)
        {
            // Costs nothing where they lie one behind the other.
            run.unsplit(packet);
        }
        let transmit = Transmit {
            destination: path.remote,
            ecn: None,
            contents: &run,
            segment_size: (run.len() > length).then_some(length),
            src_ip: Some(path.local.ip()),
        };
        let sent = self.io.try_io(Interest::WRITABLE, || {
            self.state.try_send((&self.io).into(), &transmit)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                while run.len() > length {
                    let last = (run.len() - 1) / length * length;
                    packets.push_front((path, run.split_off(last)));
                }
                packets.push_front((path, run));
                return false;
            }
            // An address that can't be reached, or an interface that is gone: the peer's checks find another one.
            Err(error) => tracing::trace!("packets to {} are lost: {error}", path.remote),
            Ok(()) => {}
        }
        true
    }
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BATCH * BUFFER],
            meta: [RecvMeta::default(); BATCH],
        }
    }
}

/// Buffers of a call, each of which takes as many packets as the system joins.
const BATCH: usize = 8;
const BUFFER: usize = 64 * 1024;
/// Calls before others have their turn.
const BATCHES: usize = 4;
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// The most bytes of a run of packets.
const MAX_RUN: usize = 60_000;
/// Packets that wait for a socket.
const MAX_BACKLOG: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::poll_fn;

    async fn receive(from: &mut Port, port: &mut Port, count: usize) -> Vec<(Path, Vec<u8>)> {
        let (mut buffers, mut received) = (Buffers::new(), Vec::new());
        poll_fn(|context| {
            from.poll_flush(context);
            while port.poll_receive(context, &mut buffers, &mut |path, packet| {
                received.push((path, packet.to_vec()));
            }) {}
            if received.len() < count {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
        received
    }

    #[tokio::test]
    async fn packets_of_all_lengths_arrive_as_they_were_from_where_they_were_sent() {
        let (mut from, mut to) = (Port::bind(0).expect("a port"), Port::bind(0).expect("a port"));
        for local in ["127.0.0.1", "::1"] {
            let local: IpAddr = local.parse().expect("an address");
            if local.is_ipv6() && !(from.has_ipv6() && to.has_ipv6()) {
                continue;
            }
            let path = Path {
                local: SocketAddr::new(local, from.number()),
                remote: SocketAddr::new(local, to.number()),
            };
            let lengths = [1200, 1200, 1200, 400, 1200, 1300, 1, 1, 7];
            let sent: Vec<_> = (0_u8..)
                .zip(lengths)
                .map(|(byte, length)| BytesMut::from(&vec![byte; length][..]))
                .collect();
            from.send(&mut sent.iter().map(|packet| (path, packet.clone())).collect());
            let received = receive(&mut from, &mut to, sent.len()).await;
            for ((path_back, received), sent) in received.iter().zip(&sent) {
                let back = Path {
                    local: path.remote,
                    remote: path.local,
                };
                assert_eq!((*path_back, received.as_slice()), (back, sent.as_ref()));
            }
            assert_eq!(received.len(), sent.len());
        }
    }
}
