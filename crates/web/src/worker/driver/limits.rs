//! What all torrents of a page may use together.

use causeway_core::Time;
use causeway_engine::{Command, Input, Limits, Use};

use super::Driver;

impl Driver {
    /// Gives every torrent its share of the connections that a page may have.
    pub(super) fn share_limits(&mut self, now: Time) {
        for (id, session) in &mut self.sessions {
            if let Some(running) = session.running() {
                self.shares.report(*id, EACH, Use::from(&running.torrent.stats()));
            }
        }
        for (id, limits) in self.shares.divide() {
            self.tell_torrent(now, id, Input::Command(Command::SetLimits(limits)));
        }
    }
}

/// What one torrent may use: connections cost a browser more than a native peer.
pub(super) const EACH: Limits = Limits {
    peers: 40,
    upload_slots: 8,
    upload_rate: Limits::UNLIMITED,
    download_rate: Limits::UNLIMITED,
};
/// What all of them may: browsers allow a page five hundred connections, and each takes memory.
pub(super) const ALL: Limits = Limits {
    peers: 200,
    upload_slots: 64,
    ..EACH
};
/// Of one peer at once: 8 MiB. A browser keeps in memory what has arrived until the worker comes to it, however long it is
/// busy. That is 40 MB/s over a way of 200 ms, far more than a data channel reaches there.
pub(super) const MAX_OUTSTANDING_REQUESTS: u32 = 512;
