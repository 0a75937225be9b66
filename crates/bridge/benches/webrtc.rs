//! What WebRTC links cost: `cargo xtask bench webrtc [offers] [open] [idle] [rate]`, on Linux.
//!
//! Both ends are in this process, so CPU time and memory are those of two peers, and so are the figures that are printed
//! for "a pair". Seconds depend on what else the machine does; CPU seconds much less.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use causeway_bridge::Link;
use causeway_bridge::webrtc::{Config, Endpoint, Event};
use causeway_core::PeerId;
use causeway_signal::ConnectionId;
use tokio::sync::mpsc::UnboundedReceiver;

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if is_wanted("offers") {
            offers(1_000_000).await?;
        }
        if is_wanted("idle") {
            idle(300).await?;
        }
        if is_wanted("open") {
            open(20).await?;
        }
        if is_wanted("rate") {
            for links in [1, 20] {
                rate(links, 1000).await?;
            }
        }
        Ok(())
    })
}

/// Offers that nobody answers.
async fn offers(count: u32) -> Result<()> {
    let mut side = Side::start()?;
    let (cpu, memory) = (cpu()?, memory()?);
    for id in (0..count).map(ConnectionId) {
        side.offer(id).await?;
        side.endpoint.close(id);
    }
    let each = (crate::cpu()? - cpu) / f64::from(count) * 1e6;
    let grown = crate::memory()?.saturating_sub(memory);
    println!("offers: {each:.1} µs of CPU each; {count} made and dropped, memory has grown by {grown} KiB");
    Ok(())
}

/// Links on which nothing happens, beside half as many that are there already: what the first ones take of code and of the
/// endpoints' buffers is no cost of a link.
async fn idle(count: u32) -> Result<()> {
    let mut pairs = Pairs::start(count / 10)?;
    let first = pairs.connect(count / 2).await?;
    let before = memory()?;
    let links = pairs.connect(count).await?;
    let each = memory()?.saturating_sub(before) / u64::from(2 * count);
    let (time, used) = (Duration::from_secs(10), cpu()?);
    tokio::time::sleep(time).await;
    let busy = (cpu()? - used) / time.as_secs_f64() / f64::from(3 * count) * 1e6;
    println!("idle: {each} KiB of memory and {busy:.0} µs of CPU a second for each end of {count} links");
    drop((first, links));
    Ok(())
}

/// From the answer to both ends being open.
async fn open(count: u32) -> Result<()> {
    let mut pairs = Pairs::start(2)?;
    let used = cpu()?;
    let links = pairs.connect(count).await?;
    let used = (cpu()? - used) / f64::from(count) * 1e3;
    pairs.took.sort_unstable();
    let median = pairs.took.get(pairs.took.len() / 2).context("some were made")?;
    println!("open: {median:?} at the median, {used:.2} ms of CPU for a pair");
    drop(links);
    Ok(())
}

/// Bytes over some links at once.
async fn rate(links: u32, megabytes: u32) -> Result<()> {
    let mut pairs = Pairs::start(2)?;
    let share = megabytes as usize * 1_000_000 / links as usize;
    let open = pairs.connect(links).await?;
    let (begun, used) = (Instant::now(), cpu()?);
    let transfers = open
        .into_iter()
        .map(|(one, other)| tokio::spawn(transfer(one, other, share)));
    for transfer in transfers.collect::<Vec<_>>() {
        transfer.await??;
    }
    let (took, used) = (begun.elapsed().as_secs_f64(), cpu()? - used);
    let gigabytes = f64::from(megabytes) / 1e3;
    println!(
        "rate: {:.0} MB/s over {links} links, {:.2} s of CPU a GB for both ends",
        gigabytes * 1e3 / took,
        used / gigabytes
    );
    Ok(())
}

async fn transfer(one: Link, other: Link, total: usize) -> Result<()> {
    let block = Bytes::from(vec![7; 16 * 1024]);
    let send = async {
        let mut sent = 0;
        while sent < total {
            for _ in 0..one.outgoing.room().await?.div_ceil(block.len()) {
                one.outgoing.write(block.clone());
                sent += block.len();
            }
        }
        anyhow::Ok(())
    };
    let receive = async {
        let mut received = 0;
        while received < total {
            let bytes = other.incoming.read().await?;
            other.incoming.release(bytes.len());
            received += bytes.len();
        }
        anyhow::Ok(())
    };
    tokio::try_join!(send, receive)?;
    Ok(())
}

struct Side {
    endpoint: Endpoint,
    events: UnboundedReceiver<Event>,
}

impl Side {
    fn start() -> Result<Self> {
        let (endpoint, events) = Endpoint::start(Config::default())?;
        Ok(Self { endpoint, events })
    }

    async fn event(&mut self) -> Result<Event> {
        self.events.recv().await.context("the endpoint has ended")
    }

    async fn offer(&mut self, id: ConnectionId) -> Result<String> {
        self.endpoint.offer(id, "label".to_owned());
        match self.event().await? {
            Event::Offered(_, sdp) => Ok(sdp),
            event @ (Event::Answered(..) | Event::Opened(..) | Event::Closed(..)) => bail!("{event:?}"),
        }
    }

    async fn opened(&mut self) -> Result<Link> {
        match self.event().await? {
            Event::Opened(_, link) => Ok(link),
            event @ (Event::Answered(..) | Event::Offered(..) | Event::Closed(..)) => bail!("{event:?}"),
        }
    }
}

/// One endpoint, and as many others as it takes: two of them have a bounded number of links.
struct Pairs {
    one: Side,
    others: Vec<Side>,
    made: u32,
    took: Vec<Duration>,
}

impl Pairs {
    fn start(others: u32) -> Result<Self> {
        Ok(Self {
            one: Side::start()?,
            others: (0..others).map(|_| Side::start()).collect::<Result<_>>()?,
            made: 0,
            took: Vec::new(),
        })
    }

    async fn connect(&mut self, count: u32) -> Result<Vec<(Link, Link)>> {
        let peer = PeerId::new(*b"-CW0100-abcdefghijkl");
        let mut links = Vec::new();
        for _ in 0..count {
            let (one, id) = (&mut self.one, ConnectionId(self.made));
            let turn = self.made as usize % self.others.len();
            let other = &mut self.others[turn];
            self.made += 1;
            let offer = one.offer(id).await?;
            other.endpoint.accept_offer(id, peer, offer);
            let Event::Answered(_, answer) = other.event().await? else {
                bail!("there is no answer");
            };
            let begun = Instant::now();
            one.endpoint.accept_answer(id, peer, answer);
            links.push(tokio::try_join!(one.opened(), other.opened())?);
            self.took.push(begun.elapsed());
        }
        Ok(links)
    }
}

/// CPU seconds that this process has used.
fn cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').context("the name stands in parentheses")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    // A tick is a hundredth of a second on every Linux of today.
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

/// Resident memory in KiB.
fn memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.context("it says")?.trim().trim_end_matches(" kB").parse()?)
}
