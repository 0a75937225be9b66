//! What did not work, until the user has read it.

use leptos::prelude::*;

use super::each;
use crate::page::acts::Acts;

/// The sentences, each with a button that dismisses it.
#[component]
pub(in crate::page) fn Troubles() -> impl IntoView {
    let state = Acts::here().state;
    let ids = move || state.with(|state| state.troubles().iter().map(|trouble| trouble.id).collect());
    let trouble = move |id| {
        let text = state.with_untracked(|state| {
            state
                .troubles()
                .iter()
                .find(|trouble| trouble.id == id)
                .map(|trouble| trouble.text.clone())
        });
        view! {
            <div class="trouble" role="alert">
                <p data-testid="error">{text}</p>
                <button
                    type="button"
                    class="quiet"
                    aria-label="Dismiss"
                    data-testid="dismiss"
                    on:click=move |_| state.update(|state| state.dismiss(id))
                >
                    "✕"
                </button>
            </div>
        }
        .into_any()
    };

    view! { <div class="troubles">{each(ids, trouble)}</div> }
}
