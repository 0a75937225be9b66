//! Who is measured, and how each of them shares a file and gets it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use causeway_tests::page::CausewayPage;
use causeway_tests::tab::Tab;
use causeway_tests::webtorrent::WebTorrentPage;
use clap::ValueEnum;
use serde_json::json;

use crate::Bench;

/// The longest that a transfer may take.
const TRANSFER: Duration = Duration::from_mins(20);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Contender {
    /// Our page.
    Causeway,
    /// npm's `webtorrent` in a page.
    Webtorrent,
    /// A bare `RTCDataChannel` with messages of 64 KiB.
    Channel,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Causeway => "Causeway",
            Self::Webtorrent => "WebTorrent",
            Self::Channel => "bare channel",
        }
    }
}

/// Two pages that are loaded and between which one file is about to go.
#[derive(Debug)]
pub(crate) enum Pair {
    Causeway {
        sender: CausewayPage,
        receiver: CausewayPage,
    },
    Webtorrent {
        sender: WebTorrentPage,
        receiver: WebTorrentPage,
        magnet: String,
    },
    Channel {
        sender: Tab,
        receiver: Tab,
        length: u64,
    },
}

impl Pair {
    /// Loads both pages and shares the file from the first.
    pub(crate) async fn ready(
        bench: &Bench,
        contender: Contender,
        (sender, receiver): (Tab, Tab),
        file: &Path,
    ) -> Result<Self> {
        match contender {
            Contender::Causeway => {
                let origin = bench
                    .server
                    .as_ref()
                    .context("our server runs where we are measured")?
                    .origin();
                let sender = CausewayPage::open(sender, origin).await?;
                receiver.prepare(MARK_PROGRESS).await?;
                let receiver = CausewayPage::open(receiver, origin).await?;
                let link = sender.share(&[file]).await?.link;
                receiver.tab().fill("[data-testid=open-input]", &link).await?;
                Ok(Self::Causeway { sender, receiver })
            }
            Contender::Webtorrent => {
                let receiver = WebTorrentPage::idle(receiver, &bench.site, &bench.tracker()).await?;
                let (sender, shared) =
                    WebTorrentPage::share(sender, &bench.site, &bench.tracker(), &[file]).await?;
                Ok(Self::Webtorrent {
                    sender,
                    receiver,
                    magnet: shared.magnet,
                })
            }
            Contender::Channel => {
                let page = format!("{}/channel.html", bench.site.origin());
                sender.goto(&page).await?;
                receiver.goto(&page).await?;
                Ok(Self::Channel {
                    sender,
                    receiver,
                    length: file.metadata()?.len(),
                })
            }
        }
    }

    /// The tabs: who sends, who receives.
    pub(crate) fn tabs(&self) -> (&Tab, &Tab) {
        match self {
            Self::Causeway { sender, receiver } => (sender.tab(), receiver.tab()),
            Self::Webtorrent { sender, receiver, .. } => (sender.tab(), receiver.tab()),
            Self::Channel { sender, receiver, .. } => (sender, receiver),
        }
    }

    /// Lets the file go over, and returns how long that took.
    pub(crate) async fn transfer(&self) -> Result<Transfer> {
        match self {
            Self::Causeway { receiver, .. } => {
                receiver.tab().run("performance.mark('opened')", vec![]).await?;
                receiver.tab().click("[data-testid=open-button]").await?;
            }
            Self::Webtorrent { receiver, magnet, .. } => {
                receiver
                    .tab()
                    .run("window.download(arguments[0])", vec![json!(magnet)])
                    .await?;
            }
            Self::Channel {
                sender,
                receiver,
                length,
            } => {
                receiver.run("performance.mark('opened')", vec![]).await?;
                let offer = sender
                    .run_async("return await window.offer(arguments[0])", vec![json!(length)])
                    .await?;
                let answer = "return await window.answer(arguments[0], arguments[1])";
                let answer = receiver.run_async(answer, vec![offer, json!(length)]).await?;
                sender
                    .run_async("await window.accept(arguments[0])", vec![answer])
                    .await?;
            }
        }
        let (_, receiver) = self.tabs();
        Ok(Transfer {
            opened: mark(receiver, "opened").await?,
            first_piece: mark(receiver, "first-piece").await?,
            complete: mark(receiver, "complete").await?,
        })
    }
}

/// When what happened on the receiving page, in milliseconds of its clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) opened: f64,
    pub(crate) first_piece: f64,
    pub(crate) complete: f64,
}

/// Marks on the timeline of our page when it shows the first progress of a download, and its end: what a person sees,
/// which is a moment after the fact. WebTorrent's page marks the fact.
pub(crate) const MARK_PROGRESS: &str = "
    const marked = new Set();
    const mark = name => {
        if (!marked.has(name)) performance.mark(name);
        marked.add(name);
    };
    new MutationObserver(() => {
        const { state, progress } = document.querySelector('[data-testid=torrent]')?.dataset ?? {};
        if ((state === 'downloading' || state === 'seeding') && Number(progress) > 0) mark('first-piece');
        if (state === 'seeding') mark('complete');
    }).observe(document, { subtree: true, childList: true, attributeFilter: ['data-state', 'data-progress'] });
";

/// Waits until a page marks its timeline with this name; returns when that was, in milliseconds since the page
/// was navigated to.
pub(crate) async fn mark(tab: &Tab, name: &str) -> Result<f64> {
    let script = "const [name, within] = arguments;
        return await new Promise((resolve, reject) => {
            const timer = setTimeout(() => reject(`no ${name} within ${within} ms`), within);
            new PerformanceObserver((list, observer) => {
                const mark = list.getEntriesByName(name)[0];
                if (!mark) return;
                clearTimeout(timer);
                observer.disconnect();
                resolve(mark.startTime);
            }).observe({ type: 'mark', buffered: true });
        });";
    let within = u64::try_from(TRANSFER.as_millis())?;
    let time = tab.run_async(script, vec![json!(name), json!(within)]).await?;
    time.as_f64().context("a mark has a time")
}
