//! Puts the page into its document: a view of [`State`], which the worker's notices and the user's acts change.

use leptos::mount::mount_to;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{File, HtmlElement};

use super::acts::Acts;
use super::save::Downloads;
use super::state::State;
use super::view::{self, App};
use super::worker_handle::WorkerHandle;
use crate::protocol::Notice;

/// Shows the page in the document's `#app` and starts the worker.
pub(crate) fn mount(worker: WorkerHandle) {
    let Some(place) = document().get_element_by_id("app") else {
        return;
    };
    let acts = Acts::new(RwSignal::new(State::default()), worker);
    if !has_web_rtc() {
        acts.complain(
            "This browser has no WebRTC, or it is switched off, so it can't connect to anybody. \
             Switch it on or use another browser to send and receive; what is already here can be saved.",
        );
    }
    // The page lives as long as its document.
    mount_to(place.unchecked_into::<HtmlElement>(), move || {
        provide_context(acts);
        view! { <App/> }
    })
    .forget();

    let mut downloads = Downloads::default();
    acts.start_worker(move |notice, beside| match notice {
        Notice::File { name } => downloads.start(name, beside.unchecked_into::<File>()),
        // The worker of a tab that waits hands the link on.
        Notice::Ready { .. } | Notice::OtherTab => {
            acts.state.update(|state| state.handle_notice(notice));
            acts.open_address();
        }
        Notice::Known(id) => {
            acts.state.update(|state| state.handle_notice(notice));
            view::show_torrent(id);
        }
        Notice::TakenOver
        | Notice::Torrents(_)
        | Notice::Files(..)
        | Notice::FileProgress(..)
        | Notice::Error(_)
        | Notice::CreateOffer(..)
        | Notice::AcceptOffer(..)
        | Notice::AcceptAnswer(..)
        | Notice::EndGathering(_)
        | Notice::CloseConnection(_) => acts.state.update(|state| state.handle_notice(notice)),
    });
}

fn has_web_rtc() -> bool {
    js_sys::Reflect::has(&window(), &"RTCPeerConnection".into()).unwrap_or(false)
}
