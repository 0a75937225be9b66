//! One tab at a time: two engines on the same stored files would spoil them.
//!
//! The tab that holds the lock of this origin runs Causeway. Every other one waits for it, and hands what it is
//! asked to open to the tab that runs.

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{BroadcastChannel, MessageEvent};

use super::clock::scope;
use super::storage::Library;
use super::{Event, Events, tell};

/// The election, and the channel between the tabs.
pub(super) struct Tabs {
    channel: Option<BroadcastChannel>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_lock: Closure<dyn FnMut(JsValue) -> JsValue>,
}

impl Tabs {
    /// Stands for election: [`Event::Elected`] follows, perhaps after [`Event::OtherTab`] and a long time.
    pub(super) fn new(events: &Events) -> Self {
        let channel = BroadcastChannel::new(NAME).ok();
        let (to, mut elected) = (events.clone(), false);
        let locks = locks();
        let waiting = locks.clone();
        let on_lock = Closure::<dyn FnMut(JsValue) -> JsValue>::new(move |lock: JsValue| {
            if lock.is_null() && !elected {
                tell(&to, Event::OtherTab);
                let Some(locks) = &waiting else {
                    return JsValue::UNDEFINED;
                };
                // The same closure can't be named in here: a second, simple one waits for the lock.
                let (to, refused) = (to.clone(), to.clone());
                let granted = Closure::once_into_js(move |_: JsValue| -> JsValue {
                    restore(to);
                    forever().into()
                });
                run_alone_if_refused(locks.request(NAME, granted.unchecked_ref()), &refused);
                return JsValue::UNDEFINED;
            }
            elected = true;
            restore(to.clone());
            forever().into()
        });
        match &locks {
            Some(locks) => {
                let options = js_sys::Object::new();
                js_sys::Reflect::set(&options, &"ifAvailable".into(), &true.into()).unwrap_or_default();
                let asked = locks.request_with_options(NAME, &options, on_lock.as_ref().unchecked_ref());
                run_alone_if_refused(asked, events);
            }
            // No locks outside of secure contexts, where nothing is stored either.
            None => restore(events.clone()),
        }
        let to = events.clone();
        let on_message = Closure::new(move |event: MessageEvent| {
            if let Some(text) = event.data().as_string() {
                tell(&to, Event::Handed(text));
            }
        });
        if let Some(channel) = &channel {
            channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        }
        Self {
            channel,
            _on_message: on_message,
            _on_lock: on_lock,
        }
    }

    /// Hands what the user wants to open to the tab that runs.
    pub(super) fn hand(&self, text: &str) {
        if let Some(channel) = &self.channel {
            channel.post_message(&text.into()).unwrap_or_default();
        }
    }
}

fn restore(events: Events) {
    spawn_local(async move {
        let restored = Library::restore().await;
        tell(&events, Event::Elected(restored));
    });
}

/// Where the browser gives the page no locks (its cookies are blocked, for example) it stores nothing for it either, so
/// there is nothing to spoil: the tab runs, and its storage says why that is of no use.
fn run_alone_if_refused(asked: Promise, events: &Events) {
    let events = events.clone();
    spawn_local(async move {
        if JsFuture::from(asked).await.is_err() {
            restore(events);
        }
    });
}

/// Holds the lock for as long as the worker lives.
fn forever() -> Promise {
    Promise::new(&mut |_, _| {})
}

fn locks() -> Option<Locks> {
    let navigator = scope().navigator();
    let locks = js_sys::Reflect::get(&navigator, &"locks".into()).ok()?;
    (!locks.is_undefined()).then(|| locks.unchecked_into())
}

#[wasm_bindgen]
extern "C" {
    /// `LockManager`, which web-sys has only as an unstable API.
    #[derive(Clone)]
    type Locks;

    #[wasm_bindgen(method)]
    fn request(this: &Locks, name: &str, granted: &Function) -> Promise;

    #[wasm_bindgen(method, js_name = request)]
    fn request_with_options(this: &Locks, name: &str, options: &JsValue, granted: &Function) -> Promise;
}

/// Of the lock and of the channel.
const NAME: &str = "causeway";
