//! The HTTP and the UDP door, spoken to over real sockets; and both beside the WebSocket door.

mod http;
mod server;
mod udp;
