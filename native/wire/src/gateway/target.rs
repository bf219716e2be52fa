//! Where a relay of a worker leads.

use rustls::ClientConfig;
use std::sync::Arc;
use std::time::SystemTime;

use crate::name::KeyHash;
use crate::splice::ByteCounter;

/// How a partner's gateway is reached for a worker.
pub struct Target {
    /// Bytes of the worker, and of all workers, with this partner.
    pub tallies: [Arc<ByteCounter>; 2],
    /// Where.
    pub address: String,
    /// How.
    pub config: Arc<ClientConfig>,
    /// The own key, and when its certificates expire.
    pub own: (KeyHash, SystemTime),
    /// The state of trust.
    pub epoch: u64,
}
