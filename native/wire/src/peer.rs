//! One peer as this party sees it: what is under way, the present connection, and how it stands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

use crate::error::{Kind, WireError};
use crate::inbox::Inbox;
use crate::metered::{Cutter, Meter};
use crate::outbox::Outbox;
use crate::proto::Receipt;
use crate::proto::envelope::Content;

/// How long a receipt may wait for something to ride on.
pub const RECEIPT_DELAY: Duration = Duration::from_millis(20);

/// How a peer stands.
#[derive(Debug)]
pub enum Phase {
    /// Not met yet.
    Waiting,
    /// Met; perhaps on the way to a new connection.
    Met,
    /// It ended the session.
    Left,
    /// Nothing more comes of it.
    Failed(WireError),
}

/// The present connection.
#[derive(Debug)]
pub struct Session {
    /// Its number; things of earlier ones are ignored.
    pub epoch: u64,
    /// Whether the peer's hello has come.
    pub greeted: bool,
    /// Whether it ends as soon as what is urgent is sent.
    pub finishing: bool,
    /// Whether the party with the smaller name dialled.
    pub preferred: bool,
    /// What must be sent first.
    pub urgent: VecDeque<Content>,
    /// When something was last sent.
    pub last_sent: Instant,
    /// Wakes the sending task.
    pub waker: Option<Waker>,
    /// Bytes and faults.
    pub meter: Arc<Meter>,
    /// Cuts the connection when dropped.
    pub _cutter: Cutter,
}

/// Counts of one peer.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Messages handed over for sending.
    pub messages_sent: u64,
    /// Messages received whole.
    pub messages_received: u64,
    /// Bytes of the messages sent.
    pub bytes_sent: u64,
    /// Bytes of the messages received.
    pub bytes_received: u64,
    /// Frames sent, repetitions included.
    pub frames_sent: u64,
    /// Frames received, repetitions included.
    pub frames_received: u64,
    /// Frames sent again after a reset.
    pub frames_resent: u64,
    /// Frames received again and dropped.
    pub frames_repeated: u64,
    /// Connections made.
    pub connections: u64,
    /// Bytes written to finished and present connections, below HTTP/2.
    pub stream_bytes_sent: u64,
    /// Bytes read from finished and present connections, below HTTP/2.
    pub stream_bytes_received: u64,
    /// Bytes that wait for the program here (messages not yet read).
    pub bytes_waiting: u64,
}

/// One peer.
#[derive(Debug)]
pub struct PeerState {
    /// The peer's party.
    pub name: String,
    /// How it stands.
    pub phase: Phase,
    /// What is under way to it.
    pub outbox: Outbox,
    /// What is under way from it.
    pub inbox: Inbox,
    /// The present connection.
    pub session: Option<Session>,
    /// How many connections there were.
    pub epochs: u64,
    /// The peer's run, once met.
    pub instance: Option<Vec<u8>>,
    /// When the peer last sent something.
    pub heard: Instant,
    /// Why the last connection, or attempt at one, ended.
    pub cause: Option<Kind>,
    /// Since when a receipt is owed.
    pub receipt_since: Option<Instant>,
    /// Whether the receipt must not wait.
    pub receipt_now: bool,
    /// Bytes since the last receipt.
    pub unreported: u64,
    /// What is sent last: how this party failed.
    pub parting: Option<Content>,
    /// Whether the peer has confirmed it.
    pub acknowledged: bool,
    /// Wakes the task that keeps this connection.
    pub changed: Arc<Notify>,
    /// Counts.
    pub counts: Counts,
}

impl PeerState {
    /// A peer that was not met yet.
    pub fn new(name: &str, window: u64, now: Instant) -> Self {
        PeerState {
            name: name.to_owned(),
            phase: Phase::Waiting,
            outbox: Outbox::default(),
            inbox: Inbox::new(window),
            session: None,
            epochs: 0,
            instance: None,
            heard: now,
            cause: None,
            receipt_since: None,
            receipt_now: false,
            unreported: 0,
            parting: None,
            acknowledged: false,
            changed: Arc::new(Notify::new()),
            counts: Counts::default(),
        }
    }

    /// Whether anything more may come of it.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Met)
    }

    /// Whether this party's failure is still to be sent.
    pub fn owes_parting(&self) -> bool {
        self.parting.is_some() && !self.acknowledged && matches!(self.phase, Phase::Met)
    }

    /// The error of a call that needs this peer, if it cannot be served any more.
    pub fn error(&self) -> Option<WireError> {
        match &self.phase {
            Phase::Waiting | Phase::Met => None,
            Phase::Left => Some(WireError::new(Kind::PeerLeft).of(&self.name)),
            Phase::Failed(error) => Some(error.clone()),
        }
    }

    /// The present connection, if it has this number.
    pub fn at(&mut self, epoch: u64) -> Option<&mut Session> {
        self.session
            .as_mut()
            .filter(|session| session.epoch == epoch)
    }

    /// Lets the sending task look again.
    pub fn wake(&mut self) {
        if let Some(waker) = self.session.as_mut().and_then(|s| s.waker.take()) {
            waker.wake();
        }
    }

    /// Notes that a receipt is owed for `bytes` more; `threshold` makes it urgent.
    /// Returns whether the sending task must look again.
    pub fn owe_receipt(&mut self, bytes: u64, threshold: u64, now: Instant) -> bool {
        self.unreported += bytes;
        let first = self.receipt_since.is_none();
        self.receipt_since.get_or_insert(now);
        if self.unreported >= threshold && !self.receipt_now {
            self.receipt_now = true;
            return true;
        }
        first
    }

    /// Takes the receipt that rides on what is sent now.
    pub fn take_receipt(&mut self) -> Option<Receipt> {
        self.receipt_since.take()?;
        self.receipt_now = false;
        self.unreported = 0;
        Some(self.inbox.receipt())
    }

    /// Ends the present connection and remembers why.
    pub fn drop_session(&mut self, cause: Option<Kind>) {
        if let Some(session) = self.session.take() {
            let (sent, received) = session.meter.totals();
            self.counts.stream_bytes_sent += sent;
            self.counts.stream_bytes_received += received;
            if let Some(waker) = session.waker {
                waker.wake();
            }
        }
        self.cause = cause.or(self.cause);
        self.changed.notify_one();
    }
}
