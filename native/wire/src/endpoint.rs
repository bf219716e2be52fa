//! An endpoint: what one party sends and receives, from plain blocking threads.

use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

use crate::error::{Kind, Result, WireError};
use crate::inbox::{Address, checksum};
use crate::limits::{FRAME_BYTES, MESSAGE_BYTES, PHASE_BYTES, cost};
use crate::peer::{Counts, PeerState, Phase};
use crate::proto::envelope::Content;
use crate::proto::{Abort, Frame};
use crate::shared::{Interest, Key, Shared, State};

/// How long the last words may take once everything is delivered, or given up.
const FAREWELL: Duration = Duration::from_secs(5);

/// A peer: its party, its CA, and where it is dialled.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The party.
    pub party: String,
    /// The certificate (PEM) of the CA that alone may vouch for it.
    pub authority: String,
    /// `host:port`, or nothing if the peer dials.
    pub address: Option<String>,
}

/// What happened so far.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Each peer and its counts.
    pub peers: Vec<(String, Counts)>,
    /// How often something was refused here, by code.
    pub refused: Vec<(&'static str, u64)>,
}

/// Asked now and then by a waiting call: whether to stop.
pub type Interrupt<'a> = &'a mut dyn FnMut() -> bool;

/// One party's end of all its connections. Dropping it cuts them.
pub struct Endpoint {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) stop: Mutex<Option<oneshot::Sender<()>>>,
    pub(crate) thread: Mutex<Option<JoinHandle<()>>>,
}

impl Endpoint {
    /// Where this endpoint listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Copies one message and hands it over. Waits while the peer's window is full.
    pub fn send(
        &self,
        peer: &str,
        address: &Address,
        parts: &[&[u8]],
        deadline: Instant,
        interrupt: Interrupt<'_>,
    ) -> Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > MESSAGE_BYTES {
            return Err(WireError::new(Kind::TooLarge).of(peer));
        }
        if !address.is_valid() {
            let error = WireError::new(Kind::Argument).of(peer);
            return Err(error.because("a job, task or tag is longer than 256 bytes"));
        }
        let index = self.shared.find(peer)?;
        let message = self.reserve(index, peer, length, deadline, interrupt)?;
        let total = length.div_ceil(FRAME_BYTES).max(1);
        let mut pieces = Pieces { parts, at: 0 };
        for number in 1..=total {
            let body = pieces.next(FRAME_BYTES);
            let frame = Frame {
                sequence: 0,
                message,
                job: address.job.clone(),
                task: address.task.clone(),
                attempt: address.attempt,
                from: self.shared.party.clone(),
                to: peer.to_owned(),
                tag: address.tag.clone(),
                total: if number == total { total as u32 } else { 0 },
                length: body.len() as u32,
                checksum: checksum(&body),
                body,
            };
            let mut state = self.shared.lock();
            state.peers[index].outbox.push(frame);
            state.peers[index].wake();
        }
        let mut state = self.shared.lock();
        let counts = &mut state.peers[index].counts;
        counts.messages_sent += 1;
        counts.bytes_sent += length as u64;
        Ok(())
    }

    fn reserve(
        &self,
        index: usize,
        peer: &str,
        length: usize,
        deadline: Instant,
        interrupt: Interrupt<'_>,
    ) -> Result<u64> {
        let ticket = self.shared.lock().peers[index].outbox.ticket();
        let attempt = |state: &mut State| {
            if state.closed {
                return Some(Err(WireError::new(Kind::Closed)));
            }
            let target = &mut state.peers[index];
            if let Some(error) = target.error() {
                return Some(Err(error));
            }
            if target.outbox.window().is_some_and(|w| cost(length) > w) {
                let error = WireError::new(Kind::TooLarge);
                return Some(Err(error.because("larger than the peer's window")));
            }
            target.outbox.reserve(ticket, cost(length)).map(Ok)
        };
        let result = self
            .shared
            .wait(Interest::Room(index), deadline, interrupt, attempt);
        let mut state = self.shared.lock();
        state.peers[index].outbox.give_up(ticket);
        state.wake_senders(index);
        result.map_err(|error| named(error, peer))
    }

    /// Waits for the next message of any of these peers at this address; returns whose it is.
    pub fn receive(
        &self,
        peers: &[&str],
        address: &Address,
        deadline: Instant,
        interrupt: Interrupt<'_>,
    ) -> Result<(String, Bytes)> {
        let mut keys: Vec<Key> = Vec::with_capacity(peers.len());
        for peer in peers {
            keys.push((self.shared.find(peer)?, address.clone()));
        }
        if keys.is_empty() {
            return Err(WireError::new(Kind::Argument).because("no sender is named"));
        }
        let threshold = self.shared.receipt_bytes();
        let attempt = |state: &mut State| {
            if state.closed {
                return Some(Err(WireError::new(Kind::Closed)));
            }
            if let Some(found) = state.take(&keys, threshold) {
                return Some(Ok(found));
            }
            state.vain(&keys).map(Err)
        };
        let interest = Interest::Keys(keys.clone());
        let result = self.shared.wait(interest, deadline, interrupt, attempt);
        match result {
            Ok((index, body)) => {
                let from = self.shared.lock().peers[index].name.clone();
                Ok((from, body.join()))
            }
            Err(error) if peers.len() == 1 => Err(named(error, peers[0])),
            Err(error) => Err(error),
        }
    }

    /// Counts of each peer, and how often something was refused here, by code.
    pub fn counters(&self) -> Counters {
        let state = self.shared.lock();
        let peers = state.peers.iter().map(|peer| {
            let mut counts = peer.counts.clone();
            if let Some(session) = &peer.session {
                let (sent, received) = session.meter.totals();
                counts.stream_bytes_sent += sent;
                counts.stream_bytes_received += received;
            }
            (peer.name.clone(), counts)
        });
        let refused = state.refused.iter().map(|(code, count)| (*code, *count));
        Counters {
            peers: peers.collect(),
            refused: refused.collect(),
        }
    }

    /// Ends every waiting call, and those to come.
    pub fn cancel(&self) {
        let mut state = self.shared.lock();
        state.cancelled = true;
        state.wake_all();
    }

    /// Ends the session once everything is delivered, and stops. May be called again.
    pub fn close(&self, interrupt: Interrupt<'_>) {
        {
            let mut state = self.shared.lock();
            if state.parted {
                drop(state);
                return self.stop();
            }
            if !state.closed {
                state.closed = true;
                state.cancelled = false;
                for peer in &mut state.peers {
                    if matches!(peer.phase, Phase::Met) {
                        peer.outbox.push_bye();
                        peer.wake();
                    }
                }
                state.wake_all();
            }
        }
        self.part(self.shared.limits.linger, interrupt, |state| {
            state.peers.iter().all(|peer| match peer.phase {
                Phase::Waiting | Phase::Failed(_) => true,
                Phase::Met => peer.outbox.is_delivered(),
                Phase::Left => peer.receipt_since.is_none() || peer.session.is_none(),
            })
        });
        self.finish(interrupt);
    }

    /// Tells the peers that this party failed, with code and phase only, and stops.
    pub fn abort(&self, code: &str, phase: &str, interrupt: Interrupt<'_>) {
        let phase: String = phase
            .chars()
            .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
            .take(PHASE_BYTES)
            .collect();
        {
            let mut state = self.shared.lock();
            if !state.closed {
                state.closed = true;
                state.cancelled = false;
                for peer in &mut state.peers {
                    let abort = Content::Abort(Abort {
                        code: code.to_owned(),
                        phase: phase.clone(),
                    });
                    if let Some(session) = &mut peer.session {
                        session.urgent.push_back(abort.clone());
                    }
                    peer.parting = Some(abort);
                }
            }
        }
        self.finish(interrupt);
    }

    /// Ends every connection once what is urgent is sent, and stops.
    fn finish(&self, interrupt: Interrupt<'_>) {
        {
            let mut state = self.shared.lock();
            state.parted = true;
            for peer in &mut state.peers {
                if let Some(session) = &mut peer.session {
                    session.finishing = true;
                }
                peer.wake();
            }
            state.wake_all();
        }
        let limit = FAREWELL.min(self.shared.limits.linger);
        self.part(limit, interrupt, |state| {
            let done = |peer: &PeerState| peer.session.is_none() && !peer.owes_parting();
            state.peers.iter().all(done)
        });
        self.stop();
    }

    fn part(&self, limit: Duration, interrupt: Interrupt<'_>, done: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + limit;
        // No one is left to whom a failure here could matter.
        let _ = self
            .shared
            .wait(Interest::Parting, deadline, interrupt, |state| {
                done(state).then_some(Ok(()))
            });
    }

    fn stop(&self) {
        let lock = |error: PoisonError<_>| error.into_inner();
        drop(self.stop.lock().unwrap_or_else(lock).take());
        let lock = |error: PoisonError<_>| error.into_inner();
        if let Some(thread) = self.thread.lock().unwrap_or_else(lock).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Cuts pieces off a list of buffers.
struct Pieces<'a> {
    parts: &'a [&'a [u8]],
    at: usize,
}

impl Pieces<'_> {
    fn next(&mut self, limit: usize) -> Bytes {
        let left: usize = self.parts.iter().map(|part| part.len()).sum::<usize>() - self.at;
        let mut body = Vec::with_capacity(limit.min(left));
        while let Some(part) = self.parts.first() {
            let rest = &part[self.at..];
            let count = rest.len().min(limit - body.len());
            body.extend_from_slice(&rest[..count]);
            self.at += count;
            if self.at < part.len() {
                break;
            }
            self.parts = &self.parts[1..];
            self.at = 0;
        }
        body.into()
    }
}

fn named(error: WireError, peer: &str) -> WireError {
    if error.peer.is_none() {
        error.of(peer)
    } else {
        error
    }
}
