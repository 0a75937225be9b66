//! Classic clients: each announces, waits for the reply, and announces again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::contender::{Door, Server};
use crate::load::Measured;
use crate::{Arguments, process};

/// So many clients at once.
const CLIENTS: usize = 64;

/// So many peers each of them speaks for, in turn.
const PEERS: usize = 100;

#[derive(Debug, Default)]
struct Counts {
    replies: AtomicU64,
    latencies: Mutex<Vec<u32>>,
}

pub(crate) async fn run(arguments: &Arguments, server: &Server, door: Door) -> Result<Measured> {
    let counts = Arc::new(Counts::default());
    let begin = Instant::now() + Duration::from_secs(1);
    let end = begin + Duration::from_secs(arguments.seconds);
    let address = server.address;
    let torrents = arguments.torrents;
    let clients = (0..CLIENTS).map(|number| {
        let counts = Arc::clone(&counts);
        let client = async move {
            match door {
                Door::Udp => {
                    Udp::connect(address)
                        .await?
                        .run(&counts, (number, torrents), end)
                        .await
                }
                Door::Http | Door::WebSocket => {
                    Http::connect(address)
                        .await?
                        .run(&counts, (number, torrents), end)
                        .await
                }
            }
        };
        async move { tokio::spawn(client).await? }
    });
    let watch = async {
        tokio::time::sleep_until(begin.into()).await;
        let own = std::process::id();
        let before = (
            counts.replies.load(Ordering::Relaxed),
            server.cpu()?,
            process::cpu(own)?,
        );
        tokio::time::sleep_until(end.into()).await;
        Ok::<_, anyhow::Error>(Measured {
            replies: counts.replies.load(Ordering::Relaxed) - before.0,
            cpu: server.cpu()?.saturating_sub(before.1),
            own_cpu: process::cpu(own)?.saturating_sub(before.2),
            took: end - begin,
            ..Measured::default()
        })
    };
    let (measured, clients) = tokio::join!(watch, try_join_all(clients));
    clients?;
    let mut measured = measured?;
    measured.latencies = core::mem::take(&mut *counts.latencies.lock().await);
    measured.latencies.sort_unstable();
    Ok(measured)
}

/// A client that announces.
trait Announcer {
    /// Announces the peer with this number, in the torrent with that one, and waits for the reply.
    async fn announce(&mut self, peer: usize, torrent: usize) -> Result<()>;

    async fn run(mut self, counts: &Counts, (number, torrents): (usize, usize), end: Instant) -> Result<()>
    where
        Self: Sized,
    {
        let mut latencies = Vec::new();
        for round in 0.. {
            let sent = Instant::now();
            if sent >= end {
                break;
            }
            let peer = number * PEERS + round % PEERS;
            self.announce(peer, peer % torrents).await?;
            counts.replies.fetch_add(1, Ordering::Relaxed);
            latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
        counts.latencies.lock().await.append(&mut latencies);
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Udp {
    socket: UdpSocket,
    connection: [u8; 8],
    answer: Vec<u8>,
}

impl Udp {
    pub(crate) async fn connect(address: core::net::SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(address).await?;
        let mut udp = Self {
            socket,
            connection: 0x0000_0417_2710_1980u64.to_be_bytes(),
            answer: vec![0; 2048],
        };
        let length = udp.ask(&[0; 8]).await?;
        ensure!(length == 16, "no connection id");
        udp.connection.copy_from_slice(&udp.answer[8..16]);
        Ok(udp)
    }

    /// Sends action, transaction and what follows; answers how long the reply is.
    async fn ask(&mut self, rest: &[u8]) -> Result<usize> {
        let packet = [&self.connection[..], rest].concat();
        for _ in 0..20 {
            self.socket.send(&packet).await?;
            if let Ok(length) = timeout(Duration::from_secs(1), self.socket.recv(&mut self.answer)).await {
                return Ok(length?);
            }
        }
        anyhow::bail!("no answer to 20 packets")
    }

    pub(crate) async fn announce_to(&mut self, peer: usize, info_hash: [u8; 20], numwant: u32) -> Result<()> {
        let port = u16::try_from(1024 + peer % 60_000)?;
        let peer_id = format!("-XX0001-{peer:012}");
        let packet = [
            &[0, 0, 0, 1, 0, 0, 0, 7][..],
            &info_hash,
            peer_id.as_bytes(),
            &[0; 8],
            &1u64.to_be_bytes(),
            &[0; 8],
            &2u32.to_be_bytes(),
            &[0; 8],
            &numwant.to_be_bytes(),
            &port.to_be_bytes(),
        ];
        let length = self.ask(&packet.concat()).await?;
        ensure!(length >= 20 && self.answer[3] == 1, "an announce was refused");
        Ok(())
    }
}

impl Announcer for Udp {
    async fn announce(&mut self, peer: usize, torrent: usize) -> Result<()> {
        let mut info_hash = [b'-'; 20];
        info_hash[12..].copy_from_slice(&(torrent as u64).to_be_bytes());
        self.announce_to(peer, info_hash, 30).await
    }
}

struct Http {
    stream: TcpStream,
    address: core::net::SocketAddr,
    answer: Vec<u8>,
}

impl Http {
    async fn connect(address: core::net::SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            address,
            answer: vec![0; 8192],
        })
    }
}

impl Announcer for Http {
    async fn announce(&mut self, peer: usize, torrent: usize) -> Result<()> {
        let request = format!(
            "GET /announce?info_hash=torrent-{torrent:012}&peer_id=-XX0001-{peer:012}&port={}&uploaded=0&downloaded=0&left=1&event=started&compact=1&numwant=30 HTTP/1.1\r\nHost: {}\r\n\r\n",
            1024 + peer % 60_000,
            self.address
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut length = 0;
        loop {
            let read = self.stream.read(&mut self.answer[length..]).await?;
            ensure!(read > 0, "the tracker closed a connection");
            length += read;
            let answer = &self.answer[..length];
            let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let head = core::str::from_utf8(&answer[..end])?.to_ascii_lowercase();
            let (_, rest) = head.split_once("content-length:").context("no length")?;
            let body: usize = rest.lines().next().unwrap_or_default().trim().parse()?;
            if length >= end + 4 + body {
                let body = &answer[end + 4..];
                ensure!(
                    body.windows(8).any(|window| window == b"interval"),
                    "an announce was refused"
                );
                return Ok(());
            }
        }
    }
}
