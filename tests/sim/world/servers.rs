//! Web seeds and what is fetched from them.

use causeway_engine::{Input, LinkId};
use core::ops::Range;

use super::World;
use super::events::Happening;
use crate::web_server::WebServer;

impl World {
    /// This node may fetch from this server.
    pub(crate) fn add_web_seed(&mut self, node: usize, server: WebServer) -> LinkId {
        let link = LinkId(u64::MAX - 1 - self.web_seeds.len() as u64);
        self.web_seeds.push((link, server));
        self.input(node, Input::WebSeedAdded { link, peer: None });
        link
    }

    /// How many ranges were fetched from this server, and how many bytes.
    pub(crate) fn served_by(&self, link: LinkId) -> (usize, u64) {
        let (_, server) = self
            .web_seeds
            .iter()
            .find(|(other, _)| *other == link)
            .expect("it was added");
        (server.requests, server.bytes)
    }

    pub(super) fn fetched(&mut self, node: usize, fetch: u64, input: Input) {
        if self.fetches.values().any(|other| *other == fetch) {
            if let Input::FetchEnded { link, .. } = &input {
                self.fetches.remove(link);
            }
            self.input(node, input);
        }
    }

    pub(super) fn fetch(&mut self, node: usize, link: LinkId, bytes: Range<u64>) {
        self.fetched += 1;
        let fetch = self.fetched;
        let before = self.fetches.insert(link, fetch);
        assert_eq!(before, None, "one range at a time");
        let (_, server) = self
            .web_seeds
            .iter_mut()
            .find(|(other, _)| *other == link)
            .expect("it was added");
        for (delay, input) in server.answer(link, bytes, &self.shared.content) {
            self.happen(self.now + delay, Happening::Fetched { node, fetch, input });
        }
    }
}
