//! The connections that the worker asks for: `RTCPeerConnection` exists on a page only.
//!
//! The page decides nothing here. It gathers all candidates (there is no trickle in WebTorrent), until the worker ends that
//! (a page that nobody looks at has no punctual clock), hands the data
//! channel to the worker before it opens, and says when a connection has failed. A channel can be transferred
//! only in the task in which it came to be. Which channel is used when, and why, says [`Channel`].

use causeway_core::SortedMap;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    RtcConfiguration, RtcDataChannel, RtcDataChannelEvent, RtcDataChannelInit, RtcIceGatheringState,
    RtcPeerConnection, RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit,
};

use super::link_port::LinkPort;
use crate::protocol::{Channel, ConnectionId, Request};

/// Tells the worker something, with a browser object beside it and the objects to transfer.
pub(super) type TellWorker = Rc<dyn Fn(Request, &JsValue, &Array) -> Result<(), JsValue>>;

/// Every connection that the worker has asked for and not closed.
pub(super) struct Connections {
    configuration: RtcConfiguration,
    tell_worker: TellWorker,
    open: SortedMap<ConnectionId, Connection>,
}

struct Connection {
    peer: RtcPeerConnection,
    tell_worker: TellWorker,
    /// The stand-ins of channels that are not transferred.
    ports: Ports,
    _on_state: Closure<dyn FnMut()>,
    on_channel: Option<Closure<dyn FnMut(RtcDataChannelEvent)>>,
    /// Fulfilled by `end_gathering`.
    gathering_ended: Promise,
    end_gathering: Option<Function>,
}

type Ports = Rc<RefCell<Vec<LinkPort>>>;

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.open.keys()).finish()
    }
}

impl Connections {
    /// None yet. `ice_servers` is an array as `RTCPeerConnection` takes it.
    pub(super) fn new(ice_servers: &JsValue, tell_worker: TellWorker) -> Self {
        let configuration = RtcConfiguration::new();
        if ice_servers.is_array() {
            configuration.set_ice_servers(ice_servers);
        }
        Self {
            configuration,
            tell_worker,
            open: SortedMap::new(),
        }
    }

    /// Makes a connection with a data channel of either kind, and tells the complete offer.
    pub(super) fn create_offer(&mut self, id: ConnectionId, label: &str) {
        let Some(connection) = self.open(id) else { return };
        let (peer, ended) = (connection.peer.clone(), connection.gathering_ended.clone());
        connection.hand_over(id, Channel::Announced, &peer.create_data_channel(label));
        connection.hand_over(id, Channel::Agreed, &agreed_channel(&peer));
        self.run(id, async move {
            set_local_description(&peer).await?;
            Ok(Request::OfferCreated(
                id,
                complete_description(&peer, &ended).await?,
            ))
        });
    }

    /// Makes a connection for this offer with this data channel, and tells the complete answer.
    pub(super) fn accept_offer(&mut self, id: ConnectionId, sdp: String, channel: Channel) {
        let Some(connection) = self.open(id) else { return };
        let (peer, ended) = (connection.peer.clone(), connection.gathering_ended.clone());
        match channel {
            Channel::Agreed => connection.hand_over(id, channel, &agreed_channel(&peer)),
            Channel::Announced => connection.expect_channel(id),
        }
        self.run(id, async move {
            set_remote_description(&peer, RtcSdpType::Offer, &sdp).await?;
            set_local_description(&peer).await?;
            Ok(Request::AnswerCreated(
                id,
                complete_description(&peer, &ended).await?,
            ))
        });
    }

    /// Completes a connection with the other side's answer.
    pub(super) fn accept_answer(&mut self, id: ConnectionId, sdp: String) {
        let Some(connection) = self.open.get(&id) else {
            return;
        };
        let peer = connection.peer.clone();
        let tell_worker = self.tell_worker.clone();
        spawn_local(async move {
            if set_remote_description(&peer, RtcSdpType::Answer, &sdp)
                .await
                .is_err()
            {
                tell_closed(id, &tell_worker);
            }
        });
    }

    /// Has a description told with the candidates that are there.
    pub(super) fn end_gathering(&self, id: ConnectionId) {
        let connection = self.open.get(&id);
        if let Some(end) = connection.and_then(|connection| connection.end_gathering.as_ref()) {
            end.call0(&JsValue::UNDEFINED).unwrap_or_default();
        }
    }

    /// Closes every connection: the page goes, and the other sides need not wait until they miss it.
    pub(super) fn close_all(&mut self) {
        self.open.clear();
    }

    /// Closes a connection and forgets it.
    pub(super) fn close(&mut self, id: ConnectionId) {
        self.open.remove(&id);
    }

    fn open(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let Ok(peer) = RtcPeerConnection::new_with_configuration(&self.configuration) else {
            tell_closed(id, &self.tell_worker);
            return None;
        };
        let tell_worker = self.tell_worker.clone();
        let watched = peer.clone();
        let on_state = Closure::new(move || {
            if matches!(
                watched.connection_state(),
                RtcPeerConnectionState::Failed | RtcPeerConnectionState::Closed
            ) {
                tell_closed(id, &tell_worker);
            }
        });
        peer.set_onconnectionstatechange(Some(on_state.as_ref().unchecked_ref()));
        let mut end_gathering = None;
        let gathering_ended = Promise::new(&mut |resolve, _| end_gathering = Some(resolve));
        let connection = Connection {
            peer,
            tell_worker: self.tell_worker.clone(),
            ports: Rc::default(),
            _on_state: on_state,
            on_channel: None,
            gathering_ended,
            end_gathering,
        };
        self.open.insert(id, connection);
        self.open.get_mut(&id)
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

impl Connection {
    /// Transfers the channel to the worker, or where this browser can't, a port that speaks for it.
    fn hand_over(&mut self, id: ConnectionId, kind: Channel, channel: &RtcDataChannel) {
        if (self.tell_worker)(Request::Channel(id, kind), channel, &Array::of1(channel)).is_err() {
            forward(id, kind, channel, &self.ports, &self.tell_worker);
        }
    }

    /// Forwards for the first channel that the other side announces; further ones are closed.
    fn expect_channel(&mut self, id: ConnectionId) {
        let (ports, tell_worker) = (self.ports.clone(), self.tell_worker.clone());
        let on_channel = Closure::new(move |event: RtcDataChannelEvent| {
            if ports.borrow().is_empty() {
                forward(id, Channel::Announced, &event.channel(), &ports, &tell_worker);
            } else {
                event.channel().close();
            }
        });
        self.peer
            .set_ondatachannel(Some(on_channel.as_ref().unchecked_ref()));
        self.on_channel = Some(on_channel);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.peer.set_onconnectionstatechange(None);
        self.peer.set_ondatachannel(None);
        self.peer.close();
    }
}

/// The channel that both sides make, if both are of our kind.
fn agreed_channel(peer: &RtcPeerConnection) -> RtcDataChannel {
    let options = RtcDataChannelInit::new();
    options.set_negotiated(true);
    options.set_id(AGREED_ID);
    peer.create_data_channel_with_data_channel_dict("causeway", &options)
}

fn forward(
    id: ConnectionId,
    kind: Channel,
    channel: &RtcDataChannel,
    ports: &Ports,
    tell_worker: &TellWorker,
) {
    let Ok((port, theirs)) = LinkPort::new(channel.clone()) else {
        return;
    };
    ports.borrow_mut().push(port);
    tell_worker(Request::Channel(id, kind), &theirs, &Array::of1(&theirs)).unwrap_or_default();
}

fn tell_closed(id: ConnectionId, tell_worker: &TellWorker) {
    tell_worker(Request::ConnectionClosed(id), &JsValue::UNDEFINED, &Array::new()).unwrap_or_default();
}

/// Makes the offer or the answer that the state of the connection asks for, and sets it.
async fn set_local_description(peer: &RtcPeerConnection) -> Result<(), JsValue> {
    // Without an argument; web-sys knows only the form with one.
    let method = Reflect::get(peer, &"setLocalDescription".into())?.dyn_into::<Function>()?;
    JsFuture::from(method.call0(peer)?.dyn_into::<Promise>()?).await?;
    Ok(())
}

async fn set_remote_description(
    peer: &RtcPeerConnection,
    kind: RtcSdpType,
    sdp: &str,
) -> Result<(), JsValue> {
    let description = RtcSessionDescriptionInit::new(kind);
    description.set_sdp(sdp);
    JsFuture::from(peer.set_remote_description(&description)).await?;
    Ok(())
}

/// The local description with all its candidates, or with those that came before the worker has ended the gathering.
async fn complete_description(peer: &RtcPeerConnection, ended: &Promise) -> Result<String, JsValue> {
    let gathered = Promise::new(&mut |resolve, _| {
        let watched = peer.clone();
        let on_gathering = Closure::<dyn FnMut()>::new(move || {
            if watched.ice_gathering_state() == RtcIceGatheringState::Complete {
                resolve.call0(&JsValue::UNDEFINED).unwrap_or_default();
            }
        });
        peer.set_onicegatheringstatechange(Some(&on_gathering.into_js_value().unchecked_into()));
    });
    if peer.ice_gathering_state() != RtcIceGatheringState::Complete {
        JsFuture::from(Promise::race(&Array::of2(&gathered, ended))).await?;
    }
    peer.set_onicegatheringstatechange(None);
    let description = peer
        .local_description()
        .ok_or("the connection was closed meanwhile")?;
    Ok(description.sdp())
}

/// The number of the channel that two of our kind agree on, the native peer as well; those that are announced count from 0 up.
/// Firefox begins with 256 channels, and not everybody lets it have more later.
const AGREED_ID: u16 = 200;
