//! SHA-1 by the browser: native code on another thread. Where it has none for this page (a page that is neither
//! on https nor on localhost), by our own.

use causeway_core::Sha1Hash;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen_futures::JsFuture;
use web_sys::SubtleCrypto;

use super::clock::scope;

/// A hash on its way; the bytes have been taken.
pub(super) enum Digest {
    Pending(Promise),
    Done(Sha1Hash),
}

/// Starts to hash `bytes`, which may be changed when this returns.
pub(super) fn start(bytes: &[u8]) -> Digest {
    let pending = subtle().and_then(|subtle| subtle.digest_with_str_and_u8_array("SHA-1", bytes).ok());
    pending.map_or_else(|| Digest::Done(causeway_core::sha1(bytes)), Digest::Pending)
}

/// The same for bytes that lie in a buffer of the browser.
pub(super) fn start_js(bytes: &Uint8Array) -> Digest {
    let pending = subtle().and_then(|subtle| subtle.digest_with_str_and_js_u8_array("SHA-1", bytes).ok());
    pending.map_or_else(
        || Digest::Done(causeway_core::sha1(&bytes.to_vec())),
        Digest::Pending,
    )
}

impl Digest {
    /// Waits for it. `None` where the browser failed at it, as it may when memory is short.
    pub(super) async fn finish(self) -> Option<Sha1Hash> {
        match self {
            Self::Pending(promise) => {
                let digest = JsFuture::from(promise).await.ok()?;
                Sha1Hash::try_from(Uint8Array::new(&digest).to_vec().as_slice()).ok()
            }
            Self::Done(hash) => Some(hash),
        }
    }
}

fn subtle() -> Option<SubtleCrypto> {
    // Absent outside of secure contexts, where the bindings promise it all the same.
    let subtle = scope().crypto().ok()?.subtle();
    (!subtle.is_undefined()).then_some(subtle)
}
