//! The state of an endpoint: peers, queued messages and the threads that wait for them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::error::{Kind, Result, WireError};
use crate::inbox::{Address, Body};
use crate::limits::cost;
use crate::peer::{PeerState, Phase};
use crate::proto::Refusal;
use crate::proto::envelope::Content;

/// How often a waiting thread looks whether it was interrupted.
pub const SLICE: Duration = Duration::from_millis(100);

/// Settings of an endpoint.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A peer silent for so long is lost.
    pub silence: Duration,
    /// How often a sign of life is sent.
    pub heartbeat: Duration,
    /// How long to try to meet a peer at first.
    pub connect: Duration,
    /// How long a handshake and the first hello may take.
    pub handshake: Duration,
    /// How long to wait for the last deliveries when closing.
    pub linger: Duration,
    /// How far a peer may go ahead of what was read, in bytes.
    pub window: u64,
}

/// A message's place: the peer's number and the address within it.
pub type Key = (usize, Address);

/// What a waiting thread waits for.
#[derive(Debug)]
pub enum Interest {
    /// A message under one of these.
    Keys(Vec<Key>),
    /// Room in the window of this peer.
    Room(usize),
    /// The last deliveries.
    Parting,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    thread: Thread,
    interest: Interest,
}

#[derive(Debug)]
struct Queued {
    arrival: u64,
    body: Body,
}

/// Everything under the lock.
#[derive(Debug, Default)]
pub struct State {
    /// The peers.
    pub peers: Vec<PeerState>,
    /// No call is served any more.
    pub closed: bool,
    /// Everything was sent: connections end, and none is made but to report a failure.
    pub parted: bool,
    /// Waiting calls end.
    pub cancelled: bool,
    /// What was refused here, by code.
    pub refused: BTreeMap<&'static str, u64>,
    queues: HashMap<Key, VecDeque<Queued>>,
    waiters: Vec<Waiter>,
    numbers: u64,
}

/// The state with its lock and its settings.
#[derive(Debug)]
pub struct Shared {
    /// This party.
    pub party: String,
    /// This run of it.
    pub instance: [u8; 16],
    /// Settings.
    pub limits: Limits,
    state: Mutex<State>,
}

impl State {
    fn wake(&self, matches: impl Fn(&Interest) -> bool) {
        for waiter in &self.waiters {
            if matches(&waiter.interest) {
                waiter.thread.unpark();
            }
        }
    }

    /// Wakes every waiting thread.
    pub fn wake_all(&self) {
        self.wake(|_| true);
    }

    /// Wakes those that wait for room at this peer, or for its last deliveries.
    pub fn wake_senders(&self, index: usize) {
        self.wake(|interest| match interest {
            Interest::Room(other) => *other == index,
            Interest::Parting => true,
            Interest::Keys(_) => false,
        });
    }

    /// Queues a message that arrived whole.
    pub fn deliver(&mut self, index: usize, address: Address, body: Body) {
        let counts = &mut self.peers[index].counts;
        counts.messages_received += 1;
        counts.bytes_received += body.length as u64;
        counts.bytes_waiting += body.length as u64;
        self.numbers += 1;
        let arrival = self.numbers;
        let key = (index, address);
        self.wake(|interest| matches!(interest, Interest::Keys(keys) if keys.contains(&key)));
        let queue = self.queues.entry(key).or_default();
        queue.push_back(Queued { arrival, body });
    }

    /// Takes the message that arrived first under any of these keys.
    pub fn take(&mut self, keys: &[Key], threshold: u64) -> Option<(usize, Body)> {
        let first = keys
            .iter()
            .filter_map(|key| Some((self.queues.get(key)?.front()?.arrival, key)))
            .min_by_key(|(arrival, _)| *arrival)?
            .1;
        let queue = self.queues.get_mut(first)?;
        let body = queue.pop_front()?.body;
        if queue.is_empty() {
            self.queues.remove(first);
        }
        let peer = &mut self.peers[first.0];
        peer.counts.bytes_waiting -= body.length as u64;
        let bytes = cost(body.length);
        peer.inbox.consume(bytes);
        if peer.owe_receipt(bytes, threshold, Instant::now()) {
            peer.wake();
        }
        Some((first.0, body))
    }

    /// Why a wait for these keys is in vain: a failed peer, or all of them have left.
    pub fn vain(&self, keys: &[Key]) -> Option<WireError> {
        let errors = || keys.iter().filter_map(|key| self.peers[key.0].error());
        errors()
            .find(|error| error.kind != Kind::PeerLeft)
            .or_else(|| (errors().count() == keys.len()).then(|| errors().next())?)
    }

    /// Ends a connection for a reason that every later call on it gets.
    pub fn fail(&mut self, index: usize, error: WireError) {
        let peer = &mut self.peers[index];
        if peer.is_open() {
            peer.phase = Phase::Failed(error);
            peer.changed.notify_one();
        }
        self.wake_all();
    }

    /// Ends a connection because of what its peer sent, and sends the peer the code.
    pub fn refuse(&mut self, index: usize, epoch: u64, kind: Kind) {
        self.note_refused(kind);
        let peer = &mut self.peers[index];
        let error = WireError::new(kind).of(&peer.name);
        if let Some(session) = peer.at(epoch) {
            session.urgent.push_back(Content::Refusal(Refusal {
                code: kind.code().to_owned(),
            }));
            session.finishing = true;
        }
        peer.wake();
        self.fail(index, error);
    }

    /// Counts something that was refused here.
    pub fn note_refused(&mut self, kind: Kind) {
        *self.refused.entry(kind.code()).or_default() += 1;
    }
}

impl Shared {
    /// The state of an endpoint with these peers.
    pub fn new(party: &str, peers: &[String], limits: Limits, instance: [u8; 16]) -> Self {
        let now = Instant::now();
        let peers = peers
            .iter()
            .map(|peer| PeerState::new(peer, limits.window, now))
            .collect();
        Shared {
            party: party.to_owned(),
            instance,
            limits,
            state: Mutex::new(State {
                peers,
                ..State::default()
            }),
        }
    }

    /// Locks the state.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of bytes after which a receipt does not wait.
    pub fn receipt_bytes(&self) -> u64 {
        (self.limits.window / 8).min(1 << 20)
    }

    /// The number of a peer.
    pub fn find(&self, peer: &str) -> Result<usize> {
        self.lock()
            .peers
            .iter()
            .position(|known| known.name == peer)
            .ok_or_else(|| WireError::new(Kind::UnknownPeer).of(peer))
    }

    /// Waits until `attempt` gives a result. `interrupt` is asked now and then whether to stop.
    pub fn wait<T>(
        &self,
        interest: Interest,
        deadline: Instant,
        interrupt: &mut dyn FnMut() -> bool,
        mut attempt: impl FnMut(&mut State) -> Option<Result<T>>,
    ) -> Result<T> {
        let mut interest = Some(interest);
        let mut number = 0;
        let mut looked = Instant::now();
        let mut stopped = false;
        let result = loop {
            let mut state = self.lock();
            if let Some(result) = attempt(&mut state) {
                break result;
            }
            if state.cancelled || stopped {
                break Err(WireError::new(Kind::Cancelled));
            }
            let now = Instant::now();
            if now >= deadline {
                break Err(WireError::new(Kind::Deadline));
            }
            if let Some(interest) = interest.take() {
                state.numbers += 1;
                number = state.numbers;
                state.waiters.push(Waiter {
                    number,
                    thread: std::thread::current(),
                    interest,
                });
            }
            drop(state);
            std::thread::park_timeout(SLICE.min(deadline - now));
            if looked.elapsed() >= SLICE {
                looked = Instant::now();
                stopped = interrupt();
            }
        };
        if number > 0 {
            self.lock().waiters.retain(|waiter| waiter.number != number);
        }
        result
    }
}
