//! One connection to one peer: what goes out, and what is done with what comes in.

use futures_core::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::Sleep;
use tonic::{Code, Status, Streaming};

use crate::error::{Kind, WireError};
use crate::inbox::Accepted;
use crate::limits::{PHASE_BYTES, VERSIONS};
use crate::line::{Cutter, Meter};
use crate::link::{Link, Phase, RECEIPT_DELAY, Session};
use crate::outbox::Item;
use crate::proto::envelope::Content;
use crate::proto::{Abort, Envelope, Heard, Heartbeat, Hello};
use crate::shared::{Shared, State};
use crate::word::is_code;

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
    link: usize,
    epoch: u64,
    sleep: Pin<Box<Sleep>>,
}

/// A session's name: the peer's number and the connection's.
#[derive(Clone)]
pub struct Ticket {
    shared: Arc<Shared>,
    link: usize,
    epoch: u64,
    meter: Arc<Meter>,
    expires: SystemTime,
}

/// Makes this connection the present one, unless a better one lives.
pub fn open(
    shared: &Arc<Shared>,
    link: usize,
    connection: Connection,
) -> Option<(Ticket, Outgoing)> {
    let mut state = shared.lock();
    let parted = state.parted;
    let target = &mut state.links[link];
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
        spoke: Instant::now(),
        waker: None,
        meter: connection.meter.clone(),
        _cutter: connection.cutter,
    });
    target.changed.notify_one();
    let ticket = Ticket {
        shared: shared.clone(),
        link,
        epoch,
        meter: connection.meter,
        expires: connection.expires,
    };
    let outgoing = Outgoing {
        shared: shared.clone(),
        link,
        epoch,
        sleep: Box::pin(tokio::time::sleep(shared.limits.heartbeat)),
    };
    Some((ticket, outgoing))
}

fn hello(shared: &Shared, link: &Link) -> Hello {
    Hello {
        lowest_version: VERSIONS.0,
        highest_version: VERSIONS.1,
        from: shared.party.clone(),
        to: link.name.clone(),
        instance: shared.instance.to_vec(),
        known_instance: link.instance.clone().unwrap_or_default(),
        received: link.inbox.receipt().received,
        window: shared.limits.window,
    }
}

impl Outgoing {
    /// The next thing to send, or when to look again.
    fn next(&self, state: &mut State, context: &Context<'_>) -> Result<Option<Envelope>, Instant> {
        let limits = &self.shared.limits;
        let now = Instant::now();
        let link = &mut state.links[self.link];
        let Some(session) = link.at(self.epoch) else {
            return Ok(None);
        };
        if let Some(content) = session.urgent.pop_front() {
            session.spoke = now;
            return Ok(Some(Envelope {
                receipt: None,
                content: Some(content),
            }));
        }
        if session.finishing {
            // A failure is told only once the peer says so: until then the line stays.
            return if link.owes_parting() {
                Err(self.pause(link, context, now + limits.heartbeat))
            } else {
                Ok(None)
            };
        }
        let (greeted, beat) = (session.greeted, session.spoke + limits.heartbeat);
        let mut content = if greeted { next_item(link) } else { None };
        let mut due = beat;
        if greeted && content.is_none() {
            if let Some(since) = link.receipt_since {
                due = due.min(since + RECEIPT_DELAY);
            }
            if due > now && !link.receipt_now {
                return Err(self.pause(link, context, due));
            }
            if beat <= now {
                content = Some(Content::Heartbeat(Heartbeat {}));
            }
        } else if !greeted {
            if beat > now {
                return Err(self.pause(link, context, beat));
            }
            content = Some(Content::Heartbeat(Heartbeat {}));
        }
        if let Some(session) = link.at(self.epoch) {
            session.spoke = now;
        }
        let receipt = if greeted { link.take_receipt() } else { None };
        Ok(Some(Envelope { receipt, content }))
    }

    fn pause(&self, link: &mut Link, context: &Context<'_>, due: Instant) -> Instant {
        if let Some(session) = link.at(self.epoch) {
            session.waker = Some(context.waker().clone());
        }
        due
    }
}

fn next_item(link: &mut Link) -> Option<Content> {
    let (item, again) = link.outbox.advance()?;
    link.counts.frames_sent += 1;
    link.counts.frames_resent += u64::from(again);
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
    /// The link ended; the peer may still read why.
    Over,
    /// The same, because what came in could not be read.
    Unreadable,
    /// The connection broke; another may follow.
    Broken(Option<Kind>),
}

impl Ticket {
    /// Reads until the connection or the link ends.
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

    /// Ends the session for a peer that wants no connection any more: it has heard, or failed itself.
    pub fn end_over(&self) {
        self.shared.lock().links[self.link].told = true;
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
        let link = &mut state.links[self.link];
        if link.at(self.epoch).is_none() {
            return;
        }
        link.drop_session(cause);
        let first = matches!(link.phase, Phase::Waiting);
        if first && cause == Some(Kind::CertificateRefused) {
            let error = WireError::new(Kind::CertificateRefused).of(&link.name);
            state.fail(self.link, error);
        }
        state.wake_senders(self.link);
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
                        let link = &mut state.links[self.link];
                        let Some(greeted) = link.at(self.epoch).map(|s| s.greeted) else {
                            return End::Broken(None);
                        };
                        (link.heard, greeted)
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
        if state.links[self.link].at(self.epoch).is_none() {
            return End::Broken(None);
        }
        state.refuse(self.link, self.epoch, kind);
        End::Unreadable
    }

    fn handle(&self, envelope: Envelope) -> Result<(), End> {
        let mut state = self.shared.lock();
        let link = &mut state.links[self.link];
        if link.at(self.epoch).is_none() {
            return Err(End::Broken(None));
        }
        if matches!(link.phase, Phase::Failed(_)) {
            return Err(End::Over);
        }
        link.heard = Instant::now();
        self.obey(&mut state, envelope).map_err(|kind| {
            state.refuse(self.link, self.epoch, kind);
            End::Over
        })?;
        if matches!(state.links[self.link].phase, Phase::Failed(_)) {
            return Err(End::Over);
        }
        Ok(())
    }

    fn obey(&self, state: &mut State, envelope: Envelope) -> Result<(), Kind> {
        let link = &mut state.links[self.link];
        let greeted = link.at(self.epoch).is_some_and(|session| session.greeted);
        if let Some(receipt) = envelope.receipt {
            if !greeted {
                return Err(Kind::Violation);
            }
            link.outbox.acknowledge(&receipt)?;
            state.wake_senders(self.link);
        }
        match envelope.content {
            Some(Content::Hello(hello)) if !greeted => self.greet(state, &hello),
            Some(Content::Heartbeat(_)) => Ok(()),
            Some(Content::Abort(abort)) => {
                let error = failed_peer(&state.links[self.link].name, abort)?;
                let link = &mut state.links[self.link];
                if let Some(session) = link.at(self.epoch) {
                    session.urgent.push_back(Content::Heard(Heard {}));
                    session.finishing = true;
                }
                link.wake();
                state.fail(self.link, error);
                Ok(())
            }
            Some(Content::Heard(_)) => self.heard(state),
            Some(Content::Refusal(refusal)) => {
                let mut error = WireError::new(Kind::FrameRefused).of(&state.links[self.link].name);
                error.peer_code = Some(code_text(refusal.code)?);
                state.fail(self.link, error);
                Ok(())
            }
            None if greeted && envelope.receipt.is_some() => Ok(()),
            Some(content) if greeted => self.numbered(state, content),
            _ => Err(Kind::Violation),
        }
    }

    /// The peer knows how this party failed, so the connection may end.
    fn heard(&self, state: &mut State) -> Result<(), Kind> {
        let link = &mut state.links[self.link];
        if link.parting.is_none() {
            return Err(Kind::Violation);
        }
        link.told = true;
        link.wake();
        link.changed.notify_one();
        state.wake_senders(self.link);
        Ok(())
    }

    fn numbered(&self, state: &mut State, content: Content) -> Result<(), Kind> {
        let threshold = self.shared.receipt_bytes();
        let link = &mut state.links[self.link];
        link.counts.frames_received += 1;
        match content {
            Content::Frame(frame) => {
                if frame.from != link.name || frame.to != self.shared.party {
                    return Err(Kind::WrongParty);
                }
                let bytes = frame.body.len() as u64;
                let accepted = link.inbox.accept(frame)?;
                if link.owe_receipt(bytes, threshold, Instant::now()) {
                    link.wake();
                }
                match accepted {
                    Accepted::Again => link.counts.frames_repeated += 1,
                    Accepted::Piece => {}
                    Accepted::Message(address, body) => state.deliver(self.link, address, body),
                }
            }
            Content::Bye(bye) => {
                if link.inbox.accept_bye(bye.sequence)? {
                    link.phase = Phase::Left;
                }
                link.owe_receipt(0, 0, Instant::now());
                link.wake();
                link.changed.notify_one();
                state.wake_all();
            }
            _ => return Err(Kind::Violation),
        }
        Ok(())
    }

    fn greet(&self, state: &mut State, hello: &Hello) -> Result<(), Kind> {
        let link = &mut state.links[self.link];
        if hello.from != link.name || hello.to != self.shared.party {
            return Err(Kind::WrongParty);
        }
        if hello.highest_version < VERSIONS.0 || hello.lowest_version > VERSIONS.1 {
            return Err(Kind::Version);
        }
        if hello.instance.len() != 16 || !matches!(hello.known_instance.len(), 0 | 16) {
            return Err(Kind::Violation);
        }
        let other = link.instance.as_ref().is_some_and(|i| *i != hello.instance);
        let stale =
            hello.known_instance.len() == 16 && hello.known_instance != self.shared.instance;
        if other || stale {
            return Err(Kind::Restarted);
        }
        link.outbox.resume(hello.received, hello.window)?;
        link.instance = Some(hello.instance.clone());
        if matches!(link.phase, Phase::Waiting) {
            link.phase = Phase::Met;
        }
        link.owe_receipt(0, 1, Instant::now());
        if let Some(session) = link.at(self.epoch) {
            session.greeted = true;
        }
        link.wake();
        link.changed.notify_one();
        state.wake_senders(self.link);
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
