//! Sharing a 1 GB file: how long until the link is there, and how long a click waits meanwhile.

use std::time::Duration;

use anyhow::{Context, Result};
use causeway_tests::browser::Browser;
use causeway_tests::page::CausewayPage;
use causeway_tests::tab::Tab;
use causeway_tests::webtorrent::WebTorrentPage;
use serde_json::json;
use tokio::time::interval;

use crate::Bench;
use crate::contender::Contender;
use crate::figures::{Goal, Values, print_head};

/// What is shared, in megabytes.
const FILE: u32 = 1000;

/// How often the page is clicked on.
const CLICKS: Duration = Duration::from_millis(200);

pub(crate) async fn measure(bench: &Bench) -> Result<()> {
    let mut link = Values::new("ms from choosing the file to the link", 0);
    let mut click = Values::new("ms from a click to the frame after it, the worst", 0);
    for _ in 0..bench.rounds {
        for contender in bench.sharers() {
            let browser = Browser::unobserved("sender").await?;
            let tab = browser.tab().await?;
            let (shared, worst) = share(bench, contender, tab).await?;
            link.add(contender, shared);
            click.add(contender, worst);
        }
    }
    print_head("Sharing a 1 GB file");
    link.print();
    click.print();
    link.print_ratio(Contender::Webtorrent, Goal::AtMost(0.5));
    click.print_goal(Goal::AtMost(100.0));
    Ok(())
}

/// Shares the file, clicking meanwhile; returns how long it took and how long the slowest click did, in ms.
async fn share(bench: &Bench, contender: Contender, tab: Tab) -> Result<(f64, f64)> {
    let file = bench.file(FILE)?;
    let (tab, input) = match contender {
        Contender::Causeway => {
            let origin = bench
                .server
                .as_ref()
                .context("our server runs where we are measured")?
                .origin();
            (
                CausewayPage::open(tab, origin).await?.tab().clone(),
                "[data-testid=file-input]",
            )
        }
        Contender::Webtorrent | Contender::Channel => (
            WebTorrentPage::idle(tab, &bench.site, &bench.tracker())
                .await?
                .tab()
                .clone(),
            "#files",
        ),
    };
    tab.run(OBSERVE, vec![]).await?;
    tab.choose(input, &[&file]).await?;
    let mut clicks = interval(CLICKS);
    loop {
        clicks.tick().await;
        for kind in ["mousePressed", "mouseReleased"] {
            // The corner of the page: nothing there does anything.
            let click = json!({ "type": kind, "x": 3, "y": 3, "button": "left", "clickCount": 1 });
            tab.cdp("Input.dispatchMouseEvent", click).await?;
        }
        let seen = tab.run("return window.seen", vec![]).await?;
        if let Some(shared) = seen["shared"].as_f64() {
            let chosen = seen["chosen"].as_f64().context("the file was chosen")?;
            return Ok((
                shared - chosen,
                seen["slowest"].as_f64().context("the page was clicked")?,
            ));
        }
    }
}

/// Notes when a file is chosen, when the link or the hash of what was shared appears, and how long clicks take.
const OBSERVE: &str = "
    const seen = window.seen = { slowest: 0 };
    addEventListener('change', () => { seen.chosen ??= performance.now(); }, true);
    addEventListener('click', event => requestAnimationFrame(() => {
        const frame = new MessageChannel();
        frame.port1.onmessage = () => {
            if (seen.chosen && !seen.shared) {
                seen.slowest = Math.max(seen.slowest, performance.now() - event.timeStamp);
            }
        };
        frame.port2.postMessage(null);
    }), true);
    new MutationObserver(() => {
        const link = document.querySelector('[data-testid=share-link][href], [data-state=shared]');
        if (link) seen.shared ??= performance.now();
    }).observe(document, { subtree: true, childList: true, attributes: true });
";
