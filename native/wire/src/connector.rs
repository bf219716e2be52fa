//! What the tasks of an endpoint share, and how HTTP/2 is set up on both sides.

use hyper::client::conn::http2 as client;
use hyper::server::conn::http2 as server;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

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
pub const DIAL_DELAY: Duration = Duration::from_secs(1);

/// The same where a gateway is in between, which holds a dialler until the worker is there.
pub const SHORT_DIAL_DELAY: Duration = Duration::from_millis(200);

/// How an endpoint reaches its peers.
pub enum Way {
    /// By itself, over TLS.
    Direct {
        /// Certificates.
        tls: Tls,
        /// Where each peer is dialled, if it is.
        addresses: Vec<Option<String>>,
        /// Whether this party listens.
        listens: bool,
    },
    /// GatewayAccess the gateway of its own node, over Unix sockets.
    Gateway(GatewayAccess),
}

/// How a worker and its own gateway know each other.
pub struct GatewayAccess {
    /// The gateway's socket.
    pub gateway: String,
    /// The registration's label.
    pub label: String,
    /// The registration's token.
    pub token: Zeroizing<Vec<u8>>,
    /// Whether each peer can be dialled.
    pub dialable: Vec<bool>,
}

/// What the tasks of an endpoint share.
pub struct Connector {
    /// The state.
    pub shared: Arc<Shared>,
    /// How peers are reached.
    pub way: Way,
}

impl Connector {
    /// Returns whether this party dials a peer.
    pub fn dials(&self, index: usize) -> bool {
        match &self.way {
            Way::Direct { addresses, .. } => addresses[index].is_some(),
            Way::Gateway(through) => through.dialable[index],
        }
    }

    /// How long this party leaves it to a peer to dial first.
    pub fn dial_delay(&self, peer: &str) -> Duration {
        let later = self.shared.party.as_str() > peer;
        match &self.way {
            Way::Direct { listens, .. } if later && *listens => DIAL_DELAY,
            Way::Gateway(_) if later => SHORT_DIAL_DELAY,
            _ => Duration::ZERO,
        }
    }
}

/// HTTP/2 as the dialling side of a worker's stream sets it up.
pub fn client_builder() -> client::Builder<TokioExecutor> {
    let mut builder = client::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(HTTP_FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADERS);
    builder
}

/// HTTP/2 as the listening side of a worker's stream sets it up.
pub fn server_builder() -> server::Builder<TokioExecutor> {
    let mut builder = server::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(HTTP_FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADERS)
        .max_concurrent_streams(1);
    builder
}
