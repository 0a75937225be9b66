//! What a torrent asks of the world is done.

use bytes::Bytes;
use causeway_engine::{Event, Input, LinkId, Output};
use core::time::Duration;

use super::World;
use super::events::Alarm;
use super::network::link_of;

/// What is said on one link between two inputs travels together, up to a block.
type Said = Vec<(LinkId, Vec<Bytes>)>;

impl World {
    /// Does what the torrent says.
    pub(super) fn perform(&mut self, number: usize) {
        let mut said = Said::new();
        loop {
            let output = self.node_mut(number).torrent.poll_output();
            if let Output::Timeout(deadline) = output {
                assert!(
                    deadline.is_none_or(|deadline| deadline > self.now),
                    "the deadline lies ahead"
                );
                self.set_alarm(Alarm::Torrent(number), deadline);
                break;
            }
            self.effect(number, output, &mut said);
        }
        for (link, parts) in said {
            self.say(link, parts);
        }
    }

    fn effect(&mut self, number: usize, output: Output, said: &mut Said) {
        let now = self.now;
        let slow = Duration::from_micros(self.rng.u64(100..5_000));
        let node = self.node_mut(number);
        match output {
            Output::Send { link, bytes } => match said.iter_mut().rev().find(|(other, _)| *other == link) {
                Some((_, parts)) if parts.iter().all(|part| part.len() < SMALL) => parts.push(bytes),
                Some(_) | None => said.push((link, vec![bytes])),
            },
            Output::CloseLink { link, reason } => {
                node.closed.push(reason);
                if self.web_seeds.iter().any(|(other, _)| *other == link) {
                    return;
                }
                for (link, parts) in said.extract_if(.., |(other, _)| *other == link) {
                    self.say(link, parts);
                }
                let (link, side) = link_of(link);
                self.closed_by(link, side);
            }
            Output::PeersFound { addrs, .. } => self.found(number, &addrs),
            Output::PieceDemanded { .. } => panic!("nothing is carried over here"),
            Output::Fetch { link, bytes } => self.fetch(number, link, bytes),
            Output::StopFetch { link } => drop(self.fetches.remove(&link)),
            Output::Read { block } => {
                let result = node.storage.read(block);
                self.answer(now + slow, number, Input::BlockRead { block, result });
            }
            Output::Write { block, bytes } => {
                let is_verified = node.torrent.have().is_some_and(|have| have.has(block.piece()));
                assert!(!is_verified, "{block:?} is verified already");
                node.blocks += 1;
                let result = node.storage.write(block, bytes);
                self.answer(now + slow, number, Input::BlockWritten { block, result });
            }
            Output::Hash { piece } => {
                node.hashed += 1;
                let result = node.storage.hash(piece);
                self.answer(now + slow, number, Input::PieceHashed { piece, result });
            }
            Output::Announce(event) => {
                node.announced.push(event);
                self.announce(number, event);
            }
            Output::Event(event) => self.note(number, event),
            Output::Timeout(_) => {}
        }
    }

    /// What a torrent says of itself is true.
    fn note(&mut self, number: usize, event: Event) {
        let node = self.node_mut(number);
        match &event {
            Event::MetadataReceived(info) => assert_eq!(info.raw(), node.shared.info.raw()),
            Event::PieceVerified(piece) => {
                assert!(node.storage.is_right(*piece), "{piece:?} is as shared");
            }
            Event::StateChanged(_) | Event::PieceFailed(_) | Event::FileCompleted(_) => {}
        }
        let is_verified = matches!(event, Event::PieceVerified(_));
        node.events.push(event);
        if is_verified {
            self.verified = Some(number);
        }
    }

    fn say(&mut self, link: LinkId, parts: Vec<Bytes>) {
        let (link, side) = link_of(link);
        if let Some(referee) = &mut self.links[link].referee {
            for part in &parts {
                referee.sent(side, part.clone());
            }
        }
        self.send(link, side, parts);
    }
}

/// Longer parts are blocks.
const SMALL: usize = 1024;
