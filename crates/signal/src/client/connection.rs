//! A connection to a peer, from the offer to the end.

use super::io::TrackerId;
use crate::message::{OfferId, OfferItem};
use causeway_core::{PeerId, SortedSet, Time};
use core::time::Duration;
use serde_json::value::RawValue;

/// How long the driver may take for a description: gathering takes it 5 s at most.
pub(super) const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take to open once both sides know each other; webtorrent waits as long.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(25);

#[derive(Debug)]
pub(super) enum Connection {
    /// The driver makes our offer.
    Creating { until: Time },
    /// Our offer waits for an answer.
    Offered(Offer),
    /// The driver makes our answer to somebody's offer, which came by this tracker.
    Accepting {
        peer: PeerId,
        tracker: TrackerId,
        offer: OfferId,
        until: Time,
    },
    /// Both descriptions are exchanged.
    Dialing { peer: PeerId, ours: bool, until: Time },
    /// The data channel is open.
    Open { peer: PeerId },
}

#[derive(Debug)]
pub(super) struct Offer {
    pub(super) id: OfferId,
    pub(super) description: Box<RawValue>,
    /// Until then an answer is of use.
    pub(super) until: Time,
    /// Until then it is worth sending: whoever gets it needs some time to answer.
    pub(super) fresh_until: Time,
    /// The trackers that have passed it on, as far as we can tell.
    pub(super) relayed_by: SortedSet<TrackerId>,
}

impl Connection {
    pub(super) const fn is_creating(&self) -> bool {
        matches!(self, Self::Creating { .. })
    }

    /// Whether it counts against the budget of offers.
    pub(super) const fn is_offer(&self) -> bool {
        match self {
            Self::Creating { .. } | Self::Offered(_) => true,
            Self::Dialing { ours, .. } => *ours,
            Self::Accepting { .. } | Self::Open { .. } => false,
        }
    }

    /// Whether it counts against the budget of other peers' offers.
    pub(super) const fn is_incoming(&self) -> bool {
        match self {
            Self::Accepting { .. } => true,
            Self::Dialing { ours, .. } => !*ours,
            Self::Creating { .. } | Self::Offered(_) | Self::Open { .. } => false,
        }
    }

    /// Whom it leads to, where that is known.
    pub(super) const fn peer(&self) -> Option<PeerId> {
        match self {
            Self::Accepting { peer, .. } | Self::Dialing { peer, .. } | Self::Open { peer, .. } => {
                Some(*peer)
            }
            Self::Creating { .. } | Self::Offered(_) => None,
        }
    }

    /// When it is given up.
    pub(super) const fn deadline(&self) -> Option<Time> {
        match self {
            Self::Creating { until } | Self::Accepting { until, .. } | Self::Dialing { until, .. } => {
                Some(*until)
            }
            Self::Offered(offer) => Some(offer.until),
            Self::Open { .. } => None,
        }
    }

    /// The offer as it is announced.
    pub(super) fn offer_item(&self) -> Option<OfferItem<'_>> {
        match self {
            Self::Offered(offer) => Some(OfferItem {
                offer_id: offer.id,
                offer: &offer.description,
            }),
            Self::Creating { .. } | Self::Accepting { .. } | Self::Dialing { .. } | Self::Open { .. } => None,
        }
    }
}
