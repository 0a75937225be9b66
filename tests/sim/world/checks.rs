//! What must hold between the parties, and what to show where it does not.

use super::{Actor, World, link_id};
use crate::node::Node;

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

    /// What one side of a link waits for is what the other has to send; checked where nothing is under way.
    pub(crate) fn check_links(&self) {
        for (number, link) in self.links.iter().enumerate() {
            if link.travelling != [0, 0] || link.is_open != [true, true] {
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
