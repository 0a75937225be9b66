//! The limits of all torrents together: once a second each is told its share.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use causeway_core::InfoHash;
use causeway_engine::{Limits, Shares, Use};
use tokio::sync::watch;

use crate::session::Shared;
use crate::torrent::Order;

/// Divides these limits among the torrents for as long as there are some, and whenever they change.
pub(crate) async fn divide(shared: Arc<Shared>, mut limits: watch::Receiver<Option<Limits>>) {
    let mut known = BTreeSet::new();
    let mut division = Shares::new(Limits::default());
    loop {
        let total = *limits.borrow_and_update();
        let changed = if let Some(total) = total {
            division.set_total(total);
            tell(&shared, &mut division, &mut known);
            tokio::time::timeout(SECOND, limits.changed()).await
        } else {
            Ok(limits.changed().await)
        };
        if let Ok(Err(_)) = changed {
            // The bridge is gone.
            return;
        }
    }
}

fn tell(shared: &Shared, division: &mut Shares<InfoHash>, known: &mut BTreeSet<InfoHash>) {
    let torrents = shared.handles_by_name();
    for gone in known.extract_if(.., |name| !torrents.contains_key(name)) {
        division.remove(gone);
    }
    for (name, handle) in &torrents {
        let stats = handle.status().borrow().stats;
        // Without peers nothing is told any more, and the last rates stand still.
        let used = if stats.peers == 0 {
            Use::default()
        } else {
            Use::from(&stats)
        };
        division.report(*name, EACH, used);
        known.insert(*name);
    }
    for (name, share) in division.divide() {
        if let Some(handle) = torrents.get(&name) {
            handle.try_tell(Order::Share(share));
        }
    }
}

/// What one torrent may use alone: what it is told itself stands beside its share.
const EACH: Limits = Limits {
    peers: 1_000,
    upload_slots: 1_000,
    upload_rate: Limits::UNLIMITED,
    download_rate: Limits::UNLIMITED,
};
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Addition, Bridge, Config, Contents, Manner, Overwrite, Reach, Subject};
    use causeway_core::{CreateOptions, Draft, DraftFile, Metainfo};
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    async fn bridge() -> Bridge {
        let config = Config {
            listen: Some(([127, 0, 0, 1], 0).into()),
            web_seeds: Reach::Nobody,
            ..Config::default()
        };
        Bridge::start(config).await.expect("a port")
    }

    fn addition(metainfo: &Metainfo, contents: Contents) -> Addition {
        Addition {
            subject: Subject::Metainfo(metainfo.clone()),
            contents,
            selection: None,
            peers: Vec::new(),
            web_seeds: Vec::new(),
            manner: Manner::default(),
        }
    }

    fn share(folder: &Path, name: &str) -> (Metainfo, Contents) {
        let bytes = name.bytes().cycle().take(LENGTH).collect::<Vec<u8>>();
        let path = folder.join(name);
        fs::write(&path, &bytes).expect("written");
        let file = DraftFile {
            path: vec![name.to_owned()],
            length: LENGTH as u64,
        };
        let mut hasher = Draft::new(name, vec![file], CreateOptions::default())
            .expect("valid")
            .hasher();
        hasher.update(&bytes);
        (hasher.finish().expect("all bytes"), Contents::Shared(vec![path]))
    }

    #[tokio::test]
    async fn two_torrents_share_one_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let (seeds, leeches) = (bridge().await, bridge().await);
        seeds.set_limits(Limits {
            upload_rate: 2 * LENGTH as u64,
            ..EACH
        });
        let begun = Instant::now();
        let mut downloads = Vec::new();
        for name in ["a", "bb"] {
            let (metainfo, contents) = share(folder.path(), name);
            seeds.add(addition(&metainfo, contents)).expect("new");
            let download = Contents::Download {
                folder: folder.path().join("downloads"),
                overwrite: Overwrite::Never,
                preallocate: false,
            };
            let mut addition = addition(&metainfo, download);
            addition.peers = seeds.listen_address().into_iter().collect();
            downloads.push(leeches.add(addition).expect("new"));
        }
        for download in &downloads {
            let mut status = download.status();
            status.wait_for(|status| status.is_done).await.expect("it runs");
        }
        // Each alone would take a half, and both without a limit next to no time.
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(800), "{took:?}");
        leeches.stop().await;
        seeds.stop().await;
    }

    const LENGTH: usize = 2_000_000;
}
