//! Where swarms live.

use causeway_core::{InfoHash, PeerId, Time};
use causeway_signal::{OfferId, SwarmCounts};

use super::{Announced, ClassicAnnounce, ClassicAnnounced, Link, Presence, Refusal, Registry, Session};

/// What the doors ask of one swarm, wherever it is kept. This is the seam of a cluster: which node owns a swarm is known
/// behind it alone, so a door waits for the answer, as for one that comes over a network; and an offer reaches a peer on
/// another node through [`Link::relay`], since the link that the owner chose knows where it leads.
///
/// What is asked of all swarms together is asked of the [`Registry`] of this process, and is about the swarms that it owns:
/// statistics, a scrape that names no torrent, and which swarms the operator's rules leave.
///
/// [`Registry`] is the home that is in this process: it owns all swarms and answers at once.
pub trait Home: Send + Sync {
    /// How connections are reached.
    type Link: Link;

    /// See [`Registry::announce`].
    fn announce(
        &self,
        now: Time,
        session: &mut Session<Self::Link>,
        presence: &Presence,
        offers: &[OfferId],
    ) -> impl Future<Output = Result<Announced<Self::Link>, Refusal>> + Send;

    /// See [`Registry::announce_classic`].
    fn announce_classic(
        &self,
        now: Time,
        announce: &ClassicAnnounce,
    ) -> impl Future<Output = Result<ClassicAnnounced, Refusal>> + Send;

    /// See [`Registry::answer`].
    fn answer(
        &self,
        now: Time,
        session: &Session<Self::Link>,
        info_hash: InfoHash,
        between: (PeerId, PeerId),
        offer_id: OfferId,
    ) -> impl Future<Output = Option<Self::Link>> + Send;

    /// See [`Registry::counts`].
    fn counts(&self, info_hash: InfoHash) -> impl Future<Output = SwarmCounts> + Send;

    /// See [`Registry::leave`]. Nobody waits for it: a connection may end at any time.
    fn leave(&self, session: &mut Session<Self::Link>);
}

impl<L: Link> Home for Registry<L> {
    type Link = L;

    async fn announce(
        &self,
        now: Time,
        session: &mut Session<L>,
        presence: &Presence,
        offers: &[OfferId],
    ) -> Result<Announced<L>, Refusal> {
        self.announce(now, session, presence, offers)
    }

    async fn announce_classic(
        &self,
        now: Time,
        announce: &ClassicAnnounce,
    ) -> Result<ClassicAnnounced, Refusal> {
        self.announce_classic(now, announce)
    }

    async fn answer(
        &self,
        now: Time,
        session: &Session<L>,
        info_hash: InfoHash,
        between: (PeerId, PeerId),
        offer_id: OfferId,
    ) -> Option<L> {
        self.answer(now, session, info_hash, between, offer_id)
    }

    async fn counts(&self, info_hash: InfoHash) -> SwarmCounts {
        self.counts(info_hash)
    }

    fn leave(&self, session: &mut Session<L>) {
        self.leave(session);
    }
}
