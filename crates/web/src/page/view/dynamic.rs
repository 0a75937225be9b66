//! The parts of a view that change.
//!
//! Leptos compiles what drives a changing part anew for every type of closure. Behind a pointer they all have one
//! type, which makes the whole page a third smaller.

use std::sync::{Arc, Mutex};

use leptos::prelude::*;
use leptos::tachys::reactive_graph::SharedReactiveFunction;

/// A text, an attribute or a property that changes with what `part` reads.
pub(super) fn dynamic<T>(part: impl FnMut() -> T + Send + 'static) -> SharedReactiveFunction<T> {
    Arc::new(Mutex::new(part))
}

/// A view that is there while `condition` holds, and stays the same for as long.
pub(super) fn when(
    condition: impl Fn() -> bool + Send + Sync + 'static,
    view: impl Fn() -> AnyView + Send + 'static,
) -> SharedReactiveFunction<Option<AnyView>> {
    let condition = Memo::new(move |_| condition());
    dynamic(move || condition.get().then(&view))
}

/// A view for every number; one whose number stays is kept as it is.
pub(super) fn each(
    numbers: impl Fn() -> Vec<u32> + Send + Sync + 'static,
    view: impl Fn(u32) -> AnyView + Send + Sync + 'static,
) -> AnyView {
    each_of(Memo::new(move |_| numbers()), Arc::new(view))
}

fn each_of(numbers: Memo<Vec<u32>>, view: Arc<dyn Fn(u32) -> AnyView + Send + Sync>) -> AnyView {
    view! { <For each=move || numbers.get() key=|number| *number children=move |number| view(number)/> }
        .into_any()
}
