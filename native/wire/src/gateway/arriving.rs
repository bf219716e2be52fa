//! Bodies of calls that are still arriving: counted, so that a partner cannot fill the memory.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::Status;

use super::state::GatewayState;
use crate::error::Kind;

/// Bytes of one partner's calls that may be arriving, together.
const ARRIVING_BYTES: usize = 64 << 20;

/// A body on its way.
pub struct Arriving {
    body: Incoming,
    gateway: Arc<GatewayState>,
    party: String,
    counted: usize,
}

impl Arriving {
    /// Counts a body for a partner.
    pub fn new(body: Incoming, gateway: Arc<GatewayState>, party: String) -> Self {
        Arriving {
            body,
            gateway,
            party,
            counted: 0,
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), Status> {
        let mut state = self.gateway.lock();
        let sum = state.arriving.entry(self.party.clone()).or_default();
        *sum += bytes;
        self.counted += bytes;
        if *sum <= ARRIVING_BYTES {
            return Ok(());
        }
        *state.refused.entry(Kind::Crowded.code()).or_default() += 1;
        Err(Status::resource_exhausted("too much at a time"))
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(match frame {
            None => None,
            Some(Err(_)) => Some(Err(Status::unavailable("broken"))),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                Some(self.count(bytes).map(|()| frame))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let mut state = self.gateway.lock();
        if let Some(sum) = state.arriving.get_mut(&self.party) {
            *sum -= self.counted;
            if *sum == 0 {
                state.arriving.remove(&self.party);
            }
        }
    }
}
