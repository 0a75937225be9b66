//! What did not work, until the user has read it.

use super::part::Part;
use crate::page::acts::Acts;
use crate::page::state::State;

/// The sentences, each with a button that dismisses it.
pub(super) fn troubles(acts: &Acts) -> Part {
    let mut troubles = Part::new(acts, r#"<div class="troubles"><slot></slot></div>"#);
    let acts = acts.clone();
    troubles.each(
        "slot",
        |state| state.troubles().iter().map(|trouble| trouble.id).collect(),
        move |id, state| trouble(&acts, id, state),
    );
    troubles
}

fn trouble(acts: &Acts, id: u32, state: &State) -> Part {
    let mut part = Part::new(
        acts,
        r#"
        <div class="trouble" role="alert">
            <p data-testid="error"></p>
            <button type="button" class="quiet" aria-label="Dismiss" data-testid="dismiss">✕</button>
        </div>"#,
    );
    let text = state.troubles().iter().find(|trouble| trouble.id == id);
    part.find("p")
        .set_text_content(text.map(|trouble| trouble.text.as_str()));
    part.on("button", "click", move |acts, _| {
        acts.update(|state| state.dismiss(id))
    });
    part
}
