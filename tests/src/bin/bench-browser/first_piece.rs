//! From opening a link, the page's own loading included, to the first piece that is verified.

use anyhow::{Context, Result};
use causeway_tests::browser::Browser;
use causeway_tests::page::CausewayPage;
use causeway_tests::webtorrent::WebTorrentPage;

use crate::Bench;
use crate::contender::{Contender, MARK_PROGRESS, mark};
use crate::figures::{Goal, Values, print_head};

/// What is shared, in megabytes.
const FILE: u32 = 200;

pub(crate) async fn measure(bench: &Bench) -> Result<()> {
    let mut values = Values::new("ms from opening the link to the first piece", 0);
    for _ in 0..bench.rounds {
        for contender in bench.sharers() {
            let browser = Browser::unobserved("both").await?;
            let (sender, receiver) = (browser.private_tab().await?, browser.private_tab().await?);
            let file = bench.file(FILE)?;
            let waited = match contender {
                Contender::Causeway => {
                    let origin = bench
                        .server
                        .as_ref()
                        .context("our server runs where we are measured")?
                        .origin();
                    let sender = CausewayPage::open(sender, origin).await?;
                    let shared = sender.share(&[&file]).await?;
                    receiver.prepare(MARK_PROGRESS).await?;
                    receiver.goto(&shared.link).await?;
                    mark(&receiver, "first-piece").await?
                }
                Contender::Webtorrent => {
                    let (_sender, shared) =
                        WebTorrentPage::share(sender, &bench.site, &bench.tracker(), &[&file]).await?;
                    let receiver = WebTorrentPage::open(receiver, &bench.site, &shared.magnet).await?;
                    mark(receiver.tab(), "first-piece").await?
                }
                Contender::Channel => continue,
            };
            values.add(contender, waited);
        }
    }
    print_head("From opening the link to the first verified piece, 200 MB, private contexts of one browser");
    values.print();
    values.print_ratio(Contender::Webtorrent, Goal::AtMost(0.7));
    Ok(())
}
