//! The WebSocket tracker, spoken to over real sockets.

mod access;
mod client;
mod floods;
mod hostile;
mod protocol;
