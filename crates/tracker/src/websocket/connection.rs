//! One client's WebSocket, from its first message to its last.

use core::future::{Future as _, poll_fn};
use core::net::IpAddr;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::sync::Arc;

use causeway_core::{InfoHash, Time};
use causeway_signal::{Action, Announce, ClientMessage, Left, OfferId, TrackerMessage};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep_until, timeout};
use tungstenite::Message;
use tungstenite::error::Error;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use super::outbox::{Delivery, Outbox};
use super::pace::{Due, Liveness, Pace, messages};
use super::socket::Socket;
use crate::limit::Bucket;
use crate::metrics::{Door, Failure};
use crate::registry::{Announced, Home, Link, Presence, Session};
use crate::tracker::{Place, Shared};

/// A connected client.
///
/// One task reads and writes. It reads and handles all that has arrived, and then sends all that waits to be sent. Where
/// the client reads slowly, nothing is read from it either, while its outbox fills up to its bound; then it is closed.
#[derive(Debug)]
pub(super) struct Connection<S> {
    place: Place,
    socket: Socket<S>,
    outbox: Outbox,
    session: Session<Outbox>,
    pace: Pace,
    /// Where the address pays for what all its connections send together.
    bucket: Bucket,
    liveness: Liveness,
    passkey: Option<Box<str>>,
    /// How many messages may still be read before something is sent and others have their turn.
    turn: u32,
    /// Since when the client has not read what it was sent.
    stuck_since: Option<Time>,
    /// Since when the client has not completed a message that it has begun.
    midway_since: Option<Time>,
    /// When the timer wakes this task.
    alarm_at: Time,
}

/// Who connected, with what the address that was connected to names.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) passkey: Option<Box<str>>,
    /// For a gateway behind this tracker.
    pub(super) gateway: Option<Box<str>>,
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
    /// It did not complete a message.
    SlowSender,
    /// What it sent was no WebSocket message, or a too long one.
    Broken(Error),
    /// The tracker ends.
    Closing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(place: Place, socket: Socket<S>, client: Client) -> Self {
        let outbox = Outbox::new(place.shared.config.max_outgoing);
        let config = &place.shared.config;
        Self {
            session: Session::new(outbox.clone(), client.address).with_token(client.gateway),
            pace: Pace::new(config.messages_per_second, config.message_burst),
            bucket: place.shared.messages.bucket(client.address),
            liveness: Liveness::new(place.shared.now(), config.ping_after, config.pong_within),
            place,
            socket,
            outbox,
            passkey: client.passkey,
            turn: TURN,
            stuck_since: None,
            midway_since: None,
            alarm_at: Time::ZERO,
        }
    }

    /// Serves the client until one of the two has had enough.
    pub(super) async fn run(mut self) {
        let end = self.serve().await;
        self.place.shared.home().leave(&mut self.session);
        tracing::debug!(?end, "a client of the tracker is gone");
        let metrics = &self.place.shared.metrics;
        match end {
            End::SlowReader => metrics.failed(Failure::SlowReader),
            End::SlowSender => metrics.failed(Failure::SlowSender),
            End::Silent => metrics.failed(Failure::Silent),
            End::Broken(_) => metrics.failed(Failure::Malformed),
            End::Gone | End::Closing => {}
        }
        let farewell: Option<(_, String)> = match end {
            End::SlowReader => return,
            End::Gone => None,
            End::Silent => Some((CloseCode::Policy, "no sign of life".into())),
            End::SlowSender => Some((CloseCode::Policy, "a message was begun and not completed".into())),
            End::Broken(error) => {
                let reason = error.to_string().chars().take(MAX_REASON).collect();
                Some((code(&error), reason))
            }
            End::Closing => Some((CloseCode::Away, "the tracker is being stopped".into())),
        };
        if let Some((code, reason)) = farewell {
            let reason = reason.into();
            self.socket.close(CloseFrame { code, reason });
        }
        let farewell = async {
            poll_fn(|context| self.socket.poll_send(context)).await?;
            self.socket.shut_down().await
        };
        let is_seen = timeout(FAREWELL_WITHIN, farewell).await;
        tracing::trace!(?is_seen, "said farewell");
    }

    async fn serve(&mut self) -> End {
        let shared = Arc::clone(&self.place.shared);
        // It is asked once, and not at each turn: it wakes this task, which looks for itself then.
        let mut closing = shared.closing();
        let mut closing = pin!(closing.wait_for(|closing| *closing));
        if poll_fn(|context| Poll::Ready(closing.as_mut().poll(context).is_ready())).await {
            return End::Closing;
        }
        let mut alarm = pin!(sleep_until(shared.instant(self.liveness.next())));
        loop {
            match poll_fn(|context| self.poll_message(context, alarm.as_mut())).await {
                Ok(message) => self.handle(message).await,
                Err(end) => return end,
            }
        }
    }

    /// The next message. All that is to be done beside reading is done here, whenever there is nothing to read.
    fn poll_message(
        &mut self,
        context: &mut Context<'_>,
        mut alarm: Pin<&mut Sleep>,
    ) -> Poll<Result<Message, End>> {
        if self.place.closing.has_changed().unwrap_or(true) {
            return Poll::Ready(Err(End::Closing));
        }
        let now = self.place.shared.now();
        if !self.socket.is_sent() {
            self.send(context, now)?;
        }
        let of_address = self.place.shared.messages.waits_until(now, self.bucket);
        let may_read_at = self.pace.waits_until(now).max(of_address);
        if self.socket.is_sent() && self.turn > 0 && may_read_at.is_none() {
            match self.socket.poll_read(context) {
                Poll::Ready(Some(Ok(message))) => {
                    self.turn -= 1;
                    return Poll::Ready(Ok(message));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(End::Broken(error))),
                Poll::Ready(None) => return Poll::Ready(Err(End::Gone)),
                Poll::Pending if self.socket.is_midway() => {
                    self.midway_since.get_or_insert(now);
                }
                Poll::Pending => {}
            }
        }
        self.check_life(now)?;
        self.send(context, now)?;
        let deadlines = [
            Some(self.liveness.next()),
            may_read_at,
            self.stuck_until(),
            self.midway_until(),
        ];
        let deadline = deadlines.into_iter().flatten().min().unwrap_or(now);
        let mut is_next_now = self.turn == 0;
        // The timer is moved ahead only when it has run out, since most deadlines are put off before that; and it is not
        // asked in between, since it wakes this task.
        if deadline < self.alarm_at || self.alarm_at <= now {
            self.alarm_at = deadline;
            alarm.as_mut().reset(self.place.shared.instant(deadline));
            is_next_now |= alarm.poll(context).is_ready();
        }
        if is_next_now {
            context.waker().wake_by_ref();
        }
        self.turn = TURN;
        Poll::Pending
    }

    /// Sends what waits to be sent, as far as the client takes it.
    fn send(&mut self, context: &mut Context<'_>, now: Time) -> Result<(), End> {
        loop {
            match self.socket.poll_send(context) {
                Poll::Ready(Ok(())) => self.stuck_since = None,
                Poll::Ready(Err(_)) => return Err(End::Gone),
                Poll::Pending => {
                    self.stuck_since.get_or_insert(now);
                    return Ok(());
                }
            }
            match self.outbox.take(context) {
                None => return Ok(()),
                Some(Delivery::Frames(frames)) => self.socket.put(frames),
                Some(Delivery::ProofOfLife) => {
                    self.liveness.asked(now, self.place.shared.config.proof_within);
                    self.socket.ping();
                }
                Some(Delivery::Overflow) => return Err(End::SlowReader),
            }
        }
    }

    fn check_life(&mut self, now: Time) -> Result<(), End> {
        if self.stuck_until().is_some_and(|until| until <= now) {
            return Err(End::SlowReader);
        }
        if self.midway_until().is_some_and(|until| until <= now) {
            return Err(End::SlowSender);
        }
        match self.liveness.poll(now) {
            Some(Due::Ping) => self.socket.ping(),
            Some(Due::GiveUp) => return Err(End::Silent),
            None => {}
        }
        Ok(())
    }

    /// Until when the client has to have read what it was sent.
    fn stuck_until(&self) -> Option<Time> {
        Some(self.stuck_since? + self.place.shared.config.send_within)
    }

    /// Until when the client has to have completed the message that it has begun.
    fn midway_until(&self) -> Option<Time> {
        Some(self.midway_since? + self.place.shared.config.message_within)
    }
}

impl<S> Connection<S> {
    async fn handle(&mut self, message: Message) {
        let now = self.place.shared.now();
        self.liveness.heard(now);
        self.outbox.trust(now);
        if message.is_text() || message.is_binary() {
            self.midway_since = None;
        }
        match message {
            Message::Text(text) => self.handle_text(now, &text).await,
            // Some clients send their JSON so.
            Message::Binary(bytes) => self.handle_text(now, &String::from_utf8_lossy(&bytes)).await,
            // A ping is answered, and a close confirmed, by the WebSocket itself.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {
                self.charge(now, 0);
            }
        }
    }

    /// Takes note of a message of `length` bytes that was read.
    fn charge(&mut self, now: Time, length: usize) {
        let messages = messages(length);
        self.pace.charge(now, messages);
        self.place.shared.messages.charge(now, self.bucket, messages);
    }

    async fn handle_text(&mut self, now: Time, text: &str) {
        self.charge(now, text.len());
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
                let mut json = Vec::new();
                message.write_json(&mut json);
                if to.relay(&json) {
                    shared.metrics.answer_relayed();
                } else {
                    shared.metrics.failed(Failure::Busy);
                }
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
            wanted: announce.numwant,
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
                metrics.failed(refusal.into());
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
        let (mut json, mut relayed) = (Vec::new(), 0);
        for (receiver, offer) in receivers.iter().zip(offers) {
            let (peer_id, offer_id, offer) = (announce.peer_id, offer.offer_id, offer.offer);
            let message = TrackerMessage::Offer {
                info_hash,
                peer_id,
                offer_id,
                offer,
            };
            json.clear();
            message.write_json(&mut json);
            if receiver.relay(&json) {
                relayed += 1;
            } else {
                metrics.failed(Failure::Busy);
            }
        }
        if let Some(holder) = doubted {
            holder.doubt(now);
        }
        metrics.offers_relayed(relayed);
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

    fn reply(&self, message: &TrackerMessage<'_>) {
        let mut json = Vec::new();
        message.write_json(&mut json);
        self.outbox.deliver(&json);
    }
}

impl<S> Drop for Connection<S> {
    /// Also where the task is given up in the middle.
    fn drop(&mut self) {
        self.place.shared.home().leave(&mut self.session);
    }
}

/// What a client is told that broke the rules (RFC 6455, section 7.4.1).
fn code(error: &Error) -> CloseCode {
    if matches!(error, Error::Capacity(_)) {
        CloseCode::Size
    } else if matches!(error, Error::Utf8(_)) {
        CloseCode::Invalid
    } else {
        CloseCode::Protocol
    }
}

/// So many messages are read from one connection before others have their turn.
const TURN: u32 = 32;

/// How long the message that closes a connection may take to be sent and seen.
const FAREWELL_WITHIN: core::time::Duration = core::time::Duration::from_secs(2);

/// How long clients should wait between two scrapes, in seconds.
const MIN_SCRAPE_INTERVAL: u32 = 600;

/// A WebSocket's close frame has room for 123 bytes of reason.
const MAX_REASON: usize = 100;
