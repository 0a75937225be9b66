//! The question before something downloaded is deleted.

use wasm_bindgen::JsCast;
use web_sys::HtmlDialogElement;

use super::part::Part;
use crate::page::acts::Acts;
use crate::page::state::State;
use crate::page::words;

/// A modal dialog while a removal waits for the user's word.
pub(super) fn dialog(acts: &Acts) -> Part {
    let mut part = Part::new(
        acts,
        r#"
        <dialog class="question" aria-labelledby="removal-title">
            <h2 id="removal-title"></h2>
            <p></p>
            <div class="buttons">
                <button type="button" data-testid="cancel-remove">Keep it</button>
                <button type="button" class="danger" data-testid="confirm-remove">Remove and delete</button>
            </div>
        </dialog>"#,
    );
    let dialog: HtmlDialogElement = part.root().clone().unchecked_into();
    let (question, consequence) = (part.find("h2"), part.find("p"));
    part.watch(move |state| match state.leaving() {
        Some(torrent) if !dialog.open() => {
            question.set_text_content(Some(&words::removal_question(torrent)));
            consequence.set_text_content(Some(&words::removal_consequence(torrent)));
            // Fails only where it is open already.
            dialog.show_modal().unwrap_or_default();
        }
        None if dialog.open() => dialog.close(),
        Some(_) | None => {}
    });
    part.on("", "close", |acts, _| acts.update(State::cancel_removal));
    part.on("[data-testid=cancel-remove]", "click", |acts, _| {
        acts.update(State::cancel_removal);
    });
    part.on("[data-testid=confirm-remove]", "click", |acts, _| {
        acts.perform(State::confirm_removal);
    });
    part
}
