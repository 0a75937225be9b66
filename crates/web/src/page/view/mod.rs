//! The components that the page is put together from.

// What Leptos generates for a component's properties is `pub` whatever the component is.
#![expect(unreachable_pub, reason = "generated code")]

mod dynamic;
mod file_list;
mod intake;
mod removal;
mod share_link;
mod torrent;
mod troubles;

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use self::dynamic::{dynamic, each, when};
use self::intake::Intake;
use self::removal::RemovalDialog;
use self::torrent::TorrentCard;
use self::troubles::Troubles;
use super::acts::Acts;
use super::gestures;
use super::state::Phase;
use crate::protocol::TorrentId;

/// The whole page, whose context holds its [`Acts`].
#[component]
pub(super) fn App() -> impl IntoView {
    let acts = Acts::here();
    let state = acts.state;
    let dragging = gestures::listen(acts);
    let ids = move || state.with(|state| state.newest_first().map(|id| id.0).collect());
    let card = move |id| {
        let first = state.with_untracked(|state| state.torrent(TorrentId(id)).cloned());
        first.map(|first| view! { <TorrentCard first/> }).into_any()
    };
    Effect::new(move |before: Option<usize>| {
        let now = state.with(|state| state.newest_first().count() + state.troubles().len());
        if before.is_some_and(|before| now < before) {
            request_animation_frame(catch_focus);
        }
        now
    });
    let is_other_tab = move || state.with(|state| state.phase == Phase::OtherTab);

    view! {
        <Troubles/>
        {when(is_other_tab, || view! { <OtherTab/> }.into_any())}
        <Intake/>
        <section class="torrents" id="torrents" aria-label="Your files" tabindex="-1">
            {each(ids, card)}
        </section>
        <RemovalDialog/>
        <p class="unseen" role="status">{dynamic(move || state.with(|state| state.announcement().to_owned()))}</p>
        <div class="drop-hint" class:shown=dynamic(move || dragging.get()) aria-hidden="true">
            <p>"Drop to share"</p>
        </div>
    }
}

/// Somebody at the keyboard whose torrent or trouble has gone, and the focus with it, goes on at the list.
fn catch_focus() {
    if document().active_element() == document().body().map(Into::into) {
        focus("torrents");
    }
}

/// Brings a torrent into sight, if it is there.
pub(super) fn show_torrent(id: TorrentId) {
    focus(&torrent::element_id(id));
}

fn focus(id: &str) {
    let element = document().get_element_by_id(id);
    if let Some(element) = element.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
        element.focus().unwrap_or_default();
    }
}

#[component]
fn OtherTab() -> impl IntoView {
    view! {
        <section class="other-tab" role="status" data-testid="other-tab">
            <h2>"Causeway runs in another tab"</h2>
            <p>
                "That tab holds your torrents. A link that you open here is handed to it; \
                 when you close it, this tab takes over."
            </p>
        </section>
    }
}
