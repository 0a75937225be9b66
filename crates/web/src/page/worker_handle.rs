//! The page's end of the conversation with the worker.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use js_sys::{Array, Reflect};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, PageTransitionEvent};

use super::connections::Connections;
use crate::protocol::{Notice, Request};

/// A handle to the worker; clones speak to the same one.
#[derive(Clone)]
pub(crate) struct WorkerHandle {
    inner: Rc<Inner>,
}

struct Inner {
    worker: web_sys::Worker,
    trackers: Vec<String>,
    web_origins: Vec<String>,
    gateway: Option<(String, String)>,
    connections: RefCell<Connections>,
    on_message: RefCell<Option<OnMessage>>,
    on_leave: RefCell<Option<OnLeave>>,
}

type OnMessage = Closure<dyn FnMut(MessageEvent)>;
type OnLeave = Closure<dyn FnMut(PageTransitionEvent)>;

impl fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerHandle").finish_non_exhaustive()
    }
}

impl WorkerHandle {
    /// Takes the worker and the page's configuration, `{trackers: [URL], iceServers: [...], webSeeds: [ORIGIN],
    /// gateway: {peerId, webSeed}}`; nothing is sent yet.
    pub(crate) fn new(worker: web_sys::Worker, config: &JsValue) -> Self {
        let field = |name: &str| Reflect::get(config, &name.into()).unwrap_or_default();
        let list = |name: &str| -> Vec<String> {
            let list = field(name).dyn_into::<Array>().unwrap_or_default();
            list.iter().filter_map(|text| text.as_string()).collect()
        };
        let trackers = list("trackers")
            .iter()
            .filter_map(|url| tracker_url(url))
            .collect();
        let web_origins = list("webSeeds");
        let gateway = field("gateway");
        let gateway = |name: &str| Reflect::get(&gateway, &name.into()).ok()?.as_string();
        let gateway = gateway("peerId").zip(gateway("webSeed"));
        let inner = Rc::new_cyclic(|inner| {
            let inner = inner.clone();
            let tell_worker = move |request: Request, beside: &JsValue, transfer: &Array| {
                inner
                    .upgrade()
                    .map_or(Ok(()), |inner: Rc<Inner>| inner.post(&request, beside, transfer))
            };
            let connections = Connections::new(&field("iceServers"), Rc::new(tell_worker));
            Inner {
                worker,
                trackers,
                web_origins,
                gateway,
                connections: connections.into(),
                on_message: RefCell::default(),
                on_leave: RefCell::default(),
            }
        });
        Self { inner }
    }

    /// Starts the worker. `on_notice` gets every notice that is for the user, with the browser object that came
    /// beside it.
    pub(crate) fn start(&self, mut on_notice: impl FnMut(Notice, JsValue) + 'static) {
        let inner = Rc::downgrade(&self.inner);
        let on_message = Closure::new(move |event: MessageEvent| {
            let Some(inner) = inner.upgrade() else { return };
            let message = event.data().unchecked_into::<Array>();
            let Ok(notice) = serde_wasm_bindgen::from_value::<Notice>(message.get(0)) else {
                return;
            };
            match notice {
                Notice::CreateOffer(id, label) => inner.connections.borrow_mut().create_offer(id, &label),
                Notice::AcceptOffer(id, sdp, channel) => {
                    inner.connections.borrow_mut().accept_offer(id, sdp, channel);
                }
                Notice::AcceptAnswer(id, sdp) => inner.connections.borrow_mut().accept_answer(id, sdp),
                Notice::EndGathering(id) => inner.connections.borrow().end_gathering(id),
                Notice::CloseConnection(id) => inner.connections.borrow_mut().close(id),
                Notice::Ready { .. }
                | Notice::OtherTab
                | Notice::TakenOver
                | Notice::Torrents(_)
                | Notice::Files(..)
                | Notice::FileProgress(..)
                | Notice::Known(_)
                | Notice::Error(_)
                | Notice::File { .. } => on_notice(notice, message.get(1)),
            }
        });
        self.inner
            .worker
            .set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        self.inner.on_message.replace(Some(on_message));
        self.close_when_left();
        self.send(&Request::Start {
            trackers: self.inner.trackers.clone(),
            web_origins: self.inner.web_origins.clone(),
            gateway: self.inner.gateway.clone(),
        });
    }

    /// A page that goes for good closes its connections: the other sides need not wait until they miss it.
    fn close_when_left(&self) {
        let inner = Rc::downgrade(&self.inner);
        let on_leave = OnLeave::new(move |event: PageTransitionEvent| {
            if let Some(inner) = inner.upgrade().filter(|_| !event.persisted()) {
                inner.connections.borrow_mut().close_all();
            }
        });
        if let Some(window) = web_sys::window() {
            window
                .add_event_listener_with_callback("pagehide", on_leave.as_ref().unchecked_ref())
                .unwrap_or_default();
        }
        self.inner.on_leave.replace(Some(on_leave));
    }

    /// Asks the worker for something.
    pub(crate) fn send(&self, request: &Request) {
        self.send_with(request, &JsValue::UNDEFINED);
    }

    /// Asks the worker for something that goes with browser objects, which are cloned.
    pub(crate) fn send_with(&self, request: &Request, beside: &JsValue) {
        // Only what can't be cloned fails here, and files and buffers can.
        self.inner
            .post(request, beside, &Array::new())
            .unwrap_or_default();
    }
}

impl Inner {
    fn post(&self, request: &Request, beside: &JsValue, transfer: &Array) -> Result<(), JsValue> {
        let request = request.serialize(&serde_wasm_bindgen::Serializer::new())?;
        self.worker
            .post_message_with_transfer(&Array::of2(&request, beside), transfer)
    }
}

/// A tracker's absolute `ws:` or `wss:` URL; relative ones are meant from where the page lies.
fn tracker_url(url: &str) -> Option<String> {
    let base = web_sys::window()?.location().href().ok()?;
    let url = web_sys::Url::new_with_base(url, &base).ok()?;
    match url.protocol().as_str() {
        "http:" => url.set_protocol("ws:"),
        "https:" => url.set_protocol("wss:"),
        _ => {}
    }
    Some(url.href())
}
