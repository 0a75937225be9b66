//! The stand-in for a data channel that this browser can't transfer to a worker.
//!
//! The page forwards bytes between the channel and a `MessagePort`, buffers transferred, never copied. On the
//! port an `ArrayBuffer` is data; towards the worker a number is how many bytes the channel holds unsent
//! (the first says that it is open), and `null` says that it is closed. From the worker `null` closes it.

use js_sys::{Array, ArrayBuffer};
use wasm_bindgen::prelude::*;
use web_sys::{MessageChannel, MessageEvent, MessagePort, RtcDataChannel, RtcDataChannelType};

/// Forwards for one channel as long as it lives.
pub(super) struct LinkPort {
    channel: RtcDataChannel,
    port: MessagePort,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_low: Closure<dyn FnMut()>,
    _on_close: Closure<dyn FnMut()>,
    _on_port: Closure<dyn FnMut(MessageEvent)>,
}

impl LinkPort {
    /// Speaks for `channel` on the port that is returned.
    pub(super) fn new(channel: RtcDataChannel) -> Result<(Self, MessagePort), JsValue> {
        let ports = MessageChannel::new()?;
        let port = ports.port1();
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        channel.set_buffered_amount_low_threshold(LOW_WATER);

        let to = port.clone();
        let on_message = Closure::new(move |event: MessageEvent| {
            let data = event.data();
            to.post_message_with_transferable(&data, &Array::of1(&data))
                .unwrap_or_default();
        });
        channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));

        let (to, from) = (port.clone(), channel.clone());
        let on_low = Closure::new(move || {
            to.post_message(&from.buffered_amount().into())
                .unwrap_or_default();
        });
        channel.set_onopen(Some(on_low.as_ref().unchecked_ref()));
        channel.set_onbufferedamountlow(Some(on_low.as_ref().unchecked_ref()));

        let to = port.clone();
        let on_close = Closure::new(move || to.post_message(&JsValue::NULL).unwrap_or_default());
        channel.set_onclose(Some(on_close.as_ref().unchecked_ref()));

        let (to, back) = (channel.clone(), port.clone());
        let on_port = Closure::new(
            move |event: MessageEvent| match event.data().dyn_into::<ArrayBuffer>() {
                Ok(data) => {
                    // A channel that can't take it is closing, and says so itself.
                    to.send_with_array_buffer(&data).unwrap_or_default();
                    back.post_message(&to.buffered_amount().into())
                        .unwrap_or_default();
                }
                Err(_) => to.close(),
            },
        );
        port.set_onmessage(Some(on_port.as_ref().unchecked_ref()));

        let theirs = ports.port2();
        let link_port = Self {
            channel,
            port,
            _on_message: on_message,
            _on_low: on_low,
            _on_close: on_close,
            _on_port: on_port,
        };
        Ok((link_port, theirs))
    }
}

impl Drop for LinkPort {
    fn drop(&mut self) {
        self.channel.set_onmessage(None);
        self.channel.set_onopen(None);
        self.channel.set_onbufferedamountlow(None);
        self.channel.set_onclose(None);
        self.port.set_onmessage(None);
        self.port.close();
    }
}

/// The worker hears of room when the channel holds fewer bytes than this.
const LOW_WATER: u32 = 256 * 1024;
