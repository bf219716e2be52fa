//! gRPC over mTLS 1.3 between parties: connections, windows, receipts, reconnection.
//!
//! A pair of parties shares one bidirectional stream. Frames are numbered, kept until the other
//! side has them in memory, and sent again byte for byte after a reset. A sender goes no further
//! ahead of the reading program than the receiver's window. Certificates are checked against the
//! one CA that is pinned for the party they name. No cryptography of our own is in here.

mod codec;
mod connector;
mod dial;
mod endpoint;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod gateway;
mod handshake;
mod inbox;
mod limits;
mod local;
mod metered;
mod name;
mod outbox;
mod peer;
mod serve;
mod session;
mod shared;
mod splice;
mod start;
mod tls;
mod trust;

#[allow(missing_docs, clippy::all)]
mod proto {
    tonic::include_proto!("atoll.wire.v1");
}

pub use endpoint::{Counters, Endpoint, Interrupt, Peer};
pub use error::{Kind, Result, WireError};
pub use gateway::{Called, Gateway, GatewayCounters, GatewayLimits, Named, Next, Notice, enrol};
pub use inbox::Address;
pub use limits::{FRAME_BYTES, MESSAGE_BYTES, MESSAGE_COST, NAME_BYTES};
pub use peer::Counts;
pub use shared::Limits;
pub use start::Worker;
pub use tls::Identity;
pub use trust::Newest;
