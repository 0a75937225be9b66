//! One WebSocket client of the load: as little work as a client can do, so that the machine is the server's.
//!
//! All names are 20 letters, so that messages can be looked through instead of parsed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant as Alarm, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_with_config};

/// What all clients count together.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) replies: AtomicU64,
    pub(crate) offers: AtomicU64,
    pub(crate) answers: AtomicU64,
    /// In microseconds.
    pub(crate) latencies: Mutex<Vec<u32>>,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    info_hash: String,
    peer_id: String,
    announces: u64,
}

impl Client {
    pub(crate) async fn connect(
        address: core::net::SocketAddr,
        number: usize,
        torrents: usize,
    ) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("a connection")?;
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0);
        let url = format!("ws://{address}/announce");
        let (socket, _) = client_async_with_config(url, MaybeTlsStream::Plain(stream), Some(config)).await?;
        Ok(Self {
            socket,
            info_hash: format!("torrent-{:012}", number % torrents),
            peer_id: format!("-XX0001-{number:012}"),
            announces: 0,
        })
    }

    /// Announces without offers, and waits for the reply.
    pub(crate) async fn join(&mut self) -> Result<()> {
        self.announce("started", 0).await?;
        let reply = async {
            while let Some(message) = self.socket.next().await {
                if message?.to_text()?.contains("\"interval\"") {
                    return Ok(());
                }
            }
            anyhow::bail!("the tracker closed a connection")
        };
        timeout(Duration::from_secs(30), reply)
            .await
            .context("no reply")?
    }

    /// Announces `first` and then, every `pause` or, where there is none, as soon as an exchange is complete, again;
    /// answers all offers meanwhile.
    pub(crate) async fn run(
        &mut self,
        counts: Arc<Counts>,
        first: Instant,
        pause: Option<Duration>,
        end: Instant,
    ) -> Result<()> {
        let mut next = first;
        let (mut sent, mut waits, mut missing) = (Instant::now(), false, 0);
        let mut latencies = Vec::new();
        let end_alarm = sleep_until(Alarm::from_std(end));
        tokio::pin!(end_alarm);
        let alarm = sleep_until(Alarm::from_std(next));
        tokio::pin!(alarm);
        loop {
            tokio::select! {
                () = &mut end_alarm => break,
                () = &mut alarm => {
                    self.announce("update", OFFERS).await?;
                    (sent, waits, missing) = (Instant::now(), true, OFFERS);
                    // Where somebody does not answer, the exchange is over some time.
                    next = match pause {
                        Some(pause) => next + pause,
                        None => sent + Duration::from_secs(2),
                    };
                    alarm.as_mut().reset(Alarm::from_std(next));
                }
                message = self.socket.next() => {
                    let message = message.context("the tracker closed a connection")??;
                    let Message::Text(text) = message else { continue };
                    if text.contains("\"offer\":{") {
                        counts.offers.fetch_add(1, Ordering::Relaxed);
                        self.answer(&text).await?;
                    } else if text.contains("\"answer\":{") {
                        counts.answers.fetch_add(1, Ordering::Relaxed);
                        missing = missing.saturating_sub(1);
                    } else if waits && text.contains("\"interval\"") {
                        counts.replies.fetch_add(1, Ordering::Relaxed);
                        waits = false;
                        latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                    }
                    if pause.is_none() && !waits && missing == 0 && self.announces > 1 {
                        missing = OFFERS;
                        alarm.as_mut().reset(Alarm::now());
                    }
                }
            }
        }
        counts.latencies.lock().await.append(&mut latencies);
        Ok(())
    }

    async fn announce(&mut self, event: &str, offers: usize) -> Result<()> {
        self.announces += 1;
        let Self {
            info_hash,
            peer_id,
            announces,
            ..
        } = self;
        let sdp = "x".repeat(SDP);
        let client = &peer_id[10..];
        let offer = |number| {
            format!(
                r#"{{"offer_id":"{client}{number}{announces:09}","offer":{{"type":"offer","sdp":"{sdp}"}}}}"#
            )
        };
        let offers: Vec<_> = (0..offers).map(offer).collect();
        let text = format!(
            r#"{{"action":"announce","info_hash":"{info_hash}","peer_id":"{peer_id}","numwant":{},"uploaded":0,"downloaded":0,"left":1,"event":"{event}","offers":[{}]}}"#,
            offers.len(),
            offers.join(",")
        );
        Ok(self.socket.send(Message::text(text)).await?)
    }

    async fn answer(&mut self, offer: &str) -> Result<()> {
        let field = |name: &str| {
            let (_, rest) = offer.split_once(name)?;
            rest.get(..20)
        };
        let (from, id) = field("\"peer_id\":\"")
            .zip(field("\"offer_id\":\""))
            .context("no offer")?;
        let Self {
            info_hash, peer_id, ..
        } = &self;
        let sdp = "x".repeat(SDP);
        let text = format!(
            r#"{{"action":"announce","info_hash":"{info_hash}","peer_id":"{peer_id}","to_peer_id":"{from}","offer_id":"{id}","answer":{{"type":"answer","sdp":"{sdp}"}}}}"#
        );
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// Announces whenever it is time, and reads, answering pings, until the connection ends; says why it did.
    pub(crate) async fn stay(&mut self) -> Result<()> {
        let mut again = interval_at(Alarm::now() + INTERVAL, INTERVAL);
        loop {
            tokio::select! {
                _ = again.tick() => self.announce("update", 0).await?,
                message = self.socket.next() => {
                    let message = message.context("the tracker closed a connection")?;
                    drop(message.context("a connection failed")?);
                }
            }
        }
    }
}

/// Of each announce.
const OFFERS: usize = 5;

/// What trackers ask for.
const INTERVAL: Duration = Duration::from_mins(2);

/// The length of an offer's or an answer's description, in bytes.
const SDP: usize = 1_500;
