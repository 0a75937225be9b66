//! The browser peer: the page and the worker behind it, in one WebAssembly module.

#![forbid(unsafe_code)]

pub mod protocol;
