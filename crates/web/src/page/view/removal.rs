//! The question before something downloaded is deleted.

use leptos::html;
use leptos::prelude::*;

use crate::page::acts::Acts;
use crate::page::format;
use crate::page::state::{self, State};

/// A modal dialog while a removal waits for the user's word.
#[component]
pub(in crate::page) fn RemovalDialog() -> impl IntoView {
    let acts = Acts::here();
    let state = acts.state;
    let dialog = NodeRef::<html::Dialog>::new();
    let leaving = Memo::new(move |_| state.with(|state| state.leaving().map(|torrent| torrent.id)));
    let question = move || {
        leaving.get()?;
        state.with_untracked(|state| {
            let torrent = state.leaving()?;
            let downloaded = format::bytes(state::downloaded(torrent));
            Some((format!("Remove “{}”?", torrent.name), format!("The {downloaded} that were downloaded for it are deleted from this browser. Files that you saved stay where they are.")))
        })
    };

    Effect::new(move || {
        let Some(dialog) = dialog.get() else { return };
        if leaving.get().is_some() {
            // Fails only where it is open already.
            dialog.show_modal().unwrap_or_default();
        } else {
            dialog.close();
        }
    });

    view! {
        <dialog
            node_ref=dialog
            class="question"
            aria-labelledby="removal-title"
            on:close=move |_| state.update(State::cancel_removal)
        >
            <h2 id="removal-title">{move || question().map(|(title, _)| title)}</h2>
            <p>{move || question().map(|(_, text)| text)}</p>
            <div class="buttons">
                <button type="button" data-testid="cancel-remove" on:click=move |_| state.update(State::cancel_removal)>
                    "Keep it"
                </button>
                <button
                    type="button"
                    class="danger"
                    data-testid="confirm-remove"
                    on:click=move |_| acts.perform(State::confirm_removal)
                >
                    "Remove and delete"
                </button>
            </div>
        </dialog>
    }
}
