//! The connections that the worker asks for: `RTCPeerConnection` exists on a page only.
//!
//! The page decides nothing here. It gathers all candidates (there is no trickle in WebTorrent), hands the data
//! channel to the worker before it opens, and says when a connection has failed. A channel can be transferred
//! only in the task in which it came to be.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    RtcConfiguration, RtcDataChannel, RtcDataChannelEvent, RtcIceGatheringState, RtcPeerConnection,
    RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit,
};

use super::link_port::LinkPort;
use crate::protocol::{ConnectionId, Request};

/// Tells the worker something, with a browser object beside it and the objects to transfer.
pub(super) type TellWorker = Rc<dyn Fn(Request, &JsValue, &Array) -> Result<(), JsValue>>;

/// Every connection that the worker has asked for and not closed.
pub(super) struct Connections {
    configuration: RtcConfiguration,
    tell_worker: TellWorker,
    connections: BTreeMap<ConnectionId, Connection>,
}

struct Connection {
    peer: RtcPeerConnection,
    /// The channel's stand-in where it could not be transferred.
    port: Rc<std::cell::RefCell<Option<LinkPort>>>,
    _on_state: Closure<dyn FnMut()>,
    _on_channel: Option<Closure<dyn FnMut(RtcDataChannelEvent)>>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.connections.keys()).finish()
    }
}

impl Connections {
    /// None yet. `ice_servers` is an array as `RTCPeerConnection` takes it.
    pub(super) fn new(ice_servers: &JsValue, tell_worker: TellWorker) -> Self {
        let configuration = RtcConfiguration::new();
        if ice_servers.is_array() {
            configuration.set_ice_servers(ice_servers);
        }
        Self { configuration, tell_worker, connections: BTreeMap::new() }
    }

    /// Makes a connection with a data channel of this label, and tells the complete offer.
    pub(super) fn create_offer(&mut self, id: ConnectionId, label: &str) {
        let Some(peer) = self.open(id, None) else { return };
        let channel = peer.create_data_channel(label);
        self.hand_over(id, &channel);
        self.run(id, async move {
            set_local_description(&peer).await?;
            Ok(Request::OfferCreated(id, complete_description(&peer).await?))
        });
    }

    /// Makes a connection for this offer, and tells the complete answer. Its first data channel is handed over
    /// when it comes; further ones are closed.
    pub(super) fn accept_offer(&mut self, id: ConnectionId, sdp: String) {
        let port: Rc<std::cell::RefCell<Option<LinkPort>>> = Rc::default();
        let tell_worker = self.tell_worker.clone();
        let slot = port.clone();
        let mut handed_over = false;
        let on_channel = Closure::new(move |event: RtcDataChannelEvent| {
            if std::mem::replace(&mut handed_over, true) {
                event.channel().close();
            } else {
                *slot.borrow_mut() = hand_over(id, &event.channel(), &tell_worker);
            }
        });
        let Some(peer) = self.open(id, Some((on_channel, port))) else { return };
        self.run(id, async move {
            set_remote_description(&peer, RtcSdpType::Offer, &sdp).await?;
            set_local_description(&peer).await?;
            Ok(Request::AnswerCreated(id, complete_description(&peer).await?))
        });
    }

    /// Completes a connection with the other side's answer.
    pub(super) fn accept_answer(&mut self, id: ConnectionId, sdp: String) {
        let Some(connection) = self.connections.get(&id) else { return };
        let peer = connection.peer.clone();
        let tell_worker = self.tell_worker.clone();
        spawn_local(async move {
            if set_remote_description(&peer, RtcSdpType::Answer, &sdp).await.is_err() {
                tell_closed(id, &tell_worker);
            }
        });
    }

    /// Closes a connection and forgets it.
    pub(super) fn close(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    #[expect(clippy::type_complexity, reason = "the pair is made and taken apart in this file alone")]
    fn open(
        &mut self,
        id: ConnectionId,
        incoming: Option<(Closure<dyn FnMut(RtcDataChannelEvent)>, Rc<std::cell::RefCell<Option<LinkPort>>>)>,
    ) -> Option<RtcPeerConnection> {
        let Ok(peer) = RtcPeerConnection::new_with_configuration(&self.configuration) else {
            tell_closed(id, &self.tell_worker);
            return None;
        };
        let tell_worker = self.tell_worker.clone();
        let watched = peer.clone();
        let on_state = Closure::new(move || {
            if matches!(watched.connection_state(), RtcPeerConnectionState::Failed | RtcPeerConnectionState::Closed) {
                tell_closed(id, &tell_worker);
            }
        });
        peer.set_onconnectionstatechange(Some(on_state.as_ref().unchecked_ref()));
        let (on_channel, port) = incoming.unzip();
        if let Some(on_channel) = &on_channel {
            peer.set_ondatachannel(Some(on_channel.as_ref().unchecked_ref()));
        }
        let connection = Connection {
            peer: peer.clone(),
            port: port.unwrap_or_default(),
            _on_state: on_state,
            _on_channel: on_channel,
        };
        self.connections.insert(id, connection);
        Some(peer)
    }

    fn hand_over(&self, id: ConnectionId, channel: &RtcDataChannel) {
        if let Some(connection) = self.connections.get(&id) {
            *connection.port.borrow_mut() = hand_over(id, channel, &self.tell_worker);
        }
    }

    /// Runs a description to its end, and tells the worker what came of it.
    fn run(&self, id: ConnectionId, work: impl Future<Output = Result<Request, JsValue>> + 'static) {
        let tell_worker = self.tell_worker.clone();
        spawn_local(async move {
            match work.await {
                Ok(request) => tell_worker(request, &JsValue::UNDEFINED, &Array::new()).unwrap_or_default(),
                Err(_) => tell_closed(id, &tell_worker),
            }
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.peer.set_onconnectionstatechange(None);
        self.peer.set_ondatachannel(None);
        self.peer.close();
    }
}

/// Transfers the channel to the worker, or where this browser can't, a port that speaks for it.
fn hand_over(id: ConnectionId, channel: &RtcDataChannel, tell_worker: &TellWorker) -> Option<LinkPort> {
    if tell_worker(Request::Channel(id), channel, &Array::of1(channel)).is_ok() {
        return None;
    }
    let (port, theirs) = LinkPort::new(channel.clone()).ok()?;
    tell_worker(Request::Channel(id), &theirs, &Array::of1(&theirs)).ok()?;
    Some(port)
}

fn tell_closed(id: ConnectionId, tell_worker: &TellWorker) {
    tell_worker(Request::ConnectionClosed(id), &JsValue::UNDEFINED, &Array::new()).unwrap_or_default();
}

/// Makes the offer or the answer that the state of the connection asks for, and sets it.
async fn set_local_description(peer: &RtcPeerConnection) -> Result<(), JsValue> {
    // Without an argument; web-sys knows only the form with one.
    let method = Reflect::get(peer, &"setLocalDescription".into())?.dyn_into::<js_sys::Function>()?;
    JsFuture::from(method.call0(peer)?.dyn_into::<Promise>()?).await?;
    Ok(())
}

async fn set_remote_description(peer: &RtcPeerConnection, kind: RtcSdpType, sdp: &str) -> Result<(), JsValue> {
    let description = RtcSessionDescriptionInit::new(kind);
    description.set_sdp(sdp);
    JsFuture::from(peer.set_remote_description(&description)).await?;
    Ok(())
}

/// The local description with all its candidates, or with those that came within [`GATHERING_MS`]: a STUN server
/// that does not answer must not keep two peers apart that reach each other without it.
async fn complete_description(peer: &RtcPeerConnection) -> Result<String, JsValue> {
    let gathered = Promise::new(&mut |resolve, _| {
        let watched = peer.clone();
        let done = resolve.clone();
        let on_gathering = Closure::<dyn FnMut()>::new(move || {
            if watched.ice_gathering_state() == RtcIceGatheringState::Complete {
                done.call0(&JsValue::UNDEFINED).unwrap_or_default();
            }
        });
        peer.set_onicegatheringstatechange(Some(&on_gathering.into_js_value().unchecked_into()));
        if let Some(window) = web_sys::window() {
            window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, GATHERING_MS).unwrap_or_default();
        }
    });
    if peer.ice_gathering_state() != RtcIceGatheringState::Complete {
        JsFuture::from(gathered).await?;
    }
    peer.set_onicegatheringstatechange(None);
    let description = peer.local_description().ok_or("the connection was closed meanwhile")?;
    Ok(description.sdp())
}

/// How long candidates are gathered, in milliseconds.
const GATHERING_MS: i32 = 5_000;
