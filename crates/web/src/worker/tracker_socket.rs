//! A WebSocket to one tracker.

use causeway_signal::TrackerId;
use wasm_bindgen::prelude::*;
use web_sys::{CloseEvent, MessageEvent, WebSocket};

use super::{Event, Events, tell};

/// What happens on a tracker's socket.
#[derive(Debug)]
pub(super) enum SocketEvent {
    /// It is open.
    Connected,
    /// The tracker said this.
    Message(String),
    /// It is closed or could not be opened; nothing follows.
    Closed(String),
}

/// A socket that is closed when it is dropped.
pub(super) struct TrackerSocket {
    socket: WebSocket,
    _on_open: Closure<dyn FnMut()>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl TrackerSocket {
    /// Begins to connect; events tell how that went. `None` where the URL is none.
    pub(super) fn connect(tracker: TrackerId, url: &str, events: &Events) -> Option<Self> {
        let socket = WebSocket::new(url).ok()?;
        let to = events.clone();
        let on_open = Closure::new(move || tell(&to, Event::Tracker(tracker, SocketEvent::Connected)));
        let to = events.clone();
        let on_message = Closure::new(move |event: MessageEvent| {
            if let Some(text) = event.data().as_string() {
                tell(&to, Event::Tracker(tracker, SocketEvent::Message(text)));
            }
        });
        let to = events.clone();
        let on_close = Closure::new(move |event: CloseEvent| {
            let reason = match event.code() {
                // A browser does not say why: it would tell pages about the network.
                1006 => "it can't be reached".to_owned(),
                code => format!("it closed the connection (code {code})"),
            };
            tell(&to, Event::Tracker(tracker, SocketEvent::Closed(reason)));
        });
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Some(Self {
            socket,
            _on_open: on_open,
            _on_message: on_message,
            _on_close: on_close,
        })
    }

    /// Sends a message. On a socket that is closing it is lost, and the close is told of anyway.
    pub(super) fn send(&self, text: &str) {
        self.socket.send_with_str(text).unwrap_or_default();
    }
}

impl Drop for TrackerSocket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        self.socket.close().unwrap_or_default();
    }
}
