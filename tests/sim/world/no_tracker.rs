//! Where the tracker's registry can't be built nobody is introduced by it.

#![expect(
    clippy::unused_self,
    clippy::needless_pass_by_value,
    reason = "what a world with a tracker does, one without leaves undone"
)]

use causeway_engine::AnnounceEvent;

use super::World;
use super::events::Alarm;

/// There is none.
pub(super) enum Signaling {}

/// There is none.
pub(super) enum Announcer {}

/// There is none.
pub(super) enum Introduction {}

impl World {
    pub(super) fn is_introduced(&self, _one: usize, _other: usize) -> bool {
        self.signaling.is_some()
    }

    pub(crate) fn check_tracker(&mut self) {}

    pub(super) fn client_timed_out(&mut self, _node: usize) {}

    pub(super) fn announce(&mut self, _node: usize, _event: AnnounceEvent) {}

    pub(super) fn was_closed(&mut self, _link: usize, _side: usize) {}

    pub(super) fn drop_client(&mut self, party: usize) {
        self.parties[party].announcer = None;
        self.set_alarm(Alarm::Client(party), None);
    }

    pub(super) fn look_after_client(&mut self, _party: usize) {}

    pub(super) fn introduce(&mut self, introduction: Introduction) {
        match introduction {}
    }

    pub(crate) fn add_tracker(&mut self, _failures: u32) {}

    pub(crate) fn enlist(&mut self, _node: usize) {}

    pub(crate) fn set_tracker_down(&mut self, _is_down: bool) {}
}
