//! The worker's clock and its one alarm.

use causeway_core::Time;
use js_sys::global;
use wasm_bindgen::prelude::*;
use web_sys::DedicatedWorkerGlobalScope;

use super::{Event, Events, tell};

/// The scope of this worker.
pub(super) fn scope() -> DedicatedWorkerGlobalScope {
    global().unchecked_into()
}

/// Now, counted from the start of the worker.
pub(super) fn now() -> Time {
    let millis = scope().performance().map_or(0.0, |performance| performance.now());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive count of microseconds"
    )]
    Time::from_micros((millis * 1_000.0) as u64)
}

/// Rings at the moment that it was set to, or earlier.
pub(super) struct Alarm {
    callback: Closure<dyn FnMut()>,
    set: Option<(Time, i32)>,
}

impl Alarm {
    /// Not set yet; says [`Event::Alarm`] when it rings.
    pub(super) fn new(events: Events) -> Self {
        Self {
            callback: Closure::new(move || tell(&events, Event::Alarm)),
            set: None,
        }
    }

    /// It has rung, perhaps before the moment it was set to: a browser's clock is coarse, and not always right.
    pub(super) fn rang(&mut self) {
        self.set = None;
    }

    /// Rings at `at` if not before; where there is none it need not ring.
    ///
    /// One that is set to ring earlier stays: deadlines move away all the time, and to be set again when it has
    /// rung costs less than to be set again for each of them.
    pub(super) fn set(&mut self, at: Option<Time>, now: Time) {
        let Some(at) = at else { return };
        if self.set.is_some_and(|(set, _)| now < set && set <= at) {
            return;
        }
        if let Some((_, handle)) = self.set.take() {
            scope().clear_timeout_with_handle(handle);
        }
        // Rounded up: an alarm that rings early would only be set again.
        let wait = i32::try_from(at.since(now).as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
        let callback = self.callback.as_ref().unchecked_ref();
        let handle = scope().set_timeout_with_callback_and_timeout_and_arguments_0(callback, wait);
        self.set = handle.ok().map(|handle| (at, handle));
    }
}
