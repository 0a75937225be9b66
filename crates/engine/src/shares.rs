//! Limits of a whole client: each torrent gets its share of them, and what one does not need goes to the others.

use causeway_core::{SortedMap, sort_by_key};

use crate::{Limits, Stats};

/// Divides what a client may use among its torrents.
///
/// Tell it about once a second what each torrent does ([`Self::report`]), then give each torrent what
/// [`Self::divide`] says, with [`Command::SetLimits`](crate::Command::SetLimits). The shares of rates never add up to more than
/// there is, so the limit holds whatever the torrents do; one peer and one slot each torrent has in any case.
#[derive(Debug)]
pub struct Shares<Id> {
    total: Limits,
    members: SortedMap<Id, Member>,
}

#[derive(Debug)]
struct Member {
    own: Limits,
    used: Use,
    /// What it was given last, if it was given anything.
    share: Limits,
    is_told: bool,
}

/// What a torrent does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Connected peers.
    pub peers: usize,
    /// Those that want something of us.
    pub interested: usize,
    /// Payload bytes a second that are given.
    pub upload_rate: u64,
    /// Payload bytes a second that are taken.
    pub download_rate: u64,
}

impl From<&Stats> for Use {
    fn from(stats: &Stats) -> Self {
        Self {
            peers: stats.peers,
            interested: stats.interested,
            upload_rate: stats.upload_rate,
            download_rate: stats.download_rate,
        }
    }
}

impl<Id: Copy + Ord> Shares<Id> {
    /// For a client that may use so much in all.
    #[must_use]
    pub const fn new(total: Limits) -> Self {
        Self {
            total,
            members: SortedMap::new(),
        }
    }

    /// The client may use so much from now on.
    pub const fn set_total(&mut self, total: Limits) {
        self.total = total;
    }

    /// This torrent, which alone may use as much as `own`, does so much.
    pub fn report(&mut self, torrent: Id, own: Limits, used: Use) {
        let member = self.members.get_or_insert_with(torrent, || Member {
            own,
            used,
            share: Limits::default(),
            is_told: false,
        });
        (member.own, member.used) = (own, used);
    }

    /// This torrent is no more.
    pub fn remove(&mut self, torrent: Id) {
        self.members.remove(&torrent);
    }

    /// What each torrent may use until the next time, where that is not what it was told last.
    pub fn divide(&mut self) -> Vec<(Id, Limits)> {
        let share = |wish: fn(&Member) -> u64, total| {
            let wishes: Vec<_> = self.members.values().map(wish).collect();
            share_out(total, &wishes)
        };
        let upload = share(
            |Member { own, used, share, .. }| wish(used.upload_rate, share.upload_rate, own.upload_rate),
            self.total.upload_rate,
        );
        let download = share(
            |Member { own, used, share, .. }| {
                wish(used.download_rate, share.download_rate, own.download_rate)
            },
            self.total.download_rate,
        );
        let peers = share(
            |member| (member.used.peers + SPARE_PEERS).min(member.own.peers) as u64,
            self.total.peers as u64,
        );
        let slots = share(
            |member| (member.used.interested + 1).min(member.own.upload_slots) as u64,
            self.total.upload_slots as u64,
        );
        let count = |share: u64, own: usize| usize::try_from(share).unwrap_or(usize::MAX).max(1).min(own);
        let mut changed = Vec::new();
        let shares = upload.into_iter().zip(download).zip(peers).zip(slots);
        for ((torrent, member), (((upload, download), peers), slots)) in self.members.iter_mut().zip(shares) {
            let share = Limits {
                peers: count(peers, member.own.peers),
                upload_slots: count(slots, member.own.upload_slots),
                upload_rate: upload.min(member.own.upload_rate),
                download_rate: download.min(member.own.download_rate),
            };
            if !core::mem::replace(&mut member.is_told, true) || member.share != share {
                changed.push((*torrent, share));
            }
            member.share = share;
        }
        changed
    }
}

/// What a torrent would use: all that it may where it uses what it was given, else a little more than it does.
fn wish(used: u64, share: u64, own: u64) -> u64 {
    if used >= share / 5 * 4 {
        return own;
    }
    (used.saturating_add(used / 2)).max(LEAST_RATE).min(own)
}

/// Gives everybody what they wish as far as it lasts, and nobody more than another who wishes more. What is left over is
/// for all alike: who begins something need not wait for the next time.
fn share_out(total: u64, wishes: &[u64]) -> Vec<u64> {
    if total == Limits::UNLIMITED {
        return vec![total; wishes.len()];
    }
    let mut order: Vec<_> = (0..wishes.len()).collect();
    sort_by_key(&mut order, |member| wishes[*member]);
    let mut shares = vec![0; wishes.len()];
    let mut left = total;
    for (place, member) in order.iter().enumerate() {
        let fair = left / (order.len() - place) as u64;
        shares[*member] = wishes[*member].min(fair);
        left -= shares[*member];
    }
    let members = wishes.len().max(1) as u64;
    for share in &mut shares {
        *share += left / members;
    }
    shares
}

/// Peers that a torrent may get until the next time.
const SPARE_PEERS: usize = 8;
/// Bytes a second that every torrent may use at least while there is enough: of less nothing would ever begin.
const LEAST_RATE: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const OWN: Limits = Limits {
        peers: 50,
        upload_slots: 8,
        upload_rate: Limits::UNLIMITED,
        download_rate: Limits::UNLIMITED,
    };

    fn total(rate: u64) -> Limits {
        Limits {
            peers: 100,
            upload_slots: 10,
            upload_rate: rate,
            download_rate: rate,
        }
    }

    fn uploading(rate: u64) -> Use {
        Use {
            upload_rate: rate,
            ..Use::default()
        }
    }

    #[test]
    fn who_could_use_more_gets_what_the_others_leave() {
        let mut shares = Shares::new(total(1_000_000));
        // The first takes whatever it is given, the second 100,000 at the most, the third nothing.
        let mut given = [0, 0, 0];
        for _ in 0..10 {
            for (torrent, most) in [u64::MAX, 100_000, 0].into_iter().enumerate() {
                shares.report(torrent, OWN, uploading(most.min(given[torrent])));
            }
            for (torrent, limits) in shares.divide() {
                given[torrent] = limits.upload_rate;
            }
            assert!(given.iter().sum::<u64>() <= 1_000_000, "{given:?}");
        }
        assert!(
            given[0] > 700_000 && given[1] > 100_000 && given[2] > 10_000,
            "{given:?}"
        );
        for (torrent, rate) in given.into_iter().enumerate() {
            shares.report(torrent, OWN, uploading(rate));
        }
        let mut all: Vec<_> = shares
            .divide()
            .into_iter()
            .map(|(_, limits)| limits.upload_rate)
            .collect();
        all.sort_unstable();
        assert_eq!(all, [333_333, 333_333, 333_334], "all want all of it");
    }

    #[test]
    fn nobody_gets_more_than_its_own_limit_and_no_limit_is_none() {
        let mut shares = Shares::new(total(Limits::UNLIMITED));
        let own = Limits {
            upload_rate: 5,
            upload_slots: 0,
            ..OWN
        };
        shares.report(1, own, uploading(5));
        shares.report(2, OWN, uploading(5));
        let limits: Vec<_> = shares.divide().into_iter().map(|(_, limits)| limits).collect();
        assert_eq!((limits[0].upload_rate, limits[0].upload_slots), (5, 0));
        assert_eq!(limits[1].upload_rate, Limits::UNLIMITED);
        shares.set_total(total(100));
        shares.remove(1);
        let limits: Vec<_> = shares.divide();
        assert_eq!((limits.len(), limits[0].1.download_rate), (1, 100));
    }

    #[test]
    fn peers_and_slots_go_where_somebody_asks_for_them() {
        let mut shares = Shares::new(total(Limits::UNLIMITED));
        let busy = Use {
            peers: 50,
            interested: 50,
            ..Use::default()
        };
        shares.report(0, OWN, busy);
        for torrent in 1..4 {
            shares.report(torrent, OWN, Use::default());
        }
        let limits: Vec<_> = shares.divide().into_iter().map(|(_, limits)| limits).collect();
        assert_eq!((limits[0].peers, limits[0].upload_slots), (50, 7));
        assert!(
            limits[1..]
                .iter()
                .all(|limits| limits.peers >= 8 && limits.upload_slots == 1)
        );
    }

    proptest! {
        #[test]
        fn shares_never_add_up_to_more_than_there_is(total in any::<u64>(), wishes in prop::collection::vec(any::<u64>(), 0..20)) {
            let total = total.min(Limits::UNLIMITED - 1);
            let shares = share_out(total, &wishes);
            let sum: u128 = shares.iter().map(|share| u128::from(*share)).sum();
            prop_assert!(sum <= u128::from(total));
            let all: u128 = wishes.iter().map(|wish| u128::from(*wish)).sum();
            if all <= u128::from(total) {
                prop_assert!(shares.iter().zip(&wishes).all(|(share, wish)| share >= wish));
            }
        }
    }
}
