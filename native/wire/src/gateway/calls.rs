//! Calls of partners on their way to the node's program and back.

use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

use super::queue::{Next, Reply};
use super::state::GatewayState;
use crate::endpoint::Interrupt;
use crate::error::{Kind, Result, WireError};
use crate::handshake::is_code;
use crate::limits::{CALL_BYTES, ENROL_BYTES};
use crate::shared::SLICE;

/// Forgets a call whose caller waits no more.
struct PendingCall {
    gateway: Arc<GatewayState>,
    number: u64,
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.gateway.lock().calls.forget(self.number);
    }
}

/// Puts a call before the program and waits for the reply.
pub async fn ask(
    gateway: &Arc<GatewayState>,
    party: &str,
    kind: String,
    body: Bytes,
    limit: Duration,
) -> Reply {
    let (reply, answered) = oneshot::channel();
    let pending = {
        let mut state = gateway.lock();
        if state.closed {
            return Err(Kind::Closed.code().to_owned());
        }
        if !state.calls.has_room(party, body.len()) {
            *state.refused.entry(Kind::Crowded.code()).or_default() += 1;
            return Err(Kind::Crowded.code().to_owned());
        }
        let number = state.calls.push(party, kind, body, reply);
        gateway.called.notify_one();
        PendingCall {
            gateway: gateway.clone(),
            number,
        }
    };
    let answer = tokio::time::timeout(limit, answered).await;
    drop(pending);
    match answer {
        Ok(Ok(reply)) => reply,
        Ok(Err(_)) => Err(Kind::Closed.code().to_owned()),
        Err(_) => Err(Kind::NoAnswer.code().to_owned()),
    }
}

/// Waits for the next call or notice.
pub fn next(
    gateway: &GatewayState,
    deadline: Instant,
    interrupt: Interrupt<'_>,
) -> Result<Option<Next>> {
    let mut state = gateway.lock();
    loop {
        if state.closed {
            return Err(WireError::new(Kind::Closed));
        }
        if let Some(next) = state.calls.take() {
            return Ok(Some(next));
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(None);
        }
        let waited = gateway
            .called
            .wait_timeout(state, SLICE.min(deadline - now));
        let timed_out;
        (state, timed_out) = waited.map_or_else(
            |poisoned| {
                let (state, result) = poisoned.into_inner();
                (state, result.timed_out())
            },
            |(state, result)| (state, result.timed_out()),
        );
        if timed_out {
            drop(state);
            if interrupt() {
                return Ok(None);
            }
            state = gateway.lock();
        }
    }
}

/// Replies to a call; returns whether its caller still waits.
pub fn reply(gateway: &GatewayState, number: u64, reply: Reply) -> Result<bool> {
    let refuse = |kind, detail: &str| Err(WireError::new(kind).because(detail));
    let mut state = gateway.lock();
    let Some(open) = state.calls.open(number) else {
        return Ok(false);
    };
    match &reply {
        Ok(body) => {
            let limit = if open.party.is_empty() {
                ENROL_BYTES
            } else {
                CALL_BYTES
            };
            if body.len() > limit {
                return refuse(Kind::TooLarge, "an answer has its limit, too");
            }
        }
        Err(code) if !is_code(code) => return refuse(Kind::Argument, "this is not a code"),
        Err(_) => {}
    }
    let open = state.calls.close(number);
    Ok(open.is_some_and(|open| open.reply.send(reply).is_ok()))
}
