//! The WebSocket tracker, spoken to over real sockets.

mod client;
mod hostile;
mod protocol;
