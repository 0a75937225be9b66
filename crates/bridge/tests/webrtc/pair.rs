//! Two endpoints and what a tracker would carry between them.

use causeway_bridge::webrtc::{Config, Endpoint, Event};
use causeway_bridge::{Link, Reader, Writer};
use causeway_core::PeerId;
use causeway_signal::ConnectionId;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Duration, timeout};

/// Peer ids by which a peer is known to be of our kind, or not.
pub(crate) const OURS: PeerId = PeerId::new(*b"-CW0001-abcdefghijkl");
pub(crate) const OTHERS: PeerId = PeerId::new(*b"-WW0300-abcdefghijkl");

pub(crate) struct Side {
    pub(crate) endpoint: Endpoint,
    pub(crate) events: UnboundedReceiver<Event>,
}

pub(crate) struct Pair {
    pub(crate) one: Side,
    pub(crate) other: Side,
}

impl Side {
    pub(crate) fn start(config: Config) -> Self {
        let (endpoint, events) = Endpoint::start(config).expect("an endpoint");
        Self { endpoint, events }
    }

    pub(crate) async fn event(&mut self) -> Event {
        let event = timeout(Duration::from_mins(1), self.events.recv()).await;
        event.expect("an event in time").expect("the endpoint lives")
    }

    pub(crate) async fn offer(&mut self, id: ConnectionId) -> String {
        self.endpoint.offer(id, "label".to_owned());
        let event = self.event().await;
        let Event::Offered(of, sdp) = event else {
            panic!("no offer: {event:?}")
        };
        assert_eq!(of, id);
        sdp
    }

    pub(crate) async fn answer(&mut self, id: ConnectionId, peer: PeerId, offer: String) -> String {
        self.endpoint.accept_offer(id, peer, offer);
        let event = self.event().await;
        let Event::Answered(of, sdp) = event else {
            panic!("no answer: {event:?}")
        };
        assert_eq!(of, id);
        sdp
    }

    pub(crate) async fn opened(&mut self, id: ConnectionId) -> Link {
        let event = self.event().await;
        let Event::Opened(of, link) = event else {
            panic!("not open: {event:?}")
        };
        assert_eq!(of, id);
        link
    }
}

impl Pair {
    pub(crate) fn start(one: Config, other: Config) -> Self {
        Self {
            one: Side::start(one),
            other: Side::start(other),
        }
    }

    /// Connects the two; each takes the other for a peer of that id.
    pub(crate) async fn connect(&mut self, id: u32, one: PeerId, other: PeerId) -> (Link, Link) {
        connect(&mut self.one, &mut self.other, id, one, other).await
    }

    /// The same with the other one's offer.
    pub(crate) async fn connect_back(&mut self, id: u32, one: PeerId, other: PeerId) -> (Link, Link) {
        connect(&mut self.other, &mut self.one, id, one, other).await
    }
}

async fn connect(from: &mut Side, to: &mut Side, id: u32, one: PeerId, other: PeerId) -> (Link, Link) {
    let id = ConnectionId(id);
    let offer = from.offer(id).await;
    let answer = to.answer(id, one, offer).await;
    from.endpoint.accept_answer(id, other, answer);
    tokio::join!(from.opened(id), to.opened(id))
}

/// Sends so many bytes there and back at once, and compares them.
pub(crate) async fn pump(one: Link, other: Link, there: usize, back: usize) {
    tokio::join!(
        send(&one.outgoing, there),
        send(&other.outgoing, back),
        receive(&one.incoming, back),
        receive(&other.incoming, there),
    );
}

/// Byte `n` of every stream.
fn byte(n: usize) -> u8 {
    n.wrapping_mul(2_654_435_761).to_le_bytes()[2]
}

pub(crate) async fn send(to: &Writer, total: usize) {
    let mut sent = 0;
    while sent < total {
        let room = to.room().await.expect("the link is open");
        // Of uneven lengths, as headers and blocks are.
        let length = room.min(total - sent).min(1 + (sent * 7) % 40_000);
        to.write((sent..sent + length).map(byte).collect());
        sent += length;
    }
}

pub(crate) async fn receive(from: &Reader, total: usize) {
    let mut received = 0;
    while received < total {
        let bytes = timeout(Duration::from_mins(1), from.read())
            .await
            .expect("bytes in time");
        let bytes = bytes.expect("the link is open");
        for (n, got) in (received..).zip(&bytes) {
            assert_eq!(*got, byte(n), "at byte {n}");
        }
        from.release(bytes.len());
        received += bytes.len();
    }
    assert_eq!(received, total);
}
