//! A tracker over WebSocket that makes peers up, and says what no tracker says.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// It waits on a port of its own. Dropping it ends it.
#[derive(Debug)]
pub struct BadTracker {
    url: String,
    left: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl BadTracker {
    /// Waits for peers.
    ///
    /// # Errors
    /// When no port is to be had.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("ws://{}/announce", listener.local_addr()?);
        let (count, left) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = count.clone();
                tokio::spawn(async move {
                    if speak(stream).await.is_ok() {
                        count.send_modify(|count| *count += 1);
                    }
                });
            }
        });
        Ok(Self { url, left, task })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until that many have heard everything, and hung up at the last of it.
    ///
    /// # Errors
    /// When that takes longer than a minute.
    pub async fn left_by(&self, number: usize) -> Result<()> {
        let mut left = self.left.clone();
        let waited = timeout(Duration::from_mins(1), left.wait_for(|left| *left >= number)).await;
        waited.with_context(|| format!("not {number} have hung up"))??;
        Ok(())
    }
}

impl Drop for BadTracker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn speak(stream: TcpStream) -> Result<()> {
    let mut socket = accept_async(stream).await?;
    let announce = socket.next().await.context("nothing is said")??;
    let announce: Value = serde_json::from_str(announce.to_text()?)?;
    for text in nonsense(&announce) {
        socket.send(Message::text(text)).await?;
    }
    socket.send(Message::binary(vec![0xff; 1000])).await?;
    socket.send(Message::text("[".repeat(1 << 20))).await?;
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}

/// What it says to who announces this.
fn nonsense(announce: &Value) -> Vec<String> {
    let info_hash = &announce["info_hash"];
    let mut texts = ["", "null", "{\"action\":\"announce\"}"]
        .map(str::to_owned)
        .to_vec();
    texts.push("[".repeat(100_000));
    texts.push(json!({"action": "announce", "info_hash": 7, "interval": "soon"}).to_string());
    let reply = json!({"action": "announce", "info_hash": info_hash, "interval": 0, "complete": -1, "incomplete": 1e300});
    texts.push(reply.to_string());
    let message = |offer_id: &Value, kind: &str, sdp: &Value| {
        let mut message =
            json!({"action": "announce", "info_hash": info_hash, "peer_id": name(), "offer_id": offer_id});
        message[kind] = json!({"type": kind, "sdp": sdp});
        message.to_string()
    };
    let offers = announce["offers"].as_array().into_iter().flatten();
    let offered: Vec<&Value> = offers.map(|offer| &offer["offer_id"]).collect();
    let own = announce["offers"][0]["offer"]["sdp"].as_str().unwrap_or_default();
    for sdp in descriptions(own) {
        texts.push(message(&json!(name()), "offer", &sdp));
        texts.push(message(&json!("too short"), "offer", &sdp));
        texts.extend(offered.iter().map(|offer_id| message(offer_id, "answer", &sdp)));
    }
    texts
}

/// Peers that there are not, some of them where the one is that offers this itself, and what is no description at all.
fn descriptions(own: &str) -> Vec<Value> {
    let fingerprint = ["AB"; 32].join(":");
    let peer = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
         c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:active\r\na=mid:0\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=sctp-port:65536\r\na=max-message-size:1\r\n"
    );
    let lines = own.lines().filter(|line| line.starts_with("a=candidate:"));
    let candidates: Vec<String> = lines.map(|line| format!("{line}\r\n")).collect();
    let with = |number: usize| {
        let many = candidates.iter().cycle().take(number).cloned();
        peer.clone() + &many.collect::<String>()
    };
    let texts = [
        peer.clone(),
        with(200),
        with(1000),
        peer.replace("\r\n", "\0"),
        peer.replace("sha-256", "sha-1"),
        peer[..peer.len() / 2].to_owned(),
        "🦀".repeat(15_000),
    ];
    let values = texts.map(Value::from).into_iter();
    values.chain([json!(7), json!([[]]), Value::Null]).collect()
}

/// A peer id or the name of an offer.
fn name() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(20).collect()
}
