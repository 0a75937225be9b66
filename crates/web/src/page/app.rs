//! The whole page: a view of [`State`], which the worker's notices and the user's acts change.

use leptos::mount::mount_to;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{File, HtmlElement};

use super::acts::Acts;
use super::gestures;
use super::save::Downloads;
use super::state::{Phase, State};
use super::view::{Intake, RemovalDialog, TorrentCard, Troubles};
use super::worker_handle::WorkerHandle;
use crate::protocol::Notice;

/// Shows the page in the document's `#app` and starts the worker.
pub(crate) fn mount(worker: WorkerHandle) {
    let Some(place) = document().get_element_by_id("app") else {
        return;
    };
    let acts = Acts::new(RwSignal::new(State::default()), worker.clone());
    if !has_web_rtc() {
        acts.complain(
            "This browser has no WebRTC, or it is switched off, so it can't connect to anybody. \
             Switch it on or use another browser to send and receive; what is already here can be saved.",
        );
    }
    // The page lives as long as its document.
    mount_to(
        place.unchecked_into::<HtmlElement>(),
        move || view! { <App acts/> },
    )
    .forget();

    let mut downloads = Downloads::default();
    worker.start(move |notice, beside| match notice {
        Notice::File { name } => downloads.start(name, beside.unchecked_into::<File>()),
        Notice::Ready { .. } => {
            acts.state.update(|state| state.handle_notice(notice));
            acts.open_address();
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
        | Notice::CloseConnection(_) => acts.state.update(|state| state.handle_notice(notice)),
    });
}

fn has_web_rtc() -> bool {
    js_sys::Reflect::has(&window(), &"RTCPeerConnection".into()).unwrap_or(false)
}

#[component]
fn App(acts: Acts) -> impl IntoView {
    provide_context(acts);
    let dragging = gestures::listen(acts);
    let state = acts.state;
    let torrents = Memo::new(move |_| state.with(State::newest_first));
    let announcement = Memo::new(move |_| state.with(|state| state.announcement().to_owned()));
    let is_other_tab = Memo::new(move |_| state.with(|state| state.phase == Phase::OtherTab));

    view! {
        <Troubles/>
        <Show when=move || is_other_tab.get()>
            <section class="other-tab" role="status" data-testid="other-tab">
                <h2>"Causeway runs in another tab"</h2>
                <p>
                    "That tab holds your torrents. A link that you open here is handed to it; \
                     when you close it, this one takes over."
                </p>
            </section>
        </Show>
        <Intake is_first=Signal::derive(move || torrents.with(Vec::is_empty))/>
        <section class="torrents" id="torrents" aria-label="Your files" tabindex="-1">
            <For
                each=move || torrents.get()
                key=|id| *id
                children=move |id| {
                    let first = state.with_untracked(|state| state.torrent(id).cloned());
                    first.map(|first| view! { <TorrentCard first/> })
                }
            />
        </section>
        <RemovalDialog/>
        <p class="unseen" role="status">{move || announcement.get()}</p>
        <div class="drop-hint" class:shown=move || dragging.get() aria-hidden="true">
            <p>"Drop to share"</p>
        </div>
    }
}
