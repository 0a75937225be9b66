//! Two ends of a connection and a path between them, in virtual time: everything but the sockets.

#![expect(clippy::cast_precision_loss, reason = "bytes of seconds are far below 2^53")]

use std::net::SocketAddr;

use causeway_core::PeerId;
use causeway_engine::{Direction, LinkKind};

use super::*;
use crate::webrtc::stack::tests::pair;

/// One direction of a path: a queue in front of a line.
struct Line {
    /// Bytes a second.
    rate: f64,
    delay: Duration,
    /// Bytes that have room in the queue.
    queue: usize,
    /// One of so many packets is lost; 0 for none.
    loss: u32,
    /// Longer packets are dropped, in bytes without the headers of UDP and IP.
    longest: usize,
    free: Instant,
    under_way: VecDeque<(Instant, BytesMut)>,
    sent: u32,
    dropped: u32,
    /// The longest packet with data that has passed.
    seen: usize,
    chance: u64,
}

impl Line {
    fn send(&mut self, now: Instant, packet: BytesMut) {
        let waiting = self.free.saturating_duration_since(now).as_secs_f64() * self.rate;
        // Numbers that only look like chance (xorshift).
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let is_lost = self.loss > 0 && self.chance.is_multiple_of(u64::from(self.loss));
        self.sent += 1;
        if packet.len() > self.longest {
            return;
        }
        if packet.first() == Some(&APPLICATION_DATA) {
            self.seen = self.seen.max(packet.len());
        }
        if is_lost || waiting > self.queue as f64 {
            self.dropped += 1;
            return;
        }
        // UDP and IP have headers, too.
        let took = Duration::from_secs_f64((packet.len() + 28) as f64 / self.rate);
        self.free = self.free.max(now) + took;
        self.under_way.push_back((self.free + self.delay, packet));
    }
}

struct Side {
    address: SocketAddr,
    peer: Peer,
    link: Option<Link>,
    /// From here to the other one.
    line: Line,
}

/// What became of some seconds of sending.
struct Carried {
    /// Bytes a second.
    rate: f64,
    /// The share of packets that were lost.
    lost: f64,
    /// The longest packet with data that has passed.
    longest: usize,
}

/// Sends over such a path, on which no packets pass that are longer than `longest`.
fn carry(delay: Duration, loss: u32, longest: usize) -> Carried {
    let start = Instant::now();
    let mut sides = sides(start, delay, loss, longest);
    let (mut now, end) = (start, start + LASTS);
    let (mut received, mut begun) = (0, None);
    let context = &mut Context::from_waker(Waker::noop());
    let block = Bytes::from(vec![7; 16 * 1024 + 13]);
    let mut packets = VecDeque::new();
    while now < end {
        for this in 0..2 {
            let (from, to) = (sides[1 - this].address, sides[this].address);
            while let Some((at, _)) = sides[1 - this].line.under_way.front()
                && *at <= now
                && let Some((_, packet)) = sides[1 - this].line.under_way.pop_front()
            {
                let path = Path {
                    local: to,
                    remote: from,
                };
                sides[this].peer.handle_datagram(now, path, &packet);
            }
            if let Some(link) = &sides[this].link {
                while this == 0 && matches!(link.outgoing.poll_room(context, block.len()), Poll::Ready(Ok(_)))
                {
                    link.outgoing.write(block.clone());
                }
                while let Some(bytes) = link.incoming.try_read() {
                    link.incoming.release(bytes.len());
                    begun.get_or_insert(now);
                    received += bytes.len();
                }
            }
            let side = &mut sides[this];
            match side.peer.serve(now, &mut packets) {
                Served::Nothing => {}
                Served::Opened(link) => side.link = Some(link),
                Served::Ended(reason) => panic!("the link has ended: {reason}"),
            }
            for (_, packet) in packets.drain(..) {
                side.line.send(now, packet);
            }
        }
        let next = sides.iter_mut().flat_map(|side| {
            let arrives = side.line.under_way.front().map(|(at, _)| *at);
            [arrives, side.peer.deadline()]
        });
        let next = next.flatten().min().expect("something is to happen");
        now = next.max(now + Duration::from_micros(10));
    }
    let seconds = (end - begun.expect("something has come")).as_secs_f64();
    let Line {
        sent, dropped, seen, ..
    } = &sides[0].line;
    Carried {
        rate: received as f64 / seconds,
        lost: f64::from(*dropped) / f64::from(*sent),
        longest: *seen,
    }
}

/// An offering and an answering one, which do not know each other's certificates from anywhere but their descriptions.
fn sides(now: Instant, delay: Duration, loss: u32, longest: usize) -> [Side; 2] {
    let addresses = ["192.0.2.1:4000", "198.51.100.1:5000"].map(|text| text.parse().expect("an address"));
    let mut pair = pair(now, addresses).into_iter();
    [0, 1].map(|this| {
        let (connection, terms) = pair.next().expect("two of them");
        let meeting = Meeting {
            kind: LinkKind::WebRtc,
            direction: [Direction::Outgoing, Direction::Incoming][this],
            remote: None,
            expected: Some(PeerId::new(*b"-CW0100-abcdefghijkl")),
        };
        let waker = Waker::noop().clone();
        Side {
            address: addresses[this],
            peer: Peer::new(now, Box::new(connection), &terms, meeting, waker),
            link: None,
            line: Line {
                rate: LINE,
                delay,
                queue: QUEUE,
                loss,
                longest,
                free: now,
                under_way: VecDeque::new(),
                sent: 0,
                dropped: 0,
                seen: 0,
                chance: 88_172_645_463_325_252 + this as u64,
            },
        }
    })
}

/// 100 Mbit/s, with a queue of 20 ms.
const LINE: f64 = 12_500_000.0;
const QUEUE: usize = 250_000;
/// How long bytes are sent.
const LASTS: Duration = Duration::from_secs(6);

/// The first byte of a record of DTLS.
const APPLICATION_DATA: u8 = 23;
/// What Ethernet leaves to UDP, a tunnel in it, and a path that carries no more than IPv6 asks for.
const ETHERNET: usize = 1472;
const TUNNEL: usize = 1400;
const NARROW: usize = 1232;
/// What peers on pion take.
const PION: usize = 1460;

#[test]
fn a_line_of_100_mbit_and_20_ms_is_filled_without_loss() {
    let Carried { rate, lost, .. } = carry(Duration::from_millis(20), 0, ETHERNET);
    assert!(rate > 0.8 * LINE, "{rate:.0} bytes a second");
    assert!(lost < 0.001, "{lost} of the packets are lost in the queue");
}

#[test]
fn a_line_that_loses_a_packet_in_a_hundred_carries_what_reno_does() {
    let Carried { rate, lost, .. } = carry(Duration::from_millis(20), 100, ETHERNET);
    // TCP Reno's rate with packets of this length: what SCTP's control of congestion is modelled on.
    let reno = 1_400.0 / 0.040 * (1.5 / lost).sqrt();
    assert!(rate > 0.7 * reno, "{rate:.0} bytes a second of {reno:.0}");
}

#[test]
fn packets_are_as_long_as_the_path_carries() {
    for (longest, sent) in [
        (ETHERNET, 1452..=PION),
        (TUNNEL, 1384..=TUNNEL),
        (NARROW, 1220..=NARROW),
    ] {
        let carried = carry(Duration::from_millis(1), 0, longest);
        assert!(
            carried.rate > 0.5 * LINE,
            "{} bytes a second of {longest}",
            carried.rate
        );
        let seen = carried.longest;
        assert!(
            sent.contains(&seen),
            "packets of {seen} bytes where {longest} pass"
        );
    }
}
