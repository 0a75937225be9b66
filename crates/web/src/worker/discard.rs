//! Giving memory of the browser back at once.
//!
//! What a data channel or a file brings lies in a buffer that Chromium keeps until its collector runs: in a worker that has next to
//! no objects of JavaScript's own that is after more than a hundred megabytes, and that a script detaches the buffer
//! changes nothing. What is sent to a worker that has ended, though, is nobody's any more.

use js_sys::{Array, ArrayBuffer};
use wasm_bindgen::JsValue;
use web_sys::Worker;

use super::clock::scope;

thread_local! {
    /// A worker that was ended before it began; `None` where a worker can't make workers, whose buffers are collected later.
    static NOBODY: Option<Worker> = {
        let worker = Worker::new(&scope().location().href()).ok();
        worker.inspect(Worker::terminate)
    };
}

/// Frees the buffer, which is empty from now on.
pub(super) fn discard(buffer: &ArrayBuffer) {
    NOBODY.with(|nobody| {
        if let Some(nobody) = nobody {
            let sent = nobody.post_message_with_transfer(&JsValue::NULL, &Array::of1(buffer));
            // Then it is collected later.
            sent.unwrap_or_default();
        }
    });
}
