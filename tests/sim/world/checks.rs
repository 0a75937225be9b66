//! What must hold between the parties, and what to show where it does not.

use core::time::Duration;

use super::network::link_id;
use super::{Actor, World};
use crate::node::Node;
use causeway_engine::State;

impl World {
    pub(crate) fn describe(&self) -> String {
        let nodes = self
            .parties
            .iter()
            .zip(0..)
            .filter_map(|(party, number)| match &party.actor {
                Actor::Node(node) => Some(format!(
                    "{number}: {:?} {:?}\n   {:?}\n   closed {:?}\n",
                    node.torrent.state(),
                    node.torrent.stats(),
                    node.torrent.peers().collect::<Vec<_>>(),
                    node.closed
                )),
                Actor::Script(_) => None,
            });
        nodes.collect()
    }

    /// What this torrent waits for and owes is what went over its links.
    pub(super) fn check_requests(&self, number: usize) {
        for peer in self.node(number).torrent.peers() {
            let (link, side) = super::network::link_of(peer.link);
            let Some(referee) = &self.links[link].referee else {
                continue;
            };
            if let Some(waiting) = referee.waiting(side) {
                assert_eq!(
                    peer.outstanding_requests, waiting,
                    "{number} waits for what it asked {peer:?} for"
                );
            }
            if let Some(owed) = referee.owed(side) {
                assert!(
                    peer.accepted_requests <= owed,
                    "{number} owes {peer:?} what that asked for, which is {owed}"
                );
            }
        }
    }

    /// Whether somebody could give another what that lacks, and could have begun with it so long ago.
    pub(crate) fn could_go_on(&self, since: Duration, gives: impl Fn(usize) -> bool) -> bool {
        self.links.iter().any(|link| {
            let is_open = link.is_open == [true, true] && !link.is_dead;
            is_open
                && self.now.since(link.opened) >= since
                && [0, 1].into_iter().any(|side| {
                    let (to, from) = (link.parties[side], link.parties[1 - side]);
                    gives(from) && self.has_for(from, to)
                })
        })
    }

    /// Whether both run, and the one has what the other lacks.
    fn has_for(&self, giver: usize, taker: usize) -> bool {
        let (Actor::Node(giver), Actor::Node(taker)) =
            (&self.parties[giver].actor, &self.parties[taker].actor)
        else {
            return false;
        };
        let runs = |node: &Node| {
            !matches!(
                node.torrent.state(),
                State::Paused | State::Failed(_) | State::Checking
            )
        };
        match (giver.torrent.have(), taker.torrent.have()) {
            _ if !runs(giver) || !runs(taker) => false,
            (Some(_), None) => true,
            (Some(offered), Some(own)) => offered.iter_ones().any(|piece| !own.bit(piece)),
            (None, _) => false,
        }
    }

    /// What one side of a link waits for is what the other has to send; checked where nothing is under way.
    pub(crate) fn check_links(&self) {
        for (number, link) in self.links.iter().enumerate() {
            if link.travelling != [0, 0] || link.is_open != [true, true] || link.is_dead {
                continue;
            }
            for side in [0, 1] {
                let (Actor::Node(asks), Actor::Node(serves)) = (
                    &self.parties[link.parties[side]].actor,
                    &self.parties[link.parties[1 - side]].actor,
                ) else {
                    continue;
                };
                let view = |node: &Node, side| {
                    let id = link_id(number, side);
                    node.torrent.peers().find(|peer| peer.link == id)
                };
                let (Some(asks), Some(serves)) = (view(asks, side), view(serves, 1 - side)) else {
                    continue;
                };
                assert!(
                    asks.outstanding_requests <= serves.accepted_requests,
                    "nobody waits for what the other does not know of: {asks:?} {serves:?}"
                );
                assert_eq!(asks.is_choking_us, !serves.is_unchoked, "{asks:?} {serves:?}");
            }
        }
    }
}
