//! Calls of partners on their way to the node's program and back.

use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

use super::gate::Gate;
use crate::endpoint::Interrupt;
use crate::error::{Kind, Result, WireError};
use crate::limits::{CALL_BYTES, ENROL_BYTES};
use crate::shared::SLICE;
use crate::word::is_code;

/// How many calls of one party may wait or be worked on.
const WAITING: usize = 64;
/// Bytes of them, together.
const WAITING_BYTES: usize = 64 << 20;

/// A call as the program gets it.
#[derive(Debug)]
pub struct Called {
    /// Its number.
    pub number: u64,
    /// The party of the caller's certificate; empty for a stranger who enrols.
    pub party: String,
    /// What is asked.
    pub kind: String,
    /// The question.
    pub body: Bytes,
}

/// A body, or the code of why there is none.
pub type Reply = std::result::Result<Bytes, String>;

struct Open {
    party: String,
    bytes: usize,
    reply: oneshot::Sender<Reply>,
}

/// Calls that wait to be taken, and those that wait for their answer.
#[derive(Default)]
pub struct Calls {
    queue: VecDeque<Called>,
    open: HashMap<u64, Open>,
    numbers: u64,
}

impl Calls {
    fn has_room(&self, party: &str, bytes: usize) -> bool {
        let (mut count, mut sum) = (1, bytes);
        for open in self.open.values().filter(|open| open.party == party) {
            count += 1;
            sum += open.bytes;
        }
        count <= WAITING && sum <= WAITING_BYTES
    }

    fn forget(&mut self, number: u64) {
        if self.open.remove(&number).is_some() {
            self.queue.retain(|called| called.number != number);
        }
    }

    /// Ends every call with a code.
    pub fn refuse_all(&mut self, code: &str) {
        self.queue.clear();
        for (_, open) in self.open.drain() {
            let _ = open.reply.send(Err(code.to_owned()));
        }
    }
}

/// Forgets a call whose caller waits no more.
struct Patience {
    gate: Arc<Gate>,
    number: u64,
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.gate.lock().calls.forget(self.number);
    }
}

/// Puts a call before the program and waits for the reply.
pub async fn ask(
    gate: &Arc<Gate>,
    party: &str,
    kind: String,
    body: Bytes,
    limit: Duration,
) -> Reply {
    let (reply, answered) = oneshot::channel();
    let bytes = body.len();
    let patience = {
        let mut state = gate.lock();
        if state.closed {
            return Err(Kind::Closed.code().to_owned());
        }
        if !state.calls.has_room(party, bytes) {
            *state.refused.entry(Kind::Crowded.code()).or_default() += 1;
            return Err(Kind::Crowded.code().to_owned());
        }
        let calls = &mut state.calls;
        calls.numbers += 1;
        let number = calls.numbers;
        let party = party.to_owned();
        let open = Open {
            party: party.clone(),
            bytes,
            reply,
        };
        calls.open.insert(number, open);
        calls.queue.push_back(Called {
            number,
            party,
            kind,
            body,
        });
        gate.called.notify_one();
        Patience {
            gate: gate.clone(),
            number,
        }
    };
    let answer = tokio::time::timeout(limit, answered).await;
    drop(patience);
    match answer {
        Ok(Ok(reply)) => reply,
        Ok(Err(_)) => Err(Kind::Closed.code().to_owned()),
        Err(_) => Err(Kind::NoAnswer.code().to_owned()),
    }
}

/// Waits for the next call.
pub fn next(gate: &Gate, deadline: Instant, interrupt: Interrupt<'_>) -> Result<Option<Called>> {
    let mut state = gate.lock();
    loop {
        if state.closed {
            return Err(WireError::new(Kind::Closed));
        }
        if let Some(called) = state.calls.queue.pop_front() {
            return Ok(Some(called));
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(None);
        }
        let waited = gate.called.wait_timeout(state, SLICE.min(deadline - now));
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
            state = gate.lock();
        }
    }
}

/// Replies to a call; says whether its caller still waits.
pub fn reply(gate: &Gate, number: u64, reply: Reply) -> Result<bool> {
    let refuse = |kind, detail: &str| Err(WireError::new(kind).because(detail));
    let mut state = gate.lock();
    let Some(open) = state.calls.open.get(&number) else {
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
    let open = state.calls.open.remove(&number);
    Ok(open.is_some_and(|open| open.reply.send(reply).is_ok()))
}
