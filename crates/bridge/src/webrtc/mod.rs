//! WebRTC peers, browsers among them: a native endpoint for any number of connections with one data channel each.
//!
//! [`Endpoint`] runs in a task of its own. It is asked for offers and answers and tells of links ([`Event`]); who
//! carries descriptions between peers is not its business.
//!
//! - All connections share one UDP port and one certificate. `routes` tells their packets apart. Two programs of this kind
//!   would have the same pair of addresses for each of their connections, so answers between them come from a few further
//!   ports.
//! - An offer is a text and a password until somebody answers it: it has no connection, no socket, no timer.
//! - Who can't be reached directly is reached by a relay (`turn`), if there is one: an address that stands for this machine, and
//!   whose packets are unwrapped before anything else looks at them.
//! - Descriptions are complete when they are sent, because WebTorrent has no way to send candidates later.
//! - What a stranger writes is bounded: the description, its candidates, half-open connections, channels, messages.
//!   What it makes this side send is bounded, too: checks slow down, and go to a dozen addresses at most.
//! - The WebRTC stack (`stack`) has no I/O and stands behind a narrow trait (`connection`).

mod candidate;
mod connection;
mod description;
mod endpoint;
mod gather;
mod peer;
mod port;
mod ready;
mod routes;
mod stack;
mod stun;
mod turn;
mod window;

pub use endpoint::{Config, Endpoint, EndpointError, Event};
pub use turn::TurnServer;
