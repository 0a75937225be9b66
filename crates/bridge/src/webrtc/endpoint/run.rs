//! What the task does with its time: packets in, links and connections served, packets out.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::time::Instant;

use causeway_signal::ConnectionId;
use tokio::time::{Sleep, sleep_until};

use super::{Event, Owner, Task};
use crate::webrtc::connection::Path;
use crate::webrtc::peer::{MAX_PATHS, Served};
use crate::webrtc::turn::Received;

impl Task {
    /// Runs until the [`Endpoint`](super::Endpoint) is dropped; then takes leave of all peers.
    pub(super) async fn run(mut self) {
        let mut timer = pin!(sleep_until(Instant::now().into()));
        poll_fn(|context| self.poll(context, timer.as_mut())).await;
        let now = Instant::now();
        while let Some(id) = self.peers.keys().next().copied() {
            self.drop_peer(now, id, "this peer ends");
        }
        if let Some(relay) = &mut self.relay {
            relay.close();
        }
        self.serve_relay(now);
    }

    /// Does what there is to do at one moment.
    fn poll(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<()> {
        let now = Instant::now();
        let ports = self.ports.len();
        let more = self.receive(now, context);
        loop {
            match self.queue.poll_recv(context) {
                Poll::Ready(Some(command)) => self.handle_command(now, command),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        self.ask_servers(now);
        if !self.is_awaiting(now) {
            for command in std::mem::take(&mut self.waiting) {
                self.handle_command(now, command);
            }
        }
        let mut woken = Vec::new();
        self.ready.take(context.waker(), &mut woken);
        self.touched.extend(woken);
        self.take_due(now);
        while let Some(id) = self.touched.pop_first() {
            self.serve(now, id);
        }
        self.serve_relay(now);
        for port in &mut self.ports {
            port.poll_flush(context);
        }
        if more || self.ports.len() > ports {
            // Others have their turn before the next packets, and those of a new port.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(deadline) = self.deadline(now) {
            timer.as_mut().reset(deadline.into());
            if timer.poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    /// Receives packets and hands them to their connections. Whether there may be more.
    fn receive(&mut self, now: Instant, context: &mut Context<'_>) -> bool {
        let Self {
            ports,
            buffers,
            routes,
            peers,
            touched,
            gathering,
            relay,
            ..
        } = self;
        let mut take = |path: Path, packet: &[u8]| {
            let (path, packet) = match relay {
                Some(relay) if relay.server() == path.remote => match relay.handle_packet(now, packet) {
                    Received::Packet(local, remote, packet) => (Path { local, remote }, packet),
                    Received::Handled => return,
                    Received::Other => (path, packet),
                },
                _ => (path, packet),
            };
            match routes.find(now, path, packet) {
                Some(Owner::Connection(id)) => {
                    if let Some(peer) = peers.get_mut(&id) {
                        peer.handle_datagram(now, path, packet);
                        touched.insert(id);
                    }
                }
                Some(Owner::Gathering) => gathering.handle_response(packet),
                None => tracing::trace!("a packet from {} is for no connection", path.remote),
            }
        };
        let mut more = false;
        for port in ports {
            more |= port.poll_receive(context, buffers, &mut take);
        }
        more
    }

    fn take_due(&mut self, now: Instant) {
        while let Some((due, id)) = self.due.first().copied()
            && due <= now
        {
            self.due.pop_first();
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.due = None;
            }
            self.touched.insert(id);
        }
    }

    fn serve(&mut self, now: Instant, id: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let served = peer.serve(now, &mut self.packets);
        let deadline = peer.deadline();
        if peer.due != deadline {
            if let Some(due) = peer.due {
                self.due.remove(&(due, id));
            }
            peer.due = deadline;
            self.due.extend(deadline.map(|due| (due, id)));
        }
        self.transmit(now, Owner::Connection(id));
        match served {
            Served::Nothing => {}
            Served::Opened(link) => {
                tracing::debug!("connection {} is open", id.0);
                // Its first bytes may have come with the news.
                self.touched.insert(id);
                self.tell(Event::Opened(id, link));
            }
            Served::Ended(reason) => {
                self.drop_peer(now, id, &reason);
                self.tell(Event::Closed(id, reason));
            }
        }
    }

    /// Sends the packets of one connection.
    pub(super) fn transmit(&mut self, now: Instant, owner: Owner) {
        let mut peer = match owner {
            Owner::Connection(id) => self.peers.get_mut(&id),
            Owner::Gathering => None,
        };
        for (path, packet) in &self.packets {
            let is_known = peer.as_ref().is_some_and(|peer| peer.paths.contains(path));
            // Data on a known path changes nothing.
            if is_known && packet.first().is_some_and(|first| *first >= 20) {
                continue;
            }
            let claims = peer
                .as_ref()
                .is_some_and(|peer| is_known || peer.paths.len() < MAX_PATHS);
            if self.routes.note(now, owner, *path, packet, claims)
                && let Some(peer) = peer.as_mut().filter(|_| !is_known)
            {
                peer.paths.push(*path);
            }
        }
        if let Some(relay) = &mut self.relay
            && let Some(relayed) = relay.address()
        {
            self.packets.retain(|(path, packet)| {
                if path.local == relayed {
                    relay.send(now, path.remote, packet);
                }
                path.local != relayed
            });
        }
        let number = self.packets.front().map(|(path, _)| path.local.port());
        if let Some(port) = self.ports.iter_mut().find(|port| Some(port.number()) == number) {
            port.send(&mut self.packets);
        }
        self.packets.clear();
    }

    /// Does what the relay's time has come for, and sends it what waits for it.
    fn serve_relay(&mut self, now: Instant) {
        let number = self.ports[0].number();
        let Some(relay) = &mut self.relay else { return };
        relay.handle_timeout(now);
        let Some(local) = self.gathering.interface(now, &relay.server()) else {
            return;
        };
        let path = Path {
            local: (local, number).into(),
            remote: relay.server(),
        };
        while let Some(packet) = relay.poll() {
            self.packets.push_back((path, packet));
        }
        self.ports[0].send(&mut self.packets);
    }

    fn ask_servers(&mut self, now: Instant) {
        let number = self.ports[0].number();
        for (local, remote, request) in self.gathering.requests(now, super::random) {
            let path = Path {
                local: (local, number).into(),
                remote,
            };
            self.packets.push_back((path, request[..].into()));
        }
        self.transmit(now, Owner::Gathering);
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let peers = self.due.first().map(|(due, _)| *due);
        let relay = self.relay.as_ref().map(|relay| relay.deadline(now));
        [peers, self.gathering.deadline(), relay]
            .into_iter()
            .flatten()
            .min()
    }
}
