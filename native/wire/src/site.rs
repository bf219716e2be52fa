//! What the tasks of an endpoint share, and how HTTP/2 is set up on both sides.

use std::sync::Arc;
use std::time::Duration;

use crate::shared::Shared;
use crate::tls::Tls;

/// Bytes that one stream may have in flight: more than any path between two parties needs.
pub const STREAM_WINDOW: u32 = 8 << 20;
/// Bytes that one connection may have in flight.
pub const CONNECTION_WINDOW: u32 = 16 << 20;
/// The largest HTTP/2 frame accepted.
pub const HTTP_FRAME: u32 = 256 << 10;
/// Bytes that HTTP/2 may hold before it asks for no more.
pub const SEND_BUFFER: usize = 2 << 20;
/// The largest header block accepted.
pub const HEADERS: u32 = 16 << 10;
/// Connections in the handshake at one time; strangers cannot hold more.
pub const HANDSHAKES: usize = 64;
/// The first and the longest pause between two attempts to dial.
pub const BACK_OFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long the party with the larger name waits for the other to dial, if both could.
pub const COURTESY: Duration = Duration::from_secs(1);

/// What the tasks of an endpoint share.
pub struct Site {
    /// The state.
    pub shared: Arc<Shared>,
    /// Certificates.
    pub tls: Tls,
    /// Where each peer is dialled, if it is.
    pub addresses: Vec<Option<String>>,
    /// Whether this party listens.
    pub listens: bool,
}
