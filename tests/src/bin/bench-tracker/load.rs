//! Many WebSocket clients at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::contender::{self, Server};
use crate::socket::{Client, Counts};
use crate::{Arguments, process};

/// Connected clients.
#[derive(Debug)]
pub(crate) struct Load {
    clients: Vec<Client>,
}

/// What happened within a time.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) replies: u64,
    pub(crate) offers: u64,
    pub(crate) answers: u64,
    pub(crate) took: Duration,
    /// Of the server.
    pub(crate) cpu: Duration,
    /// Of this program.
    pub(crate) own_cpu: Duration,
    /// In microseconds, sorted.
    pub(crate) latencies: Vec<u32>,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
impl Measured {
    pub(crate) fn per_second(&self, number: u64) -> f64 {
        number as f64 / self.took.as_secs_f64()
    }

    /// In microseconds.
    pub(crate) fn cpu_per_announce(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.replies as f64
    }

    /// In milliseconds.
    pub(crate) fn latency(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within the list"
        )]
        let place = (self.latencies.len() as f64 * share) as usize;
        self.latencies
            .get(place)
            .map_or(f64::NAN, |micros| f64::from(*micros) / 1e3)
    }
}

impl Load {
    pub(crate) async fn connect(server: &Server, connections: usize, torrents: usize) -> Result<Self> {
        let address = server.address;
        let clients = stream::iter(0..connections)
            .map(|number| Client::connect(address, number, torrents))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(Self { clients })
    }

    /// Has everybody announce once.
    pub(crate) async fn join(&mut self) -> Result<()> {
        stream::iter(&mut self.clients)
            .map(|client| Ok(client.join()))
            .try_buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Announces for so long, at so many a second in turn or, without a rate, as fast as it goes.
    pub(crate) async fn run(
        &mut self,
        rate: Option<u32>,
        time: Duration,
        server: &Server,
    ) -> Result<Measured> {
        let counts = Arc::new(Counts::default());
        let clients = u32::try_from(self.clients.len())?;
        let pause = rate.map(|rate| Duration::from_secs(clients.into()) / rate);
        let begin = Instant::now();
        let warm = begin + WARM_UP;
        // The clients end a little later, since that costs the server something, too.
        let measured_until = warm + time;
        let end = measured_until + Duration::from_millis(100);
        let runs = self.clients.drain(..).zip(0u32..).map(|(mut client, number)| {
            let counts = Arc::clone(&counts);
            let first = begin + pause.unwrap_or(Duration::from_millis(500)) * number / clients;
            async move { tokio::spawn(async move { client.run(counts, first, pause, end).await }).await? }
        });
        let watch = async {
            tokio::time::sleep_until(warm.into()).await;
            let before = snapshot(&counts, server)?;
            tokio::time::sleep_until(measured_until.into()).await;
            let after = snapshot(&counts, server)?;
            anyhow::Ok(Measured {
                replies: after.replies - before.replies,
                offers: after.offers - before.offers,
                answers: after.answers - before.answers,
                took: time,
                cpu: after.cpu.saturating_sub(before.cpu),
                own_cpu: after.own_cpu.saturating_sub(before.own_cpu),
                latencies: Vec::new(),
            })
        };
        let (measured, runs) = tokio::join!(watch, try_join_all(runs));
        runs?;
        let mut measured = measured?;
        measured.latencies = core::mem::take(&mut *counts.latencies.lock().await);
        measured.latencies.sort_unstable();
        Ok(measured)
    }
}

fn snapshot(counts: &Counts, server: &Server) -> Result<Measured> {
    Ok(Measured {
        replies: counts.replies.load(Ordering::Relaxed),
        offers: counts.offers.load(Ordering::Relaxed),
        answers: counts.answers.load(Ordering::Relaxed),
        cpu: server.cpu()?,
        own_cpu: process::cpu(std::process::id())?,
        ..Measured::default()
    })
}

/// Holds many connections for long, which announce in time, and says what that costs; fails where one is lost, or a member
/// forgotten.
pub(crate) async fn hold(arguments: &Arguments) -> Result<()> {
    let server = contender::start_causeway(arguments, &[]).await?;
    let before = server.resident()?;
    let (address, held, torrents) = (server.address, arguments.held, arguments.torrents);
    let (ending, ended) = watch::channel(());
    // Each is read from as soon as it is there, since whoever does not answer pings is closed.
    let mut staying: JoinSet<Result<()>> = JoinSet::new();
    let mut joining = stream::iter(0..held)
        .map(|number| async move {
            let mut client = Client::connect(address, number, torrents).await?;
            client.join().await?;
            anyhow::Ok(client)
        })
        .buffer_unordered(AT_ONCE);
    while let Some(client) = joining.try_next().await? {
        let (mut client, mut ended) = (client, ended.clone());
        staying.spawn(async move {
            tokio::select! {
                lost = client.stay() => lost,
                _ = ended.changed() => Ok(()),
            }
        });
    }
    let (after, cpu) = (server.resident()?, server.cpu()?);
    eprintln!("{held} connections; they are held from now on");
    tokio::select! {
        lost = staying.join_next() => {
            lost.context("nobody is there")??.context("a connection was lost")?;
        }
        () = tokio::time::sleep(HOLD) => {}
    }
    let peers = peers(address).await?;
    ensure!(peers == held, "{peers} peers are left of {held}");
    println!(
        "\n{held} connections for {} s: none lost, and all are members still; {:.1} KiB each after the first announce, {:.1} KiB at the end; {:.1} s of CPU meanwhile",
        HOLD.as_secs(),
        per_connection(after - before, held),
        per_connection(server.resident()? - before, held),
        server.cpu()?.saturating_sub(cpu).as_secs_f64()
    );
    ending.send_replace(());
    while let Some(stayed) = staying.join_next().await {
        stayed??;
    }
    Ok(())
}

/// How many peers a tracker says that it has.
async fn peers(address: SocketAddr) -> Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    let request = "GET /stats.json HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (_, body) = response.split_once("\r\n\r\n").context("no response")?;
    let statistics: serde_json::Value = serde_json::from_str(body)?;
    let peers = statistics["peersAll"].as_u64().context("no peersAll")?;
    Ok(usize::try_from(peers)?)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per_connection(bytes: u64, connections: usize) -> f64 {
    bytes as f64 / 1024.0 / connections as f64
}

/// So many clients connect at once.
const AT_ONCE: usize = 100;

/// Before the measurement begins.
const WARM_UP: Duration = Duration::from_secs(2);

const HOLD: Duration = Duration::from_mins(10);
