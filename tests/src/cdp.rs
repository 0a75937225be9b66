//! Chromium's debugging protocol, for what `WebDriver` can neither ask for nor see: private contexts, quotas,
//! workers, the requests that a page makes. One WebSocket to the browser, one session per page or worker on it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// How long the browser may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection to one browser. Cheap to clone; it lasts as long as the browser.
#[derive(Clone, Debug)]
pub struct Cdp {
    outgoing: mpsc::UnboundedSender<String>,
    waiting: Arc<Mutex<BTreeMap<u64, oneshot::Sender<Value>>>>,
    last_id: Arc<AtomicU64>,
}

/// Something that happened in the browser.
#[derive(Clone, Debug)]
pub struct Event {
    /// The page or worker that it happened in; `None` for the browser itself.
    pub session: Option<String>,
    /// Its name, like `Network.requestWillBeSent`.
    pub method: String,
    /// What there is to know about it.
    pub params: Value,
}

impl Cdp {
    /// Connects to the browser that listens at `url` and hands its events to the receiver.
    ///
    /// # Errors
    /// When nothing answers there.
    pub async fn connect(url: &str) -> Result<(Self, mpsc::UnboundedReceiver<Event>)> {
        let (socket, _) = connect_async(url)
            .await
            .with_context(|| format!("connecting to {url}"))?;
        let (mut sink, mut stream) = socket.split();
        let (outgoing, mut queue) = mpsc::unbounded_channel::<String>();
        let (events, receiver) = mpsc::unbounded_channel();
        let cdp = Self {
            outgoing,
            waiting: Arc::default(),
            last_id: Arc::default(),
        };
        let waiting = Arc::clone(&cdp.waiting);
        tokio::spawn(async move {
            while let Some(text) = queue.recv().await {
                if sink.send(Message::text(text)).await.is_err() {
                    break;
                }
            }
        });
        tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                let Ok(mut value) = serde_json::from_slice::<Value>(&message.into_data()) else {
                    continue;
                };
                if let Some(id) = value["id"].as_u64() {
                    let asker = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                    // Whoever asked may have given up.
                    asker.and_then(|asker| asker.send(value).ok());
                } else if let Some(method) = value["method"].as_str() {
                    let method = method.to_owned();
                    let session = value["sessionId"].as_str().map(str::to_owned);
                    // Nobody has to listen.
                    events
                        .send(Event {
                            session,
                            method,
                            params: value["params"].take(),
                        })
                        .ok();
                }
            }
            // Whoever still waits learns that the browser is gone, as its sender goes.
            waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        Ok((cdp, receiver))
    }

    /// Calls a method of the browser.
    ///
    /// # Errors
    /// When the browser refuses, has ended, or does not answer within half a minute.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        self.send(json!({ "method": method, "params": params })).await
    }

    /// Calls a method of the page or worker of this session.
    ///
    /// # Errors
    /// When it refuses, has ended, or does not answer within half a minute.
    pub async fn call_in(&self, session: &str, method: &str, params: Value) -> Result<Value> {
        self.send(json!({ "method": method, "params": params, "sessionId": session }))
            .await
    }

    async fn send(&self, mut call: Value) -> Result<Value> {
        let method = call["method"].as_str().unwrap_or_default().to_owned();
        let id = self.last_id.fetch_add(1, Ordering::Relaxed);
        call["id"] = id.into();
        let (asker, answer) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, asker);
        self.outgoing
            .send(call.to_string())
            .with_context(|| format!("{method}: the browser has ended"))?;
        let answered = timeout(ANSWER, answer).await;
        let mut answer = answered
            .with_context(|| format!("{method}: no answer within {ANSWER:?}"))?
            .with_context(|| format!("{method}: the browser has ended"))?;
        if let Some(error) = answer.get("error") {
            bail!("{method}: {error}");
        }
        Ok(answer["result"].take())
    }
}
