//! One client's WebSocket, from its first message to its last.

use core::pin::pin;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use causeway_core::{InfoHash, Time};
use causeway_signal::{Action, Announce, ClientMessage, Left, OfferId, TrackerMessage};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{sleep_until, timeout};

use super::outbox::{Delivery, Outbox};
use super::pace::{Due, Liveness, Pace};
use crate::metrics::{Door, Failure};
use crate::registry::{Announced, Home, Link, Presence, Refusal, Session};
use crate::tracker::{Place, Shared};

/// A connected client.
///
/// One task reads and writes. Where the client reads slowly, nothing is read from it either, while its outbox fills up to
/// its bound; then it is closed.
#[derive(Debug)]
pub(super) struct Connection {
    place: Place,
    socket: WebSocket,
    outbox: Outbox,
    session: Session<Outbox>,
    pace: Pace,
    liveness: Liveness,
    passkey: Option<Box<str>>,
}

/// What a connection's task waits for.
enum Occurrence {
    Read(Option<Result<Message, axum::Error>>),
    Delivery(Delivery),
    Alarm,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client closed it, or the network did.
    Gone,
    /// It gave no sign of life.
    Silent,
    /// It did not read what it was sent.
    SlowReader,
    /// What it sent was no WebSocket message or a too long one, or the network failed.
    Broken(axum::Error),
    /// The tracker ends.
    Closing,
}

impl Connection {
    pub(super) fn new(place: Place, socket: WebSocket, address: IpAddr, passkey: Option<Box<str>>) -> Self {
        let outbox = Outbox::new(place.shared.config.max_outgoing);
        let config = &place.shared.config;
        Self {
            session: Session::new(outbox.clone(), address),
            pace: Pace::new(config.messages_per_second, config.message_burst),
            liveness: Liveness::new(place.shared.now(), config.ping_after, config.pong_within),
            place,
            socket,
            outbox,
            passkey,
        }
    }

    /// Serves the client until one of the two has had enough.
    pub(super) async fn run(mut self) {
        let end = self.serve().await;
        self.leave();
        tracing::debug!(?end, "a client of the tracker is gone");
        let metrics = &self.place.shared.metrics;
        match end {
            End::SlowReader => metrics.failed(Failure::SlowReader),
            End::Silent => metrics.failed(Failure::Silent),
            End::Broken(_) => metrics.failed(Failure::Malformed),
            End::Gone | End::Closing => {}
        }
        let (code, reason): (_, String) = match end {
            End::Gone | End::SlowReader => return,
            End::Silent => (close_code::POLICY, "no sign of life".into()),
            End::Broken(error) => (
                close_code::PROTOCOL,
                error.to_string().chars().take(MAX_REASON).collect(),
            ),
            End::Closing => (close_code::AWAY, "the tracker is being stopped".into()),
        };
        let farewell = CloseFrame {
            code,
            reason: reason.into(),
        };
        let is_sent = timeout(FAREWELL_WITHIN, self.socket.send(Message::Close(Some(farewell)))).await;
        tracing::trace!(?is_sent, "said farewell");
    }

    async fn serve(&mut self) -> End {
        let shared = Arc::clone(&self.place.shared);
        // The timer is moved ahead only when it has run out: most deadlines are put off before that.
        let mut alarm = pin!(sleep_until(shared.instant(self.liveness.next())));
        loop {
            let may_read_at = self.pace.waits_until(shared.now());
            let due_at = self.liveness.next();
            let deadline = shared.instant(may_read_at.map_or(due_at, |time| time.min(due_at)));
            if deadline < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(deadline);
            }
            let occurrence = tokio::select! {
                message = self.socket.next(), if may_read_at.is_none() => Occurrence::Read(message),
                delivery = self.outbox.next() => Occurrence::Delivery(delivery),
                () = &mut alarm => Occurrence::Alarm,
                _ = self.place.closing.changed() => return End::Closing,
            };
            let step = match occurrence {
                Occurrence::Read(message) => self.read(message).await,
                Occurrence::Delivery(delivery) => self.deliver(delivery).await,
                Occurrence::Alarm => self.check_life().await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn read(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        let now = self.place.shared.now();
        let message = match message {
            None => return Err(End::Gone),
            Some(Err(error)) => return Err(End::Broken(error)),
            Some(Ok(message)) => message,
        };
        self.liveness.heard(now);
        self.outbox.trust();
        match message {
            Message::Text(text) => self.handle_text(now, &text).await,
            // Some clients send their JSON so.
            Message::Binary(bytes) => self.handle_text(now, &String::from_utf8_lossy(&bytes)).await,
            // A ping is answered, and a close confirmed, by the WebSocket itself.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => self.pace.charge(now, 0),
        }
        Ok(())
    }

    async fn handle_text(&mut self, now: Time, text: &str) {
        self.pace.charge(now, text.len());
        match ClientMessage::parse(text) {
            Ok(ClientMessage::Announce(announce)) => self.announce(now, &announce).await,
            Ok(ClientMessage::Answer {
                info_hash,
                peer_id,
                to_peer_id,
                offer_id,
                answer,
            }) => {
                let between = (peer_id, to_peer_id);
                let shared = &*self.place.shared;
                let home = shared.home();
                let to = home.answer(now, &self.session, info_hash, between, offer_id);
                let Some(to) = to.await else {
                    return shared.metrics.failed(Failure::Answer);
                };
                let message = TrackerMessage::Answer {
                    info_hash,
                    peer_id,
                    offer_id,
                    answer,
                };
                to.deliver(message.to_json());
                shared.metrics.answer_relayed();
            }
            Ok(ClientMessage::Scrape { info_hashes }) => self.scrape(&info_hashes).await,
            Err(error) => {
                tracing::debug!(%error, "a message was refused");
                self.place.shared.metrics.failed(Failure::Malformed);
                self.reply(&error.to_reply());
            }
        }
    }

    /// Replies first, and relays the offers then.
    async fn announce(&mut self, now: Time, announce: &Announce<'_>) {
        let shared = &*self.place.shared;
        let Shared { config, metrics, .. } = shared;
        let info_hash = announce.info_hash;
        if let Err(denial) = shared.admit(info_hash, self.passkey.as_deref()) {
            return self.refuse(info_hash, &denial);
        }
        let presence = Presence {
            info_hash,
            peer_id: announce.peer_id,
            event: announce.event,
            complete: announce.left == Left::Complete,
            downloaded: announce.downloaded,
        };
        let wanted = announce
            .numwant
            .map_or(usize::MAX, |wanted| wanted as usize)
            .min(config.max_offers);
        let offers = &announce.offers[..announce.offers.len().min(wanted)];
        let offer_ids: Vec<OfferId> = offers.iter().map(|offer| offer.offer_id).collect();

        let home = shared.home();
        let announced = home.announce(now, &mut self.session, &presence, &offer_ids);
        let Announced {
            counts,
            receivers,
            doubted,
        } = match announced.await {
            Ok(announced) => announced,
            Err(refusal) => {
                metrics.failed(match refusal {
                    Refusal::TooManyTorrents(_) => Failure::TooManyTorrents,
                    Refusal::Full => Failure::Full,
                });
                return self.refuse(info_hash, &refusal);
            }
        };
        self.reply(&TrackerMessage::Announced {
            info_hash,
            complete: Some(counts.complete),
            incomplete: Some(counts.incomplete),
            interval: Some(u32::try_from(config.interval.as_secs()).unwrap_or(u32::MAX)),
            tracker_id: None,
            warning: None,
        });
        for (receiver, offer) in receivers.iter().zip(offers) {
            let (peer_id, offer_id, offer) = (announce.peer_id, offer.offer_id, offer.offer);
            let message = TrackerMessage::Offer {
                info_hash,
                peer_id,
                offer_id,
                offer,
            };
            receiver.deliver(message.to_json());
        }
        if let Some(holder) = doubted {
            holder.doubt();
        }
        metrics.offers_relayed(receivers.len());
        let took = shared.now().since(now);
        metrics.announced(Door::WebSocket, announce.event, took);
    }

    fn refuse(&self, info_hash: InfoHash, reason: &dyn core::fmt::Display) {
        self.reply(&TrackerMessage::Failure {
            action: Some(Action::Announce),
            info_hash: Some(info_hash),
            reason: reason.to_string().into(),
        });
    }

    async fn scrape(&mut self, info_hashes: &[InfoHash]) {
        let shared = &*self.place.shared;
        let files = shared.scrape(info_hashes, self.passkey.as_deref()).await;
        shared.metrics.scraped(Door::WebSocket);
        self.reply(&TrackerMessage::Scraped {
            files: files.into_iter().collect(),
            min_request_interval: Some(MIN_SCRAPE_INTERVAL),
        });
    }

    fn leave(&mut self) {
        self.place.shared.home().leave(&mut self.session);
    }

    fn reply(&self, message: &TrackerMessage<'_>) {
        self.outbox.deliver(message.to_json());
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<(), End> {
        match delivery {
            Delivery::Messages(messages) => self.send(messages).await,
            Delivery::ProofOfLife => {
                let (now, patience) = (self.place.shared.now(), self.place.shared.config.proof_within);
                self.liveness.asked(now, patience);
                self.ping().await
            }
            Delivery::Overflow => Err(End::SlowReader),
        }
    }

    async fn check_life(&mut self) -> Result<(), End> {
        match self.liveness.poll(self.place.shared.now()) {
            Some(Due::Ping) => self.ping().await,
            Some(Due::GiveUp) => Err(End::Silent),
            None => Ok(()),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        self.within(async |socket| socket.send(Message::Ping(Bytes::new())).await)
            .await
    }

    async fn send(&mut self, messages: VecDeque<Utf8Bytes>) -> Result<(), End> {
        self.within(async |socket| {
            for message in messages {
                socket.feed(Message::Text(message)).await?;
            }
            socket.flush().await
        })
        .await
    }

    /// Does what takes as long as the client takes to read.
    async fn within(
        &mut self,
        work: impl AsyncFnOnce(&mut WebSocket) -> Result<(), axum::Error>,
    ) -> Result<(), End> {
        match timeout(self.place.shared.config.send_within, work(&mut self.socket)).await {
            Ok(result) => result.map_err(End::Broken),
            Err(_) => Err(End::SlowReader),
        }
    }
}

impl Drop for Connection {
    /// Also where the task is given up in the middle.
    fn drop(&mut self) {
        self.leave();
    }
}

/// How long the message that closes a connection may take to be sent.
const FAREWELL_WITHIN: core::time::Duration = core::time::Duration::from_secs(1);

/// How long clients should wait between two scrapes, in seconds.
const MIN_SCRAPE_INTERVAL: u32 = 600;

/// A WebSocket's close frame has room for 123 bytes of reason.
const MAX_REASON: usize = 100;
