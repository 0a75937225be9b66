//! The worker's end of the conversation with the page.

use js_sys::Array;
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::MessageEvent;

use super::clock::scope;
use super::{Event, Events, tell};
use crate::protocol::{Notice, Request};

/// Speaks to the page, and turns what it says into events.
pub(super) struct PagePort {
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

impl PagePort {
    /// Listens from now on.
    pub(super) fn new(events: Events) -> Self {
        let on_message = Closure::new(move |event: MessageEvent| {
            let message = event.data().unchecked_into::<Array>();
            if let Ok(request) = serde_wasm_bindgen::from_value::<Request>(message.get(0)) {
                tell(&events, Event::Page(request, message.get(1)));
            }
        });
        scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Self {
            _on_message: on_message,
        }
    }

    /// Tells the page something.
    #[expect(
        clippy::unused_self,
        reason = "there is a page to speak to only while the port lives"
    )]
    pub(super) fn send(&self, notice: &Notice) {
        post(notice, &JsValue::UNDEFINED);
    }

    /// Tells the page something that goes with a browser object, which is cloned.
    #[expect(
        clippy::unused_self,
        reason = "there is a page to speak to only while the port lives"
    )]
    pub(super) fn send_with(&self, notice: &Notice, beside: &JsValue) {
        post(notice, beside);
    }
}

fn post(notice: &Notice, beside: &JsValue) {
    // Notices are plain data and files can be cloned: neither step fails.
    if let Ok(notice) = notice.serialize(&serde_wasm_bindgen::Serializer::new()) {
        scope()
            .post_message(&Array::of2(&notice, beside))
            .unwrap_or_default();
    }
}
