//! A tracker on a free port, and clients that speak to it over real sockets.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use causeway_tracker::{Config, Tracker};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_with_config, connect_async};

/// A tracker that runs for as long as this exists.
pub(crate) struct Server {
    pub(crate) tracker: Tracker,
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), config).await
    }

    pub(crate) async fn at(address: IpAddr, config: Config) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a port is free");
        // What does not fit into it is the tracker's to keep. Connections inherit it.
        SockRef::from(&listener)
            .set_send_buffer_size(SMALL as usize)
            .expect("it can be small");
        let address = listener.local_addr().expect("it is bound");
        let tracker = Tracker::new(config);
        let service = tracker
            .router(Router::new())
            .into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move { axum::serve(listener, service).await.expect("it never ends") });
        Self {
            tracker,
            address,
            task,
        }
    }

    /// Somebody who is connected and has said nothing yet.
    pub(crate) async fn connect(&self) -> Client {
        self.connect_at("/announce").await
    }

    pub(crate) async fn connect_at(&self, path: &str) -> Client {
        self.try_connect(path)
            .await
            .expect("the tracker takes WebSockets")
    }

    pub(crate) async fn try_connect(&self, path: &str) -> Result<Client, tungstenite::Error> {
        Client::connect(self.address, path).await
    }

    /// The status that a page of this origin gets for its WebSocket at `path`.
    pub(crate) async fn knock(&self, path: &str, origin: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: websocket\r\nOrigin: {origin}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.expect("it answers");
        String::from_utf8_lossy(&head[9..])
            .parse()
            .expect("a status is a number")
    }

    /// A client that takes what it is sent in small portions, and into whose buffers little fits.
    pub(crate) async fn connect_without_room(&self) -> Client {
        let config = WebSocketConfig::default().read_buffer_size(1024);
        let socket = TcpSocket::new_v4().expect("there are sockets");
        socket.set_recv_buffer_size(SMALL).expect("it can be small");
        let stream = socket.connect(self.address).await.expect("it listens");
        let url = format!("ws://{}/announce", self.address);
        let (socket, _) = client_async_with_config(url, MaybeTlsStream::Plain(stream), Some(config))
            .await
            .expect("it connects");
        Client { socket }
    }

    /// The status and the body of a plain request.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        get_at(self.address, path).await
    }

    pub(crate) async fn stats(&self) -> Value {
        Self::stats_at(self.address).await
    }

    pub(crate) async fn stats_at(address: SocketAddr) -> Value {
        let (status, body) = get_at(address, "/stats.json").await;
        assert_eq!(status, 200);
        serde_json::from_str(&body).expect("it is JSON")
    }
}

async fn get_at(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("it answers and closes");
    let (head, body) = response.split_once("\r\n\r\n").expect("there is a head");
    (
        head[9..12].parse().expect("a status is a number"),
        body.to_owned(),
    )
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Result<Self, tungstenite::Error> {
        let (socket, _) = connect_async(format!("ws://{address}{path}")).await?;
        Ok(Self { socket })
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket
            .send(Message::text(text))
            .await
            .expect("the tracker reads");
    }

    /// The next message, which has to come soon.
    pub(crate) async fn receive(&mut self) -> Value {
        match self.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("the tracker speaks JSON"),
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// Reads until the tracker has closed the connection; the code it gave, if any.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = self.next().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code
    }

    /// The next frame but pings and pongs.
    async fn next(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        let next = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => return other,
                }
            }
        };
        timeout(SOON, next).await.expect("something comes soon")
    }

    /// Announces, and returns the reply.
    pub(crate) async fn announce(&mut self, announce: Value) -> Value {
        self.send(announce).await;
        let reply = self.receive().await;
        assert!(
            reply.get("interval").is_some(),
            "{reply} is the reply to an announce"
        );
        reply
    }

    /// Has nothing more to read: whatever the tracker has sent up to now has been received.
    pub(crate) async fn is_idle(&mut self) {
        self.send(json!({"action": "scrape", "info_hash": b20(b'?')}))
            .await;
        let next = self.receive().await;
        assert_eq!(next["action"], "scrape", "there should be nothing else: {next}");
    }
}

/// Twenty times the same byte, as it is written in JSON.
pub(crate) fn b20(byte: u8) -> String {
    char::from(byte).to_string().repeat(20)
}

/// An announce of the peer `peer` in the swarm `b20(0xff)`, with offers named by bytes.
pub(crate) fn announce(peer: u8, left: impl Into<Value>, offers: &[u8]) -> Value {
    let offers: Vec<Value> = offers
        .iter()
        .map(|offer| json!({"offer_id": b20(*offer), "offer": sdp("offer")}))
        .collect();
    json!({
        "action": "announce",
        "info_hash": b20(0xff),
        "peer_id": b20(peer),
        "numwant": offers.len(),
        "uploaded": 0,
        "downloaded": 0,
        "left": left.into(),
        "event": "started",
        "offers": offers,
    })
}

pub(crate) fn answer(from: u8, to: u8, offer: u8) -> Value {
    json!({
        "action": "announce",
        "info_hash": b20(0xff),
        "peer_id": b20(from),
        "to_peer_id": b20(to),
        "offer_id": b20(offer),
        "answer": sdp("answer"),
    })
}

/// A session description, with what JSON has to escape.
pub(crate) fn sdp(kind: &str) -> Value {
    json!({"type": kind, "sdp": "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=\"-\"\r\n"})
}

/// A small buffer of the operating system, in bytes.
const SMALL: u32 = 16 * 1024;

/// Long enough for a machine that does other things too.
const SOON: Duration = Duration::from_secs(20);
