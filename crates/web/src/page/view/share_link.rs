//! The link that opens a torrent on this page, and ways to pass it on.

use std::time::Duration;

use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{HtmlAnchorElement, HtmlDocument, HtmlElement};

use super::part::Part;
use crate::page::acts::{Acts, after, document, window};
use crate::page::address;
use crate::page::state::State;
use crate::page::words;
use crate::protocol::TorrentId;

/// The link with a button that copies it, and the magnet link for other programs.
pub(super) fn share_link(acts: &Acts, id: TorrentId) -> Part {
    let mut part = Part::new(
        acts,
        r#"
        <div class="link">
            <a class="address" data-testid="share-link"></a>
            <button type="button" class="main" data-testid="copy-link"></button>
            <a class="magnet" data-testid="magnet-link">Magnet link</a>
        </div>"#,
    );
    let magnet = move |state: &State| state.torrent(id).and_then(|torrent| torrent.magnet.clone());
    let base = address::base(&address::current()).to_owned() + "#";
    let link = move |state: &State| base.clone() + &magnet(state).unwrap_or_default();

    part.text(".address", link.clone());
    part.attribute(".address", "href", move |state| Some(link(state)));
    part.attribute(".magnet", "href", magnet);
    part.text("button", move |state| {
        words::copy_button(state.copied(id)).to_owned()
    });
    let anchor: HtmlAnchorElement = part.find(".address").unchecked_into();
    part.on("button", "click", move |acts, _| {
        let (acts, anchor) = (acts.clone(), anchor.clone());
        spawn_local(async move {
            let was_copied = copy(&anchor.href(), &anchor).await;
            acts.update(|state| state.set_copied(id, was_copied));
            after(Duration::from_secs(2), move || acts.update(State::forget_copied));
        });
    });
    part
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
