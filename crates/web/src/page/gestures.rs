//! What works anywhere on the page: dropping, pasting, a link put into the address, and leaving.

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{DataTransfer, Element};

use super::acts::Acts;
use super::state::State;
use super::{address, pick};

/// Listens until the calling component goes; tells whether something is being dragged over the page.
pub(super) fn listen(acts: Acts) -> ReadSignal<bool> {
    let (dragging, set_dragging) = signal(false);
    let over = window_event_listener(ev::dragover, move |event| {
        if event
            .data_transfer()
            .is_some_and(|transfer| is_welcome(&transfer))
        {
            // Without it the browser would leave the page for the file.
            event.prevent_default();
            set_dragging.maybe_update(|dragging| !std::mem::replace(dragging, true));
        }
    });
    let leave = window_event_listener(ev::dragleave, move |event| {
        if event.related_target().is_none() {
            set_dragging.set(false);
        }
    });
    let drop = window_event_listener(ev::drop, move |event| {
        set_dragging.set(false);
        // No field takes files: the browser would leave the page for them wherever they are dropped.
        if let Some(transfer) = event.data_transfer().filter(is_welcome)
            && (has(&transfer, "Files") || !is_editable(event.target()))
        {
            event.prevent_default();
            take(acts, &transfer);
        }
    });
    let paste = window_event_listener(ev::paste, move |event| {
        if let Some(transfer) = event.clipboard_data()
            && !is_editable(event.target())
        {
            take(acts, &transfer);
        }
    });
    let address = window_event_listener(ev::hashchange, move |_| acts.open_address());
    let leaving = window_event_listener(ev::beforeunload, move |event| {
        if acts.state.with_untracked(State::is_missed) {
            // The browser asks, in its own words.
            event.prevent_default();
        }
    });
    on_cleanup(move || {
        for listener in [over, leave, drop, paste] {
            listener.remove();
        }
        address.remove();
        leaving.remove();
    });
    dragging
}

/// Files are shared or opened, a link is opened; other text was not meant for us.
fn take(acts: Acts, transfer: &DataTransfer) {
    let entries = pick::entries(transfer);
    // What lies in no folder, a copied picture for example, has no entry.
    let files = transfer.files().map(|list| pick::from_list(&list));
    let files = files.unwrap_or_default();
    if !entries.is_empty() {
        acts.take(entries);
    } else if !files.is_empty() {
        acts.share(files);
    } else if let Ok(text) = transfer.get_data("text/plain")
        && address::is_link(&text)
    {
        acts.open(&text);
    }
}

fn is_welcome(transfer: &DataTransfer) -> bool {
    has(transfer, "Files") || has(transfer, "text/plain")
}

fn has(transfer: &DataTransfer, kind: &str) -> bool {
    transfer.types().iter().any(|other| other == kind)
}

/// Text that goes into a field belongs to the field.
fn is_editable(target: Option<web_sys::EventTarget>) -> bool {
    target
        .and_then(|target| target.dyn_into::<Element>().ok())
        .is_some_and(|element| element.matches("input, textarea").unwrap_or(false))
}
