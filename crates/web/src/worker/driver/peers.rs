//! Connections, from the first offer to the closed link.

use std::time::Duration;

use causeway_core::{InfoHash, PeerId, Time};
use causeway_engine::{Direction, Input, LinkKind};
use causeway_signal::ConnectionId;
use wasm_bindgen::JsValue;

use super::{Driver, link_of};
use crate::protocol::{Channel, ConnectionId as PageConnection, Notice, TorrentId};
use crate::worker::link::{Link, LinkEvent, max_message_size};

/// A connection that the page makes or has made.
pub(super) struct Connection {
    torrent: TorrentId,
    direction: Direction,
    /// Who the other side is, as it was introduced.
    peer_id: Option<PeerId>,
    /// From the other side's description.
    max_message_size: usize,
    /// The data channel that is used; it may come before the description that says how much it takes.
    pub(super) link: Option<Link>,
    /// The other one of an offer that nobody has answered.
    spare: Option<Link>,
    /// Which one is used, as soon as it is known who the other side is.
    channel: Channel,
    /// When the page is to tell its offer or answer at the latest, until it does.
    gather_until: Option<Time>,
    open: bool,
}

impl Driver {
    pub(super) fn create_offer(&mut self, now: Time, id: ConnectionId, info_hash: InfoHash, label: String) {
        let Some(torrent) = self.by_hash.get(&info_hash).copied() else {
            return;
        };
        self.connections
            .insert(id, Connection::new(torrent, Direction::Outgoing, now));
        self.page.send(&Notice::CreateOffer(PageConnection(id.0), label));
    }

    pub(super) fn accept_offer(
        &mut self,
        now: Time,
        id: ConnectionId,
        info_hash: InfoHash,
        (peer, sdp): (PeerId, String),
    ) {
        let Some(torrent) = self.by_hash.get(&info_hash).copied() else {
            return;
        };
        let mut connection = Connection::new(torrent, Direction::Incoming, now);
        connection.introduce(peer, &sdp);
        let channel = connection.channel;
        self.connections.insert(id, connection);
        self.page
            .send(&Notice::AcceptOffer(PageConnection(id.0), sdp, channel));
    }

    pub(super) fn accept_answer(&mut self, id: ConnectionId, peer: PeerId, sdp: String) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.introduce(peer, &sdp);
        self.page.send(&Notice::AcceptAnswer(PageConnection(id.0), sdp));
    }

    /// The page has told an offer or answer.
    pub(super) fn note_described(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.gather_until = None;
        }
    }

    /// Ends the gathering of candidates where it takes too long.
    pub(super) fn end_gathering(&mut self, now: Time) {
        for (id, connection) in &mut self.connections {
            if connection.gather_until.is_some_and(|until| until <= now) {
                connection.gather_until = None;
                self.page.send(&Notice::EndGathering(PageConnection(id.0)));
            }
        }
    }

    /// When that is to be looked at next.
    pub(super) fn gathering_deadline(&self) -> Option<Time> {
        let deadlines = self.connections.values();
        deadlines.filter_map(|connection| connection.gather_until).min()
    }

    /// The page hands over a data channel of a connection.
    pub(super) fn take_channel(&mut self, id: ConnectionId, channel: Channel, object: JsValue) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let used = channel == connection.channel;
            let place = if used {
                &mut connection.link
            } else {
                &mut connection.spare
            };
            *place = Link::new(id, object, &self.events);
        }
    }

    pub(super) fn handle_link(&mut self, now: Time, id: ConnectionId, event: LinkEvent) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let (torrent, link) = (connection.torrent, link_of(id));
        match event {
            // A channel that was open when it was handed over may say so once more.
            LinkEvent::Opened if connection.open => {}
            LinkEvent::Opened => {
                connection.open = true;
                let (direction, expected) = (connection.direction, connection.peer_id);
                if let Some(link) = &mut connection.link {
                    link.set_max_message(connection.max_message_size);
                }
                self.client.handle_opened(now, id);
                self.tell_torrent(
                    now,
                    torrent,
                    Input::LinkOpened {
                        link,
                        direction,
                        expected,
                        kind: LinkKind::WebRtc,
                        addr: None,
                    },
                );
                self.touched_links.insert(id);
                self.show_soon(now);
            }
            LinkEvent::Received(bytes) => self.tell_torrent(now, torrent, Input::Received { link, bytes }),
            LinkEvent::Drained => drop(self.touched_links.insert(id)),
            LinkEvent::Closed(reason) => {
                log_closed(id, &reason);
                self.drop_connection(now, id, true);
            }
        }
    }

    /// Sends what waits on a link, and tells the engine how much more it takes.
    pub(super) fn flush_link(&mut self, now: Time, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.open) else {
            return;
        };
        let torrent = connection.torrent;
        let Some(link) = &mut connection.link else { return };
        link.flush();
        if let Some(budget) = link.grant() {
            self.tell_torrent(
                now,
                torrent,
                Input::Writable {
                    link: link_of(id),
                    budget,
                },
            );
        }
    }

    /// Forgets a connection on both sides of the worker; tells the engine, unless it asked for that itself.
    pub(super) fn drop_connection(&mut self, now: Time, id: ConnectionId, tell_engine: bool) {
        let Some(mut connection) = self.connections.remove(&id) else {
            return;
        };
        if let Some(link) = &mut connection.link {
            link.flush();
        }
        self.page.send(&Notice::CloseConnection(PageConnection(id.0)));
        self.client.handle_failed(now, id);
        if connection.open {
            if tell_engine {
                self.tell_torrent(now, connection.torrent, Input::LinkClosed { link: link_of(id) });
            }
            self.show_soon(now);
        }
    }

    /// Closes every connection of a torrent that is about to go.
    pub(super) fn drop_connections_of(&mut self, now: Time, torrent: TorrentId) {
        let of_torrent = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.torrent == torrent);
        for id in of_torrent.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.drop_connection(now, id, false);
        }
    }
}

/// How long candidates are gathered: a STUN server that does not answer must not keep two peers apart that reach each other
/// without it. The client waits for twice as long.
const GATHERING: Duration = Duration::from_secs(5);

/// How the peer ids of Causeway begin.
const OUR_KIND: &[u8] = b"-CW";

/// A peer's end is of interest to whoever looks for the cause of a trouble, and to nobody else.
pub(super) fn log_closed(id: ConnectionId, reason: &str) {
    web_sys::console::debug_1(&format!("connection {} is closed: {reason}", id.0).into());
}

impl Connection {
    fn new(torrent: TorrentId, direction: Direction, now: Time) -> Self {
        Self {
            torrent,
            direction,
            peer_id: None,
            max_message_size: max_message_size(""),
            link: None,
            spare: None,
            channel: Channel::Announced,
            gather_until: Some(now + GATHERING),
            open: false,
        }
    }

    fn introduce(&mut self, peer_id: PeerId, sdp: &str) {
        if peer_id.as_bytes().starts_with(OUR_KIND) {
            self.channel = Channel::Agreed;
            std::mem::swap(&mut self.link, &mut self.spare);
        }
        self.spare = None;
        self.peer_id = Some(peer_id);
        self.max_message_size = max_message_size(sdp);
    }
}
