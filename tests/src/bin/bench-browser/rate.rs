//! Page to page: how fast, and at what cost of CPU.

use anyhow::Result;
use causeway_tests::browser::Browser;

use crate::Bench;
use crate::contender::{Contender, Pair, Transfer};
use crate::figures::{Goal, Values, print_head};
use causeway_tests::processes::{CpuTimes, cpu_times, renderer};

/// 200 MB between private contexts of one browser, which keeps their storage in its memory.
pub(crate) async fn private(bench: &Bench) -> Result<()> {
    let mut figures = Figures::new(200);
    for _ in 0..bench.rounds {
        for &contender in &bench.contenders {
            let browser = Browser::unobserved("both").await?;
            figures
                .measure(bench, contender, [&browser, &browser], true)
                .await?;
        }
    }
    print_head("Page to page, 200 MB, private contexts of one browser");
    figures.print();
    figures
        .whole
        .print_ratio(Contender::Webtorrent, Goal::AtLeast(1.3));
    figures
        .flowing
        .print_ratio(Contender::Channel, Goal::AtLeast(0.9));
    figures
        .sender
        .print_ratio(Contender::Webtorrent, Goal::AtMost(0.65));
    figures
        .receiver
        .print_ratio(Contender::Webtorrent, Goal::AtMost(0.65));
    Ok(())
}

/// 1 GB between two browsers with ordinary profiles.
pub(crate) async fn disk(bench: &Bench) -> Result<()> {
    let mut figures = Figures::new(1000);
    for _ in 0..bench.rounds {
        for &contender in &bench.contenders {
            let (sender, receiver) = (
                Browser::unobserved("sender").await?,
                Browser::unobserved("receiver").await?,
            );
            figures
                .measure(bench, contender, [&sender, &receiver], false)
                .await?;
        }
    }
    print_head("Page to page, 1 GB, two browsers, storage on disk");
    figures.print();
    figures
        .whole
        .print_ratio(Contender::Webtorrent, Goal::AtLeast(1.8));
    // What the browsers themselves take is the bound; there is no goal for it.
    figures.flowing.print_ratio(Contender::Channel, Goal::Compare);
    Ok(())
}

#[derive(Debug)]
struct Figures {
    megabytes: u32,
    whole: Values,
    flowing: Values,
    sender: Values,
    receiver: Values,
    rest: Values,
}

impl Figures {
    fn new(megabytes: u32) -> Self {
        Self {
            megabytes,
            whole: Values::new("MB/s from opening the link", 1),
            flowing: Values::new("MB/s after the first piece", 1),
            sender: Values::new("CPU ms/MB, sending page", 1),
            receiver: Values::new("CPU ms/MB, receiving page", 1),
            rest: Values::new("CPU ms/MB, rest of the browser", 1),
        }
    }

    async fn measure(
        &mut self,
        bench: &Bench,
        contender: Contender,
        [sender, receiver]: [&std::sync::Arc<Browser>; 2],
        private: bool,
    ) -> Result<()> {
        let tabs = if private {
            (sender.private_tab().await?, receiver.private_tab().await?)
        } else {
            (sender.tab().await?, receiver.tab().await?)
        };
        let pair = Pair::ready(bench, contender, tabs, &bench.file(self.megabytes)?).await?;
        let (sending, receiving) = pair.tabs();
        let renderers = (renderer(sending).await?, renderer(receiving).await?);
        let both = || -> Result<CpuTimes> {
            let mut times = cpu_times(sender)?;
            times.extend(cpu_times(receiver)?);
            Ok(times)
        };
        let before = both()?;
        let transfer = pair.transfer().await?;
        self.note(contender, transfer, renderers, &before, &both()?);
        Ok(())
    }

    fn note(
        &mut self,
        contender: Contender,
        transfer: Transfer,
        renderers: (u32, u32),
        before: &CpuTimes,
        after: &CpuTimes,
    ) {
        let used = |pid: u32| {
            after
                .get(&pid)
                .unwrap_or(&0)
                .saturating_sub(*before.get(&pid).unwrap_or(&0))
        };
        let all: u64 = after.keys().copied().map(used).sum();
        let (sender, receiver) = (used(renderers.0), used(renderers.1));
        let megabytes = f64::from(self.megabytes);
        let rate = |milliseconds: f64| megabytes / (milliseconds / 1000.0);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds are far below 2^53")]
        let per_megabyte = |milliseconds: u64| milliseconds as f64 / megabytes;
        self.whole
            .add(contender, rate(transfer.complete - transfer.opened));
        self.flowing
            .add(contender, rate(transfer.complete - transfer.first_piece));
        self.sender.add(contender, per_megabyte(sender));
        self.receiver.add(contender, per_megabyte(receiver));
        self.rest.add(contender, per_megabyte(all - sender - receiver));
    }

    fn print(&self) {
        for values in [
            &self.whole,
            &self.flowing,
            &self.sender,
            &self.receiver,
            &self.rest,
        ] {
            values.print();
        }
    }
}
