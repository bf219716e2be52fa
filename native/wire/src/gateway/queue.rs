//! Calls that wait to be taken by the node's program, and those that wait for their answer.

use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use tokio::sync::oneshot;

use crate::trust::Newest;

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

/// What the program is notified of: a partner shows a newer certificate than was known.
#[derive(Debug)]
pub struct Notice {
    /// The partner.
    pub party: String,
    /// The certificate.
    pub newest: Newest,
}

/// What the program gets next.
#[derive(Debug)]
pub enum Next {
    /// A call, which waits for its answer.
    Call(Called),
    /// A notice, which does not.
    Notice(Notice),
}

/// A body, or the code of why there is none.
pub type Reply = std::result::Result<Bytes, String>;

/// A call whose caller waits.
pub struct Open {
    /// The caller's party; empty for a stranger.
    pub party: String,
    bytes: usize,
    /// Where the reply goes.
    pub reply: oneshot::Sender<Reply>,
}

/// Calls that wait to be taken, and those that wait for their answer.
#[derive(Default)]
pub struct Calls {
    queue: VecDeque<Called>,
    notices: VecDeque<Notice>,
    open: HashMap<u64, Open>,
    numbers: u64,
}

impl Calls {
    /// Whether a party may ask one more call of this size.
    pub fn has_room(&self, party: &str, bytes: usize) -> bool {
        let (mut count, mut sum) = (1, bytes);
        for open in self.open.values().filter(|open| open.party == party) {
            count += 1;
            sum += open.bytes;
        }
        count <= WAITING && sum <= WAITING_BYTES
    }

    /// Puts a call in the queue; its number.
    pub fn push(
        &mut self,
        party: &str,
        kind: String,
        body: Bytes,
        reply: oneshot::Sender<Reply>,
    ) -> u64 {
        self.numbers += 1;
        let open = Open {
            party: party.to_owned(),
            bytes: body.len(),
            reply,
        };
        self.open.insert(self.numbers, open);
        self.queue.push_back(Called {
            number: self.numbers,
            party: party.to_owned(),
            kind,
            body,
        });
        self.numbers
    }

    /// Has the program notified; of one partner only the last word counts.
    pub fn notice(&mut self, notice: Notice) {
        self.notices.retain(|other| other.party != notice.party);
        self.notices.push_back(notice);
    }

    /// Takes a notice, or else the call that has waited longest.
    pub fn take(&mut self) -> Option<Next> {
        let notice = self.notices.pop_front().map(Next::Notice);
        notice.or_else(|| self.queue.pop_front().map(Next::Call))
    }

    /// A call whose caller waits.
    pub fn open(&self, number: u64) -> Option<&Open> {
        self.open.get(&number)
    }

    /// Takes a call out, to reply.
    pub fn close(&mut self, number: u64) -> Option<Open> {
        self.open.remove(&number)
    }

    /// Drops a call whose caller waits no more.
    pub fn forget(&mut self, number: u64) {
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
