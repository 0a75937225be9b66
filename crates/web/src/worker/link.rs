//! A link to a peer: a data channel, or the port that speaks for one.
//!
//! To the engine a link is a stream of bytes with a budget. What it sends is joined to messages as large as the
//! other side takes: fewer of them carry a third more (each costs the browser a task on two threads at both
//! ends). A block is never cut in two where that can be helped, so that the other side need not join it.

use bytes::Bytes;
use causeway_signal::ConnectionId;
use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, MessagePort, RtcDataChannel, RtcDataChannelState, RtcDataChannelType};

use super::discard::discard;
use super::{Event, Events, tell};

/// What happens on a link.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// It takes bytes now.
    Opened,
    /// The next bytes of the stream.
    Received(Bytes),
    /// What was sent has mostly left.
    Drained,
    /// It is closed, in words why; nothing follows.
    Closed(String),
}

/// A link that is closed when it is dropped.
pub(super) struct Link {
    transport: Transport,
    /// What is to be sent, at most one message.
    message: Vec<u8>,
    max_message: usize,
    /// What the engine may still send by its own count.
    budget: usize,
}

enum Transport {
    Channel {
        channel: RtcDataChannel,
        _on_open: Closure<dyn FnMut()>,
        _on_message: Closure<dyn FnMut(MessageEvent)>,
        _on_low: Closure<dyn FnMut()>,
        _on_close: Closure<dyn FnMut()>,
    },
    Port {
        port: MessagePort,
        /// Bytes given to the port since it last said how many the channel holds, and those.
        unsent: std::rc::Rc<std::cell::Cell<u32>>,
        _on_message: Closure<dyn FnMut(MessageEvent)>,
    },
}

impl Link {
    /// Takes the object that the page handed over; events tell what happens on it.
    pub(super) fn new(connection: ConnectionId, object: JsValue, events: &Events) -> Option<Self> {
        let transport = match object.dyn_into::<RtcDataChannel>() {
            Ok(channel) => Transport::channel(connection, channel, events),
            Err(object) => Transport::port(connection, object.dyn_into().ok()?, events),
        };
        Some(Self {
            transport,
            message: Vec::new(),
            max_message: MIN_MESSAGE,
            budget: 0,
        })
    }

    /// Sets the largest message that the other side takes: its description may come after the channel.
    pub(super) fn set_max_message(&mut self, max_message_size: usize) {
        self.max_message = max_message_size.clamp(MIN_MESSAGE, MAX_MESSAGE);
    }

    /// Adds bytes to the stream; they leave with [`Link::flush`] at the latest.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.budget = self.budget.saturating_sub(bytes.len());
        if self.message.len() + bytes.len() > self.max_message {
            self.flush();
        }
        for part in bytes.chunks(self.max_message) {
            self.message.extend_from_slice(part);
            if self.message.len() == self.max_message {
                self.flush();
            }
        }
    }

    /// Sends what was added.
    pub(super) fn flush(&mut self) {
        if !self.message.is_empty() {
            self.transport.send(&self.message);
            self.message.clear();
        }
    }

    /// How many bytes more the engine may send, where that is worth telling it.
    pub(super) fn grant(&mut self) -> Option<usize> {
        let room = HIGH_WATER.saturating_sub(self.transport.unsent() + self.message.len());
        if self.budget > HIGH_WATER / 2 || room < HIGH_WATER / 2 {
            return None;
        }
        self.budget = room;
        Some(room)
    }
}

impl Transport {
    fn channel(connection: ConnectionId, channel: RtcDataChannel, events: &Events) -> Self {
        let teller = |event: fn() -> LinkEvent| {
            let to = events.clone();
            Closure::<dyn FnMut()>::new(move || tell(&to, Event::Link(connection, event())))
        };
        let (on_open, on_low, on_close) = (
            teller(|| LinkEvent::Opened),
            teller(|| LinkEvent::Drained),
            teller(|| LinkEvent::Closed("the other side has closed it".to_owned())),
        );
        let on_message = on_message(connection, events.clone());
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        channel.set_buffered_amount_low_threshold(LOW_WATER);
        channel.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        channel.set_onbufferedamountlow(Some(on_low.as_ref().unchecked_ref()));
        channel.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        if channel.ready_state() == RtcDataChannelState::Open {
            tell(events, Event::Link(connection, LinkEvent::Opened));
        }
        Self::Channel {
            channel,
            _on_open: on_open,
            _on_message: on_message,
            _on_low: on_low,
            _on_close: on_close,
        }
    }

    fn port(connection: ConnectionId, port: MessagePort, events: &Events) -> Self {
        let unsent = std::rc::Rc::new(std::cell::Cell::new(0));
        let (count, to) = (unsent.clone(), events.clone());
        let mut open = false;
        let mut on_data = message_handler(connection, events.clone());
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let data = event.data();
            let event_of_link = if let Some(held) = data.as_f64() {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a buffered amount"
                )]
                count.set(held as u32);
                if std::mem::replace(&mut open, true) {
                    LinkEvent::Drained
                } else {
                    LinkEvent::Opened
                }
            } else if data.is_null() {
                LinkEvent::Closed("the other side has closed it".to_owned())
            } else {
                return on_data(&event);
            };
            tell(&to, Event::Link(connection, event_of_link));
        });
        port.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Self::Port {
            port,
            unsent,
            _on_message: on_message,
        }
    }

    /// A transport that can't take a message is closing, and says so itself.
    fn send(&self, message: &[u8]) {
        match self {
            Self::Channel { channel, .. } => channel.send_with_u8_array(message).unwrap_or_default(),
            Self::Port { port, unsent, .. } => {
                let data = Uint8Array::from(message).buffer();
                let transfer = js_sys::Array::of1(&data);
                port.post_message_with_transferable(&data, &transfer)
                    .unwrap_or_default();
                unsent.set(
                    unsent
                        .get()
                        .saturating_add(u32::try_from(message.len()).unwrap_or(u32::MAX)),
                );
            }
        }
    }

    fn unsent(&self) -> usize {
        match self {
            Self::Channel { channel, .. } => channel.buffered_amount() as usize,
            Self::Port { unsent, .. } => unsent.get() as usize,
        }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        match self {
            Self::Channel { channel, .. } => {
                channel.set_onopen(None);
                channel.set_onmessage(None);
                channel.set_onbufferedamountlow(None);
                channel.set_onclose(None);
                channel.close();
            }
            Self::Port { port, .. } => {
                port.set_onmessage(None);
                port.post_message(&JsValue::NULL).unwrap_or_default();
                port.close();
            }
        }
    }
}

fn on_message(connection: ConnectionId, events: Events) -> Closure<dyn FnMut(MessageEvent)> {
    let mut handle = message_handler(connection, events);
    Closure::new(move |event: MessageEvent| handle(&event))
}

/// Turns a message with bytes into an event. Text is no part of the stream, and ends the link.
fn message_handler(connection: ConnectionId, events: Events) -> impl FnMut(&MessageEvent) {
    move |event| {
        let event = match event.data().dyn_into::<ArrayBuffer>() {
            Ok(data) => LinkEvent::Received(take_bytes(&data)),
            Err(other) => LinkEvent::Closed(format!("the peer sent what is no bytes: {other:?}")),
        };
        tell(&events, Event::Link(connection, event));
    }
}

/// Copies what a message brought, and frees it.
fn take_bytes(data: &ArrayBuffer) -> Bytes {
    let bytes = Uint8Array::new(data).to_vec();
    discard(data);
    bytes.into()
}

/// The largest message that a description allows (`a=max-message-size`, RFC 8841), in bytes: without one 64 KiB;
/// 0 stands for any.
pub(super) fn max_message_size(sdp: &str) -> usize {
    let value = sdp
        .lines()
        .find_map(|line| line.strip_prefix("a=max-message-size:"));
    match value.and_then(|value| value.trim().parse().ok()) {
        Some(0) => usize::MAX,
        Some(size) => size,
        None => 64 * 1024,
    }
}

/// Eight blocks with their headers.
const MAX_MESSAGE: usize = 8 * (16 * 1024 + 13);
/// A block with its header, which every client takes.
const MIN_MESSAGE: usize = 16 * 1024 + 13;
/// The most bytes that wait in a channel. Enough for the time until its next event is heard at full speed.
const HIGH_WATER: usize = 1024 * 1024;
/// The channel tells when it holds fewer than this.
const LOW_WATER: u32 = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::max_message_size;

    #[test]
    fn the_largest_message_is_what_the_description_says() {
        assert_eq!(max_message_size("v=0\r\na=max-message-size:262144\r\n"), 262_144);
        assert_eq!(max_message_size("v=0\r\na=max-message-size:0\r\n"), usize::MAX);
        assert_eq!(max_message_size("v=0\r\na=max-message-size:many\r\n"), 65_536);
        assert_eq!(max_message_size("v=0\r\n"), 65_536);
    }
}
