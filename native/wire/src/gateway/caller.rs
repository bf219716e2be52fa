//! The connection over which one partner is called.

use hyper::client::conn::http2::SendRequest;
use rustls::ClientConfig;
use std::sync::Arc;
use tokio::sync::Mutex;
use tonic::body::Body;

use crate::metered::{Cutter, Meter};

/// What calls to one partner share.
pub struct Caller {
    /// How it is dialled.
    pub config: Arc<ClientConfig>,
    /// The connection that is kept.
    pub kept: Mutex<Option<Kept>>,
}

/// A connection that is kept for further calls.
#[derive(Clone)]
pub struct Kept {
    /// Sends requests.
    pub sender: SendRequest<Body>,
    /// Bytes and faults.
    pub meter: Arc<Meter>,
    /// Cuts it when the last holder is gone.
    pub _cutter: Arc<Cutter>,
}

impl Caller {
    /// Calls over connections of this kind; none is made yet.
    pub fn new(config: Arc<ClientConfig>) -> Self {
        Caller {
            config,
            kept: Mutex::new(None),
        }
    }
}
