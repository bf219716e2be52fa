//! The connection over which one partner is called.

use hyper::client::conn::http2::SendRequest;
use rustls::ClientConfig;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
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
    pub _cutter: Arc<Cut>,
}

/// What cuts a connection that calls are under way on.
pub struct Cut(StdMutex<Option<Cutter>>);

impl Cut {
    /// Cuts when it is dropped, or before.
    pub fn new(cutter: Cutter) -> Arc<Self> {
        Arc::new(Cut(StdMutex::new(Some(cutter))))
    }

    /// Cuts now, if the connection is still held: its calls get no answer.
    pub fn now(held: &Weak<Self>) {
        if let Some(cut) = held.upgrade() {
            drop(cut.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
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
