//! Puts the page into its document: a view of [`State`], which the worker's notices and the user's acts change.

use js_sys::Reflect;
use wasm_bindgen::JsCast;
use web_sys::{File, HtmlElement};

use super::acts::{Acts, document, window};
use super::save::Downloads;
use super::worker_handle::WorkerHandle;
use crate::protocol::Notice;

/// Shows the page in the document's `#app` and starts the worker.
pub(crate) fn mount(worker: WorkerHandle) {
    let Some(place) = document().get_element_by_id("app") else {
        return;
    };
    let acts = Acts::new(worker);
    if !has_web_rtc() {
        acts.complain(
            "This browser has no WebRTC, or it is switched off, so it can't connect to anybody. \
             Switch it on or use another browser to send and receive; what is already here can be saved.",
        );
    }
    // The page lives as long as its document: listeners of its own hold it.
    acts.show(place.unchecked_ref::<HtmlElement>());

    let mut downloads = Downloads::default();
    let on_notice = acts.clone();
    acts.start_worker(move |notice, beside| match notice {
        Notice::File { name } => downloads.start(name, beside.unchecked_into::<File>()),
        Notice::Ready { .. } => {
            on_notice.update(|state| state.handle_notice(notice));
            on_notice.open_address();
        }
        Notice::OtherTab
        | Notice::TakenOver
        | Notice::Torrents(_)
        | Notice::Files(..)
        | Notice::FileProgress(..)
        | Notice::Error(_)
        | Notice::CreateOffer(..)
        | Notice::AcceptOffer(..)
        | Notice::AcceptAnswer(..)
        | Notice::CloseConnection(_) => on_notice.update(|state| state.handle_notice(notice)),
    });
}

fn has_web_rtc() -> bool {
    Reflect::has(&window(), &"RTCPeerConnection".into()).unwrap_or(false)
}
