//! The web seeds of one torrent, and what is being fetched from them.

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_core::Info;
use causeway_engine::{FetchError, Input, LinkId};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::task::Task;
use crate::web_seed::{Address, Client, News, Reach, Taker, What, fetch};

/// The web seeds, by the names that the engine has for them.
#[derive(Debug)]
pub(super) struct Fetches {
    seeds: BTreeMap<LinkId, Seed>,
    last: u64,
    news: mpsc::Sender<News>,
    told: mpsc::Receiver<News>,
}

#[derive(Debug)]
struct Seed {
    address: Address,
    reach: Reach,
    under_way: Option<UnderWay>,
}

/// A fetch that is stopped when this is dropped.
#[derive(Debug)]
struct UnderWay {
    fetch: u64,
    task: AbortHandle,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Default for Fetches {
    fn default() -> Self {
        let (news, told) = mpsc::channel(MOST_NEWS);
        Self {
            seeds: BTreeMap::new(),
            last: 0,
            news,
            told,
        }
    }
}

impl Fetches {
    /// Learns of a web seed; says whether it is new, and one more is of use.
    fn add(&mut self, link: LinkId, address: Address, reach: Reach) -> bool {
        if self.seeds.len() >= MOST_SEEDS || self.seeds.values().any(|seed| seed.address == address) {
            return false;
        }
        let seed = Seed {
            address,
            reach,
            under_way: None,
        };
        self.seeds.insert(link, seed);
        true
    }

    /// Fetches these bytes. What comes is told by [`Self::next`].
    fn start(&mut self, client: &Arc<Client>, info: Arc<Info>, link: LinkId, bytes: Range<u64>) {
        let Some(seed) = self.seeds.get_mut(&link) else {
            return;
        };
        self.last += 1;
        let taker = Taker {
            link,
            fetch: self.last,
            news: self.news.clone(),
        };
        let (client, address, reach) = (client.clone(), seed.address.clone(), seed.reach);
        let task = tokio::spawn(async move {
            let result = fetch(&client, (&address, reach), &info, bytes, &taker).await;
            taker.tell(What::Ended(result)).await;
        });
        seed.under_way = Some(UnderWay {
            fetch: self.last,
            task: task.abort_handle(),
        });
    }

    /// Stops fetching from this web seed.
    fn stop(&mut self, link: LinkId) {
        if let Some(seed) = self.seeds.get_mut(&link) {
            seed.under_way = None;
        }
    }

    /// Waits for what comes next.
    pub(super) async fn next(&mut self) -> News {
        match self.told.recv().await {
            Some(news) => news,
            // There is always the sender here.
            None => core::future::pending().await,
        }
    }

    /// What has come meanwhile.
    fn try_next(&mut self) -> Option<News> {
        self.told.try_recv().ok()
    }

    /// Whether this is of a fetch that is still wanted.
    fn is_current(&self, news: &News) -> bool {
        let under_way = self
            .seeds
            .get(&news.link)
            .and_then(|seed| seed.under_way.as_ref());
        under_way.is_some_and(|under_way| under_way.fetch == news.fetch)
    }
}

impl Task {
    /// Tells the engine of the web seeds that the torrent, its link and the user name, once it can use them.
    pub(super) fn add_web_seeds(&mut self) {
        let users = self.user_web_seeds.iter().map(|url| (url, Reach::Anybody));
        let others = self.web_seeds.iter().map(|url| (url, self.shared.reach));
        let all: Vec<_> = users
            .chain(others)
            .map(|(url, reach)| (Address::new(url), reach))
            .collect();
        for (address, reach) in all {
            let Some(address) = address.filter(|_| reach != Reach::Nobody) else {
                continue;
            };
            let link = self.links.name();
            if self.fetches.add(link, address, reach) {
                self.tell(Input::WebSeedAdded { link, peer: None });
            }
        }
    }

    pub(super) fn fetch(&mut self, link: LinkId, bytes: Range<u64>) {
        if let Some(info) = self.torrent.info() {
            self.fetches.start(&self.shared.web, info.clone(), link, bytes);
        }
    }

    pub(super) fn stop_fetch(&mut self, link: LinkId) {
        self.fetches.stop(link);
    }

    /// What came of fetches, and what else of them waits: a fair share of it.
    pub(super) fn fetched(&mut self, news: News) {
        let mut news = Some(news);
        for _ in 0..MOST_NEWS {
            let Some(this) = news else { return };
            if self.fetches.is_current(&this) {
                self.take_news(this.link, this.what);
            }
            news = self.fetches.try_next();
        }
        if let Some(last) = news.filter(|news| self.fetches.is_current(news)) {
            self.take_news(last.link, last.what);
        }
    }

    fn take_news(&mut self, link: LinkId, what: What) {
        match what {
            What::Bytes(bytes) => self.tell(Input::Fetched { link, bytes }),
            What::Ended(result) => {
                self.fetches.stop(link);
                if let Err(failure) = &result {
                    let seed = self.fetches.seeds.get(&link);
                    let url = seed.map_or("", |seed| seed.address.as_str());
                    if failure.error == FetchError::Useless {
                        tracing::info!(torrent = %self.info_hash, url, "a web seed is not asked any more: {failure}");
                    } else {
                        tracing::debug!(torrent = %self.info_hash, url, "a web seed is left alone for a while: {failure}");
                    }
                }
                let result = result.map_err(|failure| failure.error);
                self.tell(Input::FetchEnded { link, result });
            }
        }
    }
}

/// Web seeds of one torrent.
const MOST_SEEDS: usize = 16;
/// Parts that wait for a torrent which is busy, before their servers have to.
const MOST_NEWS: usize = 16;
