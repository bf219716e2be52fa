//! One connection to one peer: what goes out, and what is done with what comes in.

use futures_core::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::Sleep;
use tonic::{Code, Status, Streaming};

use crate::error::{Kind, WireError};
use crate::handshake::is_code;
use crate::inbox::Accepted;
use crate::limits::{PHASE_BYTES, VERSIONS};
use crate::metered::{Cutter, Meter};
use crate::outbox::Item;
use crate::peer::{PeerState, Phase, RECEIPT_DELAY, Session};
use crate::proto::envelope::Content;
use crate::proto::{Abort, AbortReceived, Envelope, Heartbeat, Hello};
use crate::shared::{Shared, State};

/// How long a failed connection stays open so that the peer can read why and close.
const FAREWELL: Duration = Duration::from_secs(2);
/// The same where what comes in can no longer be read, so that its end is not seen either.
const BLIND_FAREWELL: Duration = Duration::from_millis(200);

/// A connection as it is handed to the session.
pub struct Connection {
    /// Cuts it.
    pub cutter: Cutter,
    /// Bytes and faults.
    pub meter: Arc<Meter>,
    /// Whether this party dialled.
    pub dialled: bool,
    /// When its certificates end.
    pub expires: SystemTime,
}

/// What this party sends on one connection, pulled by HTTP/2 as its windows allow.
pub struct Outgoing {
    shared: Arc<Shared>,
    index: usize,
    epoch: u64,
    sleep: Pin<Box<Sleep>>,
}

/// A session's name: the peer's number and the connection's.
#[derive(Clone)]
pub struct Ticket {
    shared: Arc<Shared>,
    index: usize,
    epoch: u64,
    meter: Arc<Meter>,
    expires: SystemTime,
}

/// Makes this connection the present one, unless a better one lives.
pub fn open(
    shared: &Arc<Shared>,
    index: usize,
    connection: Connection,
) -> Option<(Ticket, Outgoing)> {
    let mut state = shared.lock();
    let parted = state.parted;
    let target = &mut state.peers[index];
    let preferred = connection.dialled == (shared.party < target.name);
    let alive = target.heard.elapsed() < 3 * shared.limits.heartbeat;
    let rival = target
        .session
        .as_ref()
        .is_some_and(|s| s.preferred && alive);
    let over = parted || matches!(target.phase, Phase::Failed(_));
    if over && !target.owes_parting() || rival && !preferred {
        return None;
    }
    target.drop_session(None);
    target.epochs += 1;
    target.counts.connections += 1;
    let mut urgent = std::collections::VecDeque::from([Content::Hello(hello(shared, target))]);
    urgent.extend(target.parting.clone());
    let epoch = target.epochs;
    target.session = Some(Session {
        epoch,
        greeted: false,
        finishing: target.parting.is_some(),
        preferred,
        urgent,
        last_sent: Instant::now(),
        waker: None,
        meter: connection.meter.clone(),
        _cutter: connection.cutter,
    });
    target.changed.notify_one();
    let ticket = Ticket {
        shared: shared.clone(),
        index,
        epoch,
        meter: connection.meter,
        expires: connection.expires,
    };
    let outgoing = Outgoing {
        shared: shared.clone(),
        index,
        epoch,
        sleep: Box::pin(tokio::time::sleep(shared.limits.heartbeat)),
    };
    Some((ticket, outgoing))
}

fn hello(shared: &Shared, peer: &PeerState) -> Hello {
    Hello {
        lowest_version: VERSIONS.0,
        highest_version: VERSIONS.1,
        from: shared.party.clone(),
        to: peer.name.clone(),
        instance: shared.instance.to_vec(),
        known_instance: peer.instance.clone().unwrap_or_default(),
        received: peer.inbox.receipt().received,
        window: shared.limits.window,
    }
}

impl Outgoing {
    /// The next thing to send, or when to look again.
    fn next(&self, state: &mut State, context: &Context<'_>) -> Result<Option<Envelope>, Instant> {
        let limits = &self.shared.limits;
        let now = Instant::now();
        let peer = &mut state.peers[self.index];
        let Some(session) = peer.at(self.epoch) else {
            return Ok(None);
        };
        if let Some(content) = session.urgent.pop_front() {
            session.last_sent = now;
            return Ok(Some(Envelope {
                receipt: None,
                content: Some(content),
            }));
        }
        if session.finishing {
            // A failure is sent only once the peer is ready for it: until then the line stays.
            return if peer.owes_parting() {
                Err(self.pause(peer, context, now + limits.heartbeat))
            } else {
                Ok(None)
            };
        }
        let (greeted, beat) = (session.greeted, session.last_sent + limits.heartbeat);
        let mut content = if greeted { next_item(peer) } else { None };
        let mut due = beat;
        if greeted && content.is_none() {
            if let Some(since) = peer.receipt_since {
                due = due.min(since + RECEIPT_DELAY);
            }
            if due > now && !peer.receipt_now {
                return Err(self.pause(peer, context, due));
            }
            if beat <= now {
                content = Some(Content::Heartbeat(Heartbeat {}));
            }
        } else if !greeted {
            if beat > now {
                return Err(self.pause(peer, context, beat));
            }
            content = Some(Content::Heartbeat(Heartbeat {}));
        }
        if let Some(session) = peer.at(self.epoch) {
            session.last_sent = now;
        }
        let receipt = if greeted { peer.take_receipt() } else { None };
        Ok(Some(Envelope { receipt, content }))
    }

    fn pause(&self, peer: &mut PeerState, context: &Context<'_>, due: Instant) -> Instant {
        if let Some(session) = peer.at(self.epoch) {
            session.waker = Some(context.waker().clone());
        }
        due
    }
}

fn next_item(peer: &mut PeerState) -> Option<Content> {
    let (item, again) = peer.outbox.advance()?;
    peer.counts.frames_sent += 1;
    peer.counts.frames_resent += u64::from(again);
    Some(match item {
        Item::Frame(frame) => Content::Frame(frame),
        Item::Bye(bye) => Content::Bye(bye),
    })
}

impl Stream for Outgoing {
    type Item = Envelope;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Envelope>> {
        loop {
            let shared = self.shared.clone();
            let next = self.next(&mut shared.lock(), context);
            let due = match next {
                Ok(envelope) => return Poll::Ready(envelope),
                Err(due) => due,
            };
            self.sleep.as_mut().reset(due.into());
            if self.sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

enum End {
    /// The connection ended; the peer may still read why.
    Over,
    /// The same, because what came in could not be read.
    Unreadable,
    /// The connection broke; another may follow.
    Broken(Option<Kind>),
}

impl Ticket {
    /// Reads until the connection or the connection ends.
    pub async fn run(self, mut incoming: Streaming<Envelope>) {
        let end = self.read(&mut incoming).await;
        let cause = match end {
            End::Over => {
                let drain = async { while let Ok(Some(_)) = incoming.message().await {} };
                let _ = tokio::time::timeout(FAREWELL, drain).await;
                None
            }
            End::Unreadable => {
                tokio::time::sleep(BLIND_FAREWELL).await;
                None
            }
            End::Broken(cause) => cause.or_else(|| self.meter.fault()),
        };
        self.end(cause);
    }

    /// Ends the session for a peer that wants no connection any more: it was notified, or failed itself.
    pub fn end_over(&self) {
        self.shared.lock().peers[self.index].acknowledged = true;
        self.end(None);
    }

    /// Ends the session for a connection that never came to reading.
    pub fn end(&self, cause: Option<Kind>) {
        let mut state = self.shared.lock();
        if let Some(kind) = cause
            && kind != Kind::CertificateRefused
        {
            state.note_refused(kind);
        }
        let peer = &mut state.peers[self.index];
        if peer.at(self.epoch).is_none() {
            return;
        }
        peer.drop_session(cause);
        let first = matches!(peer.phase, Phase::Waiting);
        if first && cause == Some(Kind::CertificateRefused) {
            let error = WireError::new(Kind::CertificateRefused).of(&peer.name);
            state.fail(self.index, error);
        }
        state.wake_senders(self.index);
    }

    async fn read(&self, incoming: &mut Streaming<Envelope>) -> End {
        let limits = &self.shared.limits;
        let greeting = tokio::time::Instant::now() + limits.handshake;
        let stall = 3 * limits.heartbeat;
        let mut timer = Box::pin(tokio::time::sleep(limits.handshake.min(limits.heartbeat)));
        loop {
            tokio::select! {
                biased;
                message = incoming.message() => match message {
                    Ok(Some(envelope)) => {
                        if let Err(end) = self.handle(envelope) {
                            return end;
                        }
                    }
                    Ok(None) => return End::Broken(None),
                    Err(status) => return self.broken(&status),
                },
                () = &mut timer => {
                    if SystemTime::now() >= self.expires {
                        return End::Broken(Some(Kind::Expired));
                    }
                    let (heard, greeted) = {
                        let mut state = self.shared.lock();
                        let peer = &mut state.peers[self.index];
                        let Some(greeted) = peer.at(self.epoch).map(|s| s.greeted) else {
                            return End::Broken(None);
                        };
                        (peer.heard, greeted)
                    };
                    let late = !greeted && tokio::time::Instant::now() >= greeting;
                    if late || greeted && heard.elapsed() >= stall {
                        return End::Broken(None);
                    }
                    let left = self.expires.duration_since(SystemTime::now()).unwrap_or_default();
                    let next = limits.heartbeat.min(left).max(Duration::from_millis(1));
                    timer.as_mut().reset(tokio::time::Instant::now() + next);
                }
            }
        }
    }

    /// Tells a broken connection from broken contents.
    fn broken(&self, status: &Status) -> End {
        use std::error::Error;
        if status.source().is_some() || self.meter.fault().is_some() {
            return End::Broken(None);
        }
        let kind = match status.code() {
            Code::OutOfRange => Kind::TooLarge,
            Code::Internal => Kind::Corrupted,
            _ => return End::Broken(None),
        };
        let mut state = self.shared.lock();
        if state.peers[self.index].at(self.epoch).is_none() {
            return End::Broken(None);
        }
        state.refuse(self.index, self.epoch, kind);
        End::Unreadable
    }

    fn handle(&self, envelope: Envelope) -> Result<(), End> {
        let mut state = self.shared.lock();
        let peer = &mut state.peers[self.index];
        if peer.at(self.epoch).is_none() {
            return Err(End::Broken(None));
        }
        if matches!(peer.phase, Phase::Failed(_)) {
            return Err(End::Over);
        }
        peer.heard = Instant::now();
        self.obey(&mut state, envelope).map_err(|kind| {
            state.refuse(self.index, self.epoch, kind);
            End::Over
        })?;
        if matches!(state.peers[self.index].phase, Phase::Failed(_)) {
            return Err(End::Over);
        }
        Ok(())
    }

    fn obey(&self, state: &mut State, envelope: Envelope) -> Result<(), Kind> {
        let peer = &mut state.peers[self.index];
        let greeted = peer.at(self.epoch).is_some_and(|session| session.greeted);
        if let Some(receipt) = envelope.receipt {
            if !greeted {
                return Err(Kind::Violation);
            }
            peer.outbox.acknowledge(&receipt)?;
            state.wake_senders(self.index);
        }
        match envelope.content {
            Some(Content::Hello(hello)) if !greeted => self.greet(state, &hello),
            Some(Content::Heartbeat(_)) => Ok(()),
            Some(Content::Abort(abort)) => {
                let error = failed_peer(&state.peers[self.index].name, abort)?;
                let peer = &mut state.peers[self.index];
                if let Some(session) = peer.at(self.epoch) {
                    session
                        .urgent
                        .push_back(Content::AbortReceived(AbortReceived {}));
                    session.finishing = true;
                }
                peer.wake();
                state.fail(self.index, error);
                Ok(())
            }
            Some(Content::AbortReceived(_)) => self.heard(state),
            Some(Content::Refusal(refusal)) => {
                let mut error =
                    WireError::new(Kind::FrameRefused).of(&state.peers[self.index].name);
                error.peer_code = Some(code_text(refusal.code)?);
                state.fail(self.index, error);
                Ok(())
            }
            None if greeted && envelope.receipt.is_some() => Ok(()),
            Some(content) if greeted => self.numbered(state, content),
            _ => Err(Kind::Violation),
        }
    }

    /// The peer knows how this party failed, so the connection may end.
    fn heard(&self, state: &mut State) -> Result<(), Kind> {
        let peer = &mut state.peers[self.index];
        if peer.parting.is_none() {
            return Err(Kind::Violation);
        }
        peer.acknowledged = true;
        peer.wake();
        peer.changed.notify_one();
        state.wake_senders(self.index);
        Ok(())
    }

    fn numbered(&self, state: &mut State, content: Content) -> Result<(), Kind> {
        let threshold = self.shared.receipt_bytes();
        let peer = &mut state.peers[self.index];
        peer.counts.frames_received += 1;
        match content {
            Content::Frame(frame) => {
                if frame.from != peer.name || frame.to != self.shared.party {
                    return Err(Kind::WrongParty);
                }
                let bytes = frame.body.len() as u64;
                let accepted = peer.inbox.accept(frame)?;
                if peer.owe_receipt(bytes, threshold, Instant::now()) {
                    peer.wake();
                }
                match accepted {
                    Accepted::Again => peer.counts.frames_repeated += 1,
                    Accepted::Piece => {}
                    Accepted::Message(address, body) => state.deliver(self.index, address, body),
                }
            }
            Content::Bye(bye) => {
                if peer.inbox.accept_bye(bye.sequence)? {
                    peer.phase = Phase::Left;
                }
                peer.owe_receipt(0, 0, Instant::now());
                peer.wake();
                peer.changed.notify_one();
                state.wake_all();
            }
            _ => return Err(Kind::Violation),
        }
        Ok(())
    }

    fn greet(&self, state: &mut State, hello: &Hello) -> Result<(), Kind> {
        let peer = &mut state.peers[self.index];
        if hello.from != peer.name || hello.to != self.shared.party {
            return Err(Kind::WrongParty);
        }
        if hello.highest_version < VERSIONS.0 || hello.lowest_version > VERSIONS.1 {
            return Err(Kind::Version);
        }
        if hello.instance.len() != 16 || !matches!(hello.known_instance.len(), 0 | 16) {
            return Err(Kind::Violation);
        }
        let other = peer.instance.as_ref().is_some_and(|i| *i != hello.instance);
        let stale =
            hello.known_instance.len() == 16 && hello.known_instance != self.shared.instance;
        if other || stale {
            return Err(Kind::Restarted);
        }
        peer.outbox.resume(hello.received, hello.window)?;
        peer.instance = Some(hello.instance.clone());
        if matches!(peer.phase, Phase::Waiting) {
            peer.phase = Phase::Met;
        }
        peer.owe_receipt(0, 1, Instant::now());
        if let Some(session) = peer.at(self.epoch) {
            session.greeted = true;
        }
        peer.wake();
        peer.changed.notify_one();
        state.wake_senders(self.index);
        Ok(())
    }
}

fn code_text(code: String) -> Result<String, Kind> {
    if is_code(&code) {
        Ok(code)
    } else {
        Err(Kind::Violation)
    }
}

fn failed_peer(peer: &str, abort: Abort) -> Result<WireError, Kind> {
    let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if abort.phase.len() > PHASE_BYTES || !abort.phase.bytes().all(printable) {
        return Err(Kind::Violation);
    }
    let mut error = WireError::new(Kind::PeerFailed).of(peer);
    error.peer_code = Some(code_text(abort.code)?);
    error.peer_phase = Some(abort.phase).filter(|phase| !phase.is_empty());
    Ok(error)
}
