//! The link that opens a torrent on this page, and ways to pass it on.

use std::time::Duration;

use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{HtmlDocument, HtmlElement};

use super::dynamic;
use crate::page::acts::Acts;
use crate::page::{address, words};
use crate::protocol::TorrentView;

/// The link with a button that copies it, and the magnet link for other programs. To whoever shares their own files it is
/// what they came for; who downloads has come for the files.
#[component]
pub(in crate::page) fn ShareLink(torrent: Memo<TorrentView>) -> impl IntoView {
    let state = Acts::here().state;
    let anchor = NodeRef::<html::A>::new();
    let label = RwSignal::new("Copy link");
    let is_own = torrent.with_untracked(|torrent| torrent.own_files);
    let magnet = move || torrent.with(|torrent| torrent.magnet.clone().unwrap_or_default());
    let link = move || format!("{}#{}", address::base(&address::current()), magnet());

    let copy_link = move |_| {
        let Some(anchor) = anchor.get_untracked() else {
            return;
        };
        spawn_local(async move {
            let was_copied = copy(&anchor.href(), &anchor).await;
            label.set(if was_copied { "Copied" } else { "Selected" });
            let said = if was_copied {
                "The link was copied."
            } else {
                "The browser did not copy the link. It is selected: copy it with the keyboard or the menu."
            };
            state.update(|state| state.announce(said));
            set_timeout(move || label.set("Copy link"), Duration::from_secs(2));
        });
    };

    view! {
        <div class="link">
            <a node_ref=anchor class="address" data-testid="share-link" href=dynamic(link)>{dynamic(link)}</a>
            <button
                type="button"
                class:main=is_own
                aria-label=dynamic(move || torrent.with(|torrent| words::of(label.get(), torrent)))
                data-testid="copy-link"
                on:click=copy_link
            >
                {dynamic(move || label.get().to_owned())}
            </button>
            <a class="magnet" data-testid="magnet-link" href=dynamic(magnet)>"Magnet link"</a>
        </div>
    }
}

/// Copies the text. Where the browser offers no clipboard (an address without https), what is copied is the
/// selected element, which stays selected where even that fails.
async fn copy(text: &str, element: &HtmlElement) -> bool {
    let clipboard = window().navigator().clipboard();
    if !JsValue::from(&clipboard).is_undefined() && JsFuture::from(clipboard.write_text(text)).await.is_ok() {
        return true;
    }
    if let Ok(Some(selection)) = window().get_selection() {
        selection.select_all_children(element).unwrap_or_default();
    }
    document()
        .unchecked_into::<HtmlDocument>()
        .exec_command("copy")
        .unwrap_or(false)
}
