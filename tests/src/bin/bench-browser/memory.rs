//! How a download of 2 GB with storage on disk makes the receiving browser grow.

use std::time::Duration;

use anyhow::Result;
use causeway_tests::browser::Browser;
use tokio::time::{MissedTickBehavior, interval};

use crate::Bench;
use crate::contender::{Contender, Pair};
use crate::figures::{Goal, Values, print_head};
use causeway_tests::processes::{renderer, resident};

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(250);

/// What a browser process may grow by and still count as not growing with the file, in MiB.
const STEADY: f64 = 50.0;

pub(crate) async fn measure(bench: &Bench) -> Result<()> {
    let mut page = Values::new("MiB more in the receiving page's process at its peak", 0);
    let mut browser = Values::new("MiB more in the receiving browser's own process at its peak", 0);
    for _ in 0..bench.rounds {
        for contender in bench.sharers() {
            let (sender, receiver) = (
                Browser::unobserved("sender").await?,
                Browser::unobserved("receiver").await?,
            );
            let tabs = (sender.tab().await?, receiver.tab().await?);
            let pair = Pair::ready(bench, contender, tabs, &bench.file(2000)?).await?;
            let watched = [renderer(pair.tabs().1).await?, receiver.pid()?];
            let growth = grow(watched, pair.transfer()).await?;
            page.add(contender, growth[0]);
            browser.add(contender, growth[1]);
        }
    }
    print_head("Memory while downloading 2 GB, storage on disk");
    page.print();
    browser.print();
    page.print_goal(Goal::AtMost(100.0));
    browser.print_goal(Goal::AtMost(STEADY));
    page.print_ratio(Contender::Webtorrent, Goal::AtMost(1.0));
    Ok(())
}

/// How much more memory each process has at its peak than before `work`, in MiB.
async fn grow<T>(pids: [u32; 2], work: impl Future<Output = Result<T>>) -> Result<[f64; 2]> {
    let look = || -> Result<[f64; 2]> { Ok([resident(pids[0])?, resident(pids[1])?]) };
    let before = look()?;
    let mut peak = before;
    let mut ticks = interval(SAMPLE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                done?;
                return Ok([peak[0] - before[0], peak[1] - before[1]]);
            }
            _ = ticks.tick() => {
                let now = look()?;
                peak = [peak[0].max(now[0]), peak[1].max(now[1])];
            }
        }
    }
}
