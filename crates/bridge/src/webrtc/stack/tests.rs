//! Two connections, and a network that does with their packets what a test wants, in virtual time.

use super::records::APPLICATION_DATA;
use super::*;
use crate::webrtc::connection::Channel;
use crate::webrtc::description::{Credentials, Description};

/// An offering and an answering connection, which do not know each other's certificates from anywhere but their descriptions.
pub(in crate::webrtc) fn pair(now: Instant, addresses: [SocketAddr; 2]) -> [(RtcConnection, Terms); 2] {
    with_channels(now, addresses, &[Channel::Agreed, Channel::Agreed])
}

fn with_channels(
    now: Instant,
    addresses: [SocketAddr; 2],
    channels: &[Channel; 2],
) -> [(RtcConnection, Terms); 2] {
    let stacks = [0, 1].map(|_| Stack::new().expect("a certificate"));
    let random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("there is randomness");
    let credentials = [0, 1].map(|_| Credentials::generate(random));
    [0, 1].map(|this| {
        let that = 1 - this;
        let remote = Description {
            credentials: credentials[that].clone(),
            fingerprint: stacks[that].fingerprint().to_owned(),
            setup: [Setup::ActPass, Setup::Passive][that],
            mid: "0".to_owned(),
            sctp_port: 5000,
            max_message_size: Some(MAX_RECEIVED_MESSAGE as usize),
            candidates: vec![Candidate::host(addresses[that], 0)],
            ours: true,
        };
        let terms = Terms {
            role: [Role::Offerer, Role::Answerer][this],
            channel: channels[this].clone(),
            credentials: credentials[this].clone(),
            remote,
            local: vec![addresses[this]],
            relayed: None,
        };
        (stacks[this].connect(now, &terms).expect("a connection"), terms)
    })
}

/// Both connections, the network between them, and what came out of them.
struct World {
    now: Instant,
    sides: [RtcConnection; 2],
    addresses: [SocketAddr; 2],
    opened: [bool; 2],
    closed: [Option<&'static str>; 2],
}

impl World {
    fn new(channels: &[Channel; 2]) -> Self {
        let now = Instant::now();
        let addresses = ["192.0.2.1:4000", "198.51.100.1:5000"].map(|text| text.parse().expect("an address"));
        let [(one, _), (other, _)] = with_channels(now, addresses, channels);
        Self {
            now,
            sides: [one, other],
            addresses,
            opened: [false; 2],
            closed: [None; 2],
        }
    }

    /// What a side sends now.
    fn sent(&mut self, side: usize) -> Vec<(Path, BytesMut)> {
        let mut sent = Vec::new();
        while let Some(happening) = self.sides[side].poll() {
            match happening {
                Happening::Transmit(path, packet) => sent.push((path, packet)),
                Happening::Opened => self.opened[side] = true,
                Happening::Closed(reason) => self.closed[side] = Some(reason),
            }
        }
        sent
    }

    /// Gives a side what the other one has sent.
    fn deliver(&mut self, side: usize, packets: Vec<(Path, BytesMut)>) {
        for (path, packet) in packets {
            let path = Path {
                local: path.remote,
                remote: path.local,
            };
            self.sides[side].handle_datagram(self.now, path, packet);
        }
    }

    /// Passes packets on for so long, but for those that `passes` refuses; by the side that has sent it.
    fn run(&mut self, time: Duration, mut passes: impl FnMut(usize, &[u8]) -> bool) {
        let end = self.now + time;
        while self.now < end {
            for side in [0, 1] {
                self.sides[side].handle_timeout(self.now);
                let mut packets = self.sent(side);
                packets.retain(|(_, packet)| passes(side, packet));
                self.deliver(1 - side, packets);
            }
            self.now += Duration::from_millis(5);
        }
    }

    fn say(&mut self, side: usize, text: &'static [u8]) {
        self.sides[side].send(self.now, text.into()).expect("it is open");
    }
}

#[test]
fn a_channel_opens_whether_it_is_agreed_or_announced() {
    let announced = || Channel::Announced("some label".to_owned());
    for channels in [[Channel::Agreed, Channel::Agreed], [announced(), announced()]] {
        let mut world = World::new(&channels);
        world.run(Duration::from_secs(1), |_, _| true);
        assert_eq!((world.opened, world.closed), ([true; 2], [None; 2]));
        for side in [0, 1] {
            world.say(side, b"hello");
            assert!(world.sides[side].outstanding() > 0);
        }
        world.run(Duration::from_secs(1), |_, _| true);
        for side in [0, 1] {
            assert_eq!(world.sides[side].receive().as_deref(), Some(&b"hello"[..]));
            assert_eq!(world.sides[side].receive(), None);
            assert_eq!(world.sides[side].outstanding(), 0, "it was acknowledged");
        }
    }
}

#[test]
fn every_packet_of_the_beginning_may_be_lost() {
    // The longest wait is that of SCTP, three seconds.
    let mut count = 0;
    World::new(&[Channel::Agreed, Channel::Agreed]).run(Duration::from_secs(1), |_, packet| {
        count += usize::from(!crate::webrtc::stun::is_stun(packet));
        true
    });
    assert!(count > 8, "two handshakes have more packets than {count}");
    for lost in 1..=count {
        let (mut world, mut count) = (World::new(&[Channel::Agreed, Channel::Agreed]), 0);
        world.run(Duration::from_secs(12), |_, packet| {
            count += usize::from(!crate::webrtc::stun::is_stun(packet));
            count != lost
        });
        assert_eq!(
            (world.opened, world.closed),
            ([true; 2], [None; 2]),
            "packet {lost} was lost"
        );
    }
}

#[test]
fn a_forged_change_of_ciphers_changes_nothing() {
    let mut world = World::new(&[Channel::Agreed, Channel::Agreed]);
    // The server has said its last word, and waits for the client's first one.
    world.run(Duration::from_secs(1), |side, packet| {
        side == 1 || packet.first() != Some(&APPLICATION_DATA)
    });
    let [local, remote] = world.addresses;
    let forged = BytesMut::from(&[20, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 1][..]);
    world.deliver(1, vec![(Path { local, remote }, forged)]);
    world.run(Duration::from_secs(5), |_, _| true);
    assert_eq!((world.opened, world.closed), ([true; 2], [None; 2]));
}

#[test]
fn who_takes_leave_is_gone_at_once_for_the_other_one() {
    let mut world = World::new(&[Channel::Agreed, Channel::Agreed]);
    world.run(Duration::from_secs(1), |_, _| true);
    world.say(0, b"goodbye");
    world.sides[0].close();
    let last = world.sent(0);
    world.deliver(1, last);
    world.sent(1);
    assert!(world.closed[1].is_some());
    assert_eq!(
        world.sides[1].receive().as_deref(),
        Some(&b"goodbye"[..]),
        "it was said before"
    );
}

#[test]
fn the_last_packet_alone_tells_who_has_taken_leave() {
    let mut world = World::new(&[Channel::Agreed, Channel::Agreed]);
    world.run(Duration::from_secs(1), |_, _| true);
    world.sides[0].close();
    let last = world.sent(0).pop().expect("there is one");
    world.deliver(1, vec![last]);
    world.sent(1);
    assert_eq!(world.closed[1], Some("the peer has closed the connection"));
}

#[test]
fn a_certificate_that_was_not_described_is_refused() {
    let now = Instant::now();
    let addresses = ["192.0.2.1:4000", "198.51.100.1:5000"].map(|text| text.parse().expect("an address"));
    let [(one, _), (_, terms)] = pair(now, addresses);
    let stranger = Stack::new().expect("a certificate");
    let other = stranger.connect(now, &terms).expect("a connection");
    let mut world = World::new(&[Channel::Agreed, Channel::Agreed]);
    (world.sides, world.now) = ([one, other], now);
    world.run(Duration::from_secs(5), |_, _| true);
    assert_eq!(world.opened, [false; 2]);
}

#[test]
fn a_new_path_is_taken_once_it_carries_what_is_sent() {
    let mut world = World::new(&[Channel::Agreed, Channel::Agreed]);
    world.run(Duration::from_secs(1), |_, _| true);
    let old = world.sides[0].path.expect("there is one");
    assert_eq!((old.local, old.remote), (world.addresses[0], world.addresses[1]));
    let new = Path {
        local: "192.0.2.7:4000".parse().expect("an address"),
        ..old
    };
    world.sides[0].reach(new);
    world.say(0, b"where?");
    let (probes, rest): (Vec<_>, Vec<_>) = world.sent(0).into_iter().partition(|(path, _)| *path == new);
    assert!(
        probes
            .iter()
            .all(|(_, probe)| crate::webrtc::stun::is_stun(probe))
    );
    assert!(
        !rest.is_empty() && rest.iter().all(|(path, _)| *path == old),
        "data stays on the old one"
    );
    world.deliver(1, probes);
    let answers = world.sent(1);
    world.deliver(0, answers);
    world.say(0, b"there");
    let sent = world.sent(0);
    assert!(
        !sent.is_empty() && sent.iter().all(|(path, _)| *path == new),
        "it has been proven"
    );
}

#[test]
fn a_message_without_end_ends_the_connection() {
    let mut world = World::new(&[Channel::Agreed, Channel::Agreed]);
    world.run(Duration::from_secs(1), |_, _| true);
    // Nobody reads, as where the torrent is busy or the channel is not open.
    let mut unread = 0;
    let peak = 3 * 1024 * 1024;
    let mut beginning = vec![0; 12];
    // A DATA chunk that neither begins nor ends a message, and one of another kind behind it: what is kept of one keeps both.
    beginning.extend([0, 0, 0, 0x14]);
    beginning.resize(12 + 0x14, 0);
    beginning.extend([9, 0, 0x04, 0x10]);
    beginning.resize(12 + 0x14 + 0x410, 0);
    while world.closed[1].is_none() && unread < peak {
        world.sides[1]
            .channel
            .handle_packet(world.now, Bytes::from(beginning.clone()));
        unread += beginning.len();
        world.sent(1);
    }
    assert!(unread < peak, "{unread} bytes are kept");
}

#[test]
fn a_short_record_does_not_keep_a_long_packet() {
    let mut world = World::new(&[Channel::Agreed, Channel::Agreed]);
    world.run(Duration::from_secs(1), |_, _| true);
    world.say(0, b"short");
    let (_, mut packet) = world.sent(0).pop().expect("it is sent");
    // Whoever is on the way can put something behind it.
    packet.resize(50_000, 0);
    let all = packet.as_ptr_range();
    let dtls = &mut world.sides[1].dtls;
    dtls.handle_packet(world.now, packet);
    let Some(dtls::News::Packet(kept)) = dtls.poll() else {
        panic!("the record is still good");
    };
    assert!(!all.contains(&kept.as_ptr()), "all of the packet is kept");
}
