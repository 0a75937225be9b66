//! A WebSocket to one tracker.

use core::time::Duration;
use std::io;

use causeway_signal::{MAX_MESSAGE_BYTES, TrackerId};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::Uri;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{client_async_tls_with_config, connect_async_with_config};

use crate::proxy::Proxy;

/// What happens on a tracker's socket.
#[derive(Debug)]
pub(super) enum SocketEvent {
    /// It is open.
    Connected,
    /// The tracker said this.
    Message(String),
    /// It is closed or could not be opened, in words why; nothing follows.
    Closed(String),
}

/// A socket. Dropped, it is closed after what was sent.
#[derive(Debug)]
pub(super) struct Socket {
    messages: Sender<String>,
}

impl Socket {
    /// Begins to connect, in one of `tasks`; events tell how that goes.
    pub(super) fn open(
        tasks: &mut JoinSet<()>,
        tracker: TrackerId,
        (url, proxy): (String, Option<Proxy>),
        events: UnboundedSender<(TrackerId, SocketEvent)>,
    ) -> Self {
        let (messages, queue) = channel(QUEUE);
        tasks.spawn(async move {
            let reason = match run(tracker, (&url, proxy), queue, &events).await {
                Ok(()) => return,
                Err(reason) => reason,
            };
            tracing::debug!("the tracker {url} is lost: {reason}");
            // Nobody waits for it when the bridge ends.
            events
                .send((tracker, SocketEvent::Closed(reason)))
                .unwrap_or_default();
        });
        Self { messages }
    }

    /// Sends a message. `false` where the tracker does not take what it is sent.
    pub(super) fn send(&self, text: String) -> bool {
        self.messages.try_send(text).is_ok()
    }
}

/// Carries messages until this side drops the queue.
async fn run(
    tracker: TrackerId,
    (url, proxy): (&str, Option<Proxy>),
    mut queue: Receiver<String>,
    events: &UnboundedSender<(TrackerId, SocketEvent)>,
) -> Result<(), String> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let connected = timeout(CONNECTING, async {
        let Some(proxy) = proxy else {
            return connect_async_with_config(url, Some(config), true).await;
        };
        let stream = through(&proxy, url).await?;
        client_async_tls_with_config(url, stream, Some(config), None).await
    });
    let (mut socket, _) = connected
        .await
        .map_err(|_| "it does not answer".to_owned())?
        .map_err(|error| format!("it can't be reached: {error}"))?;
    let tell = |event| events.send((tracker, event)).unwrap_or_default();
    tell(SocketEvent::Connected);
    let (mut heard, mut asked) = (Instant::now(), false);
    loop {
        let silence = heard + if asked { SILENCE + PATIENCE } else { SILENCE };
        tokio::select! {
            text = queue.recv() => {
                let Some(text) = text else {
                    // The tracker learns of it, or misses it: nothing depends on that.
                    timeout(PATIENCE, socket.close(None)).await.ok();
                    return Ok(());
                };
                send(&mut socket, Message::text(text)).await?;
            }
            message = socket.next() => {
                (heard, asked) = (Instant::now(), false);
                match message {
                    Some(Ok(Message::Text(text))) => tell(SocketEvent::Message(text.to_string())),
                    Some(Ok(Message::Close(_))) | None => return Err("it has closed the connection".to_owned()),
                    Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Err(error)) => return Err(format!("the connection has failed: {error}")),
                }
            }
            () = sleep_until(silence) => {
                if asked {
                    return Err("it is not heard any more".to_owned());
                }
                asked = true;
                send(&mut socket, Message::Ping(Vec::new().into())).await?;
            }
        }
    }
}

/// A connection to the host of this URL.
async fn through(proxy: &Proxy, url: &str) -> io::Result<TcpStream> {
    let uri: Uri = url.parse().map_err(io::Error::other)?;
    let usual = if uri.scheme_str() == Some("wss") { 443 } else { 80 };
    let host = uri.host().unwrap_or_default();
    proxy.connect_host(host, uri.port_u16().unwrap_or(usual)).await
}

async fn send(
    socket: &mut (impl futures_util::Sink<Message, Error = tokio_tungstenite::tungstenite::Error> + Unpin),
    message: Message,
) -> Result<(), String> {
    timeout(PATIENCE, socket.send(message))
        .await
        .map_err(|_| "it does not take what it is sent".to_owned())?
        .map_err(|error| format!("the connection has failed: {error}"))
}

/// Messages that wait for a tracker.
const QUEUE: usize = 256;
const CONNECTING: Duration = Duration::from_secs(20);
/// A tracker that has said nothing for so long is asked whether it is there.
const SILENCE: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(20);
