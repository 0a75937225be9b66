//! What works anywhere on the page: dropping, pasting, and a link put into the address.

use wasm_bindgen::JsCast;
use web_sys::{ClipboardEvent, DataTransfer, DragEvent, Element};

use super::acts::{Acts, window};
use super::view::part::Part;
use super::{address, pick};

/// Listens for as long as the page is there.
pub(super) fn listen(page: &mut Part) {
    let mut on = |kind, act: fn(&Acts, web_sys::Event)| page.listen(window().into(), kind, Box::new(act));
    on("dragover", |acts, event| {
        let event: DragEvent = event.unchecked_into();
        if event.data_transfer().as_ref().is_some_and(is_welcome) {
            // Without it the browser would leave the page for the file.
            event.prevent_default();
            set_dragging(acts, true);
        }
    });
    on("dragleave", |acts, event| {
        if event.unchecked_into::<DragEvent>().related_target().is_none() {
            set_dragging(acts, false);
        }
    });
    on("drop", |acts, event| {
        let event: DragEvent = event.unchecked_into();
        set_dragging(acts, false);
        if let Some(transfer) = event.data_transfer().filter(is_welcome)
            && !is_editable(event.target())
        {
            event.prevent_default();
            take(acts, &transfer);
        }
    });
    on("paste", |acts, event| {
        let event: ClipboardEvent = event.unchecked_into();
        if let Some(transfer) = event.clipboard_data()
            && !is_editable(event.target())
        {
            take(acts, &transfer);
        }
    });
    on("hashchange", |acts, _| acts.open_address());
}

/// Whether something is being dragged over the page; a browser says it many times a second.
fn set_dragging(acts: &Acts, dragging: bool) {
    if acts.read(|state| state.dragging) != dragging {
        acts.update(|state| state.dragging = dragging);
    }
}

/// Files are shared or opened, a link is opened; other text was not meant for us.
fn take(acts: &Acts, transfer: &DataTransfer) {
    let entries = pick::entries(transfer);
    if !entries.is_empty() {
        acts.take(entries);
    } else if let Ok(text) = transfer.get_data("text/plain")
        && address::is_link(&text)
    {
        acts.open(&text);
    }
}

fn is_welcome(transfer: &DataTransfer) -> bool {
    transfer
        .types()
        .iter()
        .any(|kind| kind == "Files" || kind == "text/plain")
}

/// Text that goes into a field belongs to the field.
fn is_editable(target: Option<web_sys::EventTarget>) -> bool {
    target
        .and_then(|target| target.dyn_into::<Element>().ok())
        .is_some_and(|element| element.matches("input, textarea").unwrap_or(false))
}
