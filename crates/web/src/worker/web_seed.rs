//! Web seeds (BEP 19): ranges of files, fetched over HTTP by the browser.
//!
//! A browser takes bytes over HTTP for a fraction of what a data channel costs it. It asks only where the page's policy
//! lets it, which this side has to know beforehand: a refused request is an error in the console, and says nothing to the program.

use core::ops::Range;
use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_core::{Info, InfoHash, PeerId};
use causeway_engine::{FetchError, Input, LinkId};
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{AbortController, ReadableStreamDefaultReader, RequestCache, RequestInit, Response};

use super::clock::scope;
use super::{Event, Events, tell};
use crate::protocol::TorrentId;

/// A web seed of one torrent, and what is being fetched from it.
pub(super) struct WebSeed {
    url: String,
    /// Where it is one of the gateway's, which share what connections there are.
    line: Option<Weak<()>>,
    under_way: Option<UnderWay>,
}

/// The gateway of the page's own server. As a peer it is met like all others; what it carries over it gives over HTTP, too.
pub(super) struct Gateway {
    /// Its name as a peer.
    pub(super) peer_id: PeerId,
    url: String,
    /// Each fetch under way has a clone.
    line: Rc<()>,
}

impl Gateway {
    /// That of this name on the server of this origin, below this path.
    pub(super) fn new(origin: &str, peer_id: &str, path: &str) -> Option<Self> {
        // Whatever follows a slash is on the same server.
        path.starts_with('/').then_some(())?;
        Some(Self {
            peer_id: PeerId::new(peer_id.as_bytes().try_into().ok()?),
            url: format!("{origin}{path}"),
            line: Rc::default(),
        })
    }

    /// Where it gives this torrent.
    pub(super) fn web_seed(&self, info_hash: InfoHash) -> WebSeed {
        WebSeed {
            url: format!("{}{info_hash}/", self.url),
            line: Some(Rc::downgrade(&self.line)),
            under_way: None,
        }
    }
}

/// Whether what comes of a fetch is still wanted.
pub(super) type Wanted = Rc<Cell<bool>>;

/// A fetch that is stopped when this is dropped.
struct UnderWay {
    controller: AbortController,
    wanted: Wanted,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.wanted.set(false);
        self.controller.abort();
    }
}

impl WebSeed {
    /// Nothing is asked of it yet.
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            line: None,
            under_way: None,
        }
    }

    /// Fetches these bytes of the torrent; events bring them.
    pub(super) fn fetch(
        &mut self,
        link: LinkId,
        (id, info): (TorrentId, &Arc<Info>),
        bytes: Range<u64>,
        events: &Events,
    ) {
        self.under_way = None;
        let Ok(controller) = AbortController::new() else {
            return;
        };
        let wanted = Rc::new(Cell::new(true));
        let place = self.line.as_ref().and_then(Weak::upgrade);
        let fetch = Fetch {
            url: self.url.clone(),
            info: info.clone(),
            signal: controller.signal().into(),
            teller: Teller {
                id,
                link,
                wanted: wanted.clone(),
                events: events.clone(),
            },
        };
        self.under_way = Some(UnderWay { controller, wanted });
        // The gateway's own clone is one, this one's the next.
        if place
            .as_ref()
            .is_some_and(|place| Rc::strong_count(place) > MOST_OF_GATEWAY + 1)
        {
            let result = Err(FetchError::Busy(NEXT_TRY));
            return fetch.teller.tell(Input::FetchEnded { link, result });
        }
        spawn_local(async move {
            let result = fetch.run(bytes).await;
            drop(place);
            let link = fetch.teller.link;
            fetch.teller.tell(Input::FetchEnded { link, result });
        });
    }

    /// Stops that.
    pub(super) fn stop(&mut self) {
        self.under_way = None;
    }
}

/// Why the page does not fetch from this URL, in a sentence; `None` where it may. `origins` are those that the page's policy
/// names beside its own.
pub(super) fn refusal(url: &str, origins: &[String]) -> Option<String> {
    let location = scope().location();
    let is_of = |origin: &str| url.strip_prefix(origin).is_some_and(|rest| rest.starts_with('/'));
    if !is_of(&location.origin()) && !origins.iter().any(|origin| is_of(origin.trim_end_matches('/'))) {
        return Some(format!(
            "The web seed {url} is not used: the operator of this page has not allowed its server."
        ));
    }
    let is_mixed = location.protocol() == "https:" && url.starts_with("http:");
    is_mixed.then(|| format!("The web seed {url} is not used: a page over https can't fetch over http."))
}

/// Says what comes.
struct Teller {
    id: TorrentId,
    link: LinkId,
    wanted: Wanted,
    events: Events,
}

impl Teller {
    fn tell(&self, input: Input) {
        tell(&self.events, Event::Fetched(self.id, input, self.wanted.clone()));
    }
}

struct Fetch {
    url: String,
    info: Arc<Info>,
    signal: JsValue,
    teller: Teller,
}

impl Fetch {
    async fn run(&self, bytes: Range<u64>) -> Result<(), FetchError> {
        for slice in self.info.slices_of(bytes) {
            let Some(file) = self.info.files().get(slice.file) else {
                continue;
            };
            if file.is_padding() {
                self.give(vec![0; slice.length as usize]);
                continue;
            }
            let range = slice.offset..slice.offset + u64::from(slice.length);
            let url = self.info.url_of(&self.url, slice.file);
            let response = self.ask(&url, &range).await?;
            let is_part = response.status() == 206;
            if !is_part && (response.status() != 200 || range != (0..file.length())) {
                return Err(FetchError::Useless);
            }
            self.read(&response, slice.length as usize).await?;
        }
        Ok(())
    }

    async fn ask(&self, url: &str, range: &Range<u64>) -> Result<Response, FetchError> {
        let init = RequestInit::new();
        // It is stored already, by us.
        init.set_cache(RequestCache::NoStore);
        Reflect::set(&init, &"signal".into(), &self.signal).map_err(failed)?;
        let headers = js_sys::Object::new();
        let value = format!("bytes={}-{}", range.start, range.end - 1);
        Reflect::set(&headers, &"Range".into(), &value.into()).map_err(failed)?;
        init.set_headers(&headers);
        let answer = scope().fetch_with_str_and_init(url, &init);
        let response: Response = JsFuture::from(answer).await.map_err(failed)?.unchecked_into();
        match response.status() {
            200..=299 => Ok(response),
            429 | 503 => {
                let wish = response.headers().get("retry-after").ok().flatten();
                let wish = wish.and_then(|wish| wish.parse().ok());
                Err(wish.map_or(FetchError::Failed, |seconds| {
                    FetchError::Busy(Duration::from_secs(seconds))
                }))
            }
            400..=499 => Err(FetchError::Useless),
            _ => Err(FetchError::Failed),
        }
    }

    async fn read(&self, response: &Response, length: usize) -> Result<(), FetchError> {
        let body = response.body().ok_or(FetchError::Failed)?;
        let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
        let mut missing = length;
        while missing > 0 {
            let part = JsFuture::from(reader.read()).await.map_err(failed)?;
            let value = Reflect::get(&part, &"value".into()).map_err(failed)?;
            let Ok(value) = value.dyn_into::<Uint8Array>() else {
                return Err(FetchError::Failed);
            };
            let mut bytes = value.to_vec();
            bytes.truncate(missing);
            missing -= bytes.len();
            self.give(bytes);
        }
        Ok(())
    }

    fn give(&self, bytes: Vec<u8>) {
        let link = self.teller.link;
        self.teller.tell(Input::Fetched {
            link,
            bytes: Bytes::from(bytes),
        });
    }
}

/// A browser does not say why: it would tell pages about the network.
fn failed(_: JsValue) -> FetchError {
    FetchError::Failed
}

/// A browser has six connections with a server over HTTP/1.1, and the page needs some for itself.
const MOST_OF_GATEWAY: usize = 4;
const NEXT_TRY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_web_seed_is_on_the_pages_own_server_whatever_its_path() {
        let info_hash = InfoHash::new([0xab; 20]);
        let url = |path| {
            let gateway = Gateway::new("https://page.example", "-CW0100-abcdefghijkl", path)?;
            Some(gateway.web_seed(info_hash).url)
        };
        let expected = format!("https://page.example/seed/{}/", "ab".repeat(20));
        assert_eq!(url("/seed/"), Some(expected));
        assert_eq!(url(".evil.example/"), None);
        assert_eq!(url("@evil.example/"), None);
        assert!(url("//evil.example/").is_some_and(|url| url.starts_with("https://page.example/")));
        assert!(Gateway::new("https://page.example", "short", "/seed/").is_none());
    }
}
