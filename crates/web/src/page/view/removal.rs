//! The question before something downloaded is deleted.

use leptos::html;
use leptos::prelude::*;

use super::dynamic;
use crate::page::acts::Acts;
use crate::page::state::State;
use crate::page::words;
use crate::protocol::TorrentView;

/// A modal dialog while a removal waits for the user's word.
#[component]
pub(in crate::page) fn RemovalDialog() -> impl IntoView {
    let acts = Acts::here();
    let state = acts.state;
    let dialog = NodeRef::<html::Dialog>::new();
    let is_asking = Memo::new(move |_| state.with(|state| state.leaving().is_some()));
    let of_leaving = move |words: fn(&TorrentView) -> String| {
        let read = move |state: &State| state.leaving().map(words).unwrap_or_default();
        dynamic(move || is_asking.with(|_| state.with_untracked(read)))
    };

    Effect::new(move || {
        let Some(dialog) = dialog.get() else { return };
        if is_asking.get() {
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
            <h2 id="removal-title">{of_leaving(words::removal_question)}</h2>
            <p>{of_leaving(words::removal_consequence)}</p>
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
