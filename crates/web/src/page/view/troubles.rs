//! What did not work, until the user has read it.

use leptos::prelude::*;

use crate::page::acts::Acts;
use crate::page::state::State;

/// The sentences, each with a button that dismisses it.
#[component]
pub(in crate::page) fn Troubles() -> impl IntoView {
    let state = Acts::here().state;
    let troubles = Memo::new(move |_| state.with(State::troubles));

    view! {
        <div class="troubles">
            <For each=move || troubles.get() key=|trouble| trouble.id let(trouble)>
                <div class="trouble" role="alert">
                    <p data-testid="error">{trouble.text}</p>
                    <button
                        type="button"
                        class="quiet"
                        data-testid="dismiss"
                        on:click=move |_| state.update(|state| state.dismiss(trouble.id))
                    >
                        "Dismiss"
                    </button>
                </div>
            </For>
        </div>
    }
}
