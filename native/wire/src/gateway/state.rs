//! What a gateway knows: whom it trusts, which workers are registered, what is connected.

use rustls::{ClientConfig, ServerConfig};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, oneshot, watch};
use zeroize::Zeroizing;

use super::caller::Caller;
use super::queue::{Calls, Notice};
use super::target::Target;
use crate::error::{Kind, Result, WireError};
use crate::local;
use crate::name::KeyHash;
use crate::splice::ByteCounter;
use crate::tls::{HTTP2, Own, RELAY, Shown};
use crate::trust::{ClientVerifier, Newest, Pin};

/// How many streams of workers one partner may have open, those under way included.
const RELAYS: usize = 256;
/// How many connections for calls one partner may have open; a further one ends the oldest.
const CONTROLS: usize = 2;
/// How often it is looked whether certificates have expired meanwhile: clocks may jump.
const CLOCK: Duration = Duration::from_secs(30);

/// A gateway's time limits.
#[derive(Clone, Debug)]
pub struct GatewayLimits {
    /// How long connecting and a handshake may take.
    pub handshake: Duration,
    /// How long a call may wait for its answer.
    pub answer: Duration,
}

/// A trusted partner.
pub struct Partner {
    pem: String,
    pin: Arc<Pin>,
    since: u64,
    /// Where it is dialled.
    pub address: Option<String>,
    /// How it is dialled for a worker.
    pub relay: Arc<ClientConfig>,
    /// Its calls.
    pub caller: Arc<Caller>,
}

/// A worker of this node.
pub struct Registration {
    token: Zeroizing<Vec<u8>>,
    socket: String,
    peers: HashMap<String, Arc<ByteCounter>>,
}

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// A partner's calls.
    Control,
    /// This node's calls.
    Calling,
    /// A worker's stream that has no label yet.
    Relay,
    /// A worker's stream.
    Labelled(String),
}

struct Live {
    party: String,
    key: KeyHash,
    used: Use,
    _cut: oneshot::Sender<()>,
}

/// Counts of one partner.
#[derive(Debug, Default)]
pub struct PartnerCounts {
    /// Calls made.
    pub calls_sent: u64,
    /// Calls received.
    pub calls_received: u64,
    /// Bytes of what was called and answered here.
    pub call_bytes_sent: u64,
    /// Bytes of the partner's calls and answers.
    pub call_bytes_received: u64,
    /// Workers' streams so far.
    pub relays: u64,
    /// Bytes of workers' streams.
    pub tally: Arc<ByteCounter>,
}

/// Everything under the lock.
pub struct State {
    /// The own certificate and key.
    pub own: Arc<Own>,
    /// For accepted connections of partners.
    pub server: Arc<ServerConfig>,
    /// For strangers, while they may enrol.
    pub enrolment: Option<Arc<ServerConfig>>,
    /// Trust changes are numbered.
    pub epoch: u64,
    /// Whom this node trusts.
    pub partners: HashMap<String, Partner>,
    /// Calls that wait.
    pub calls: Calls,
    /// Bytes of calls that are still arriving, by partner.
    pub arriving: HashMap<String, usize>,
    /// Counts by partner, also of former ones.
    pub counts: BTreeMap<String, PartnerCounts>,
    /// What was refused here, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Nothing is served any more.
    pub closed: bool,
    /// The workers, by label.
    pub registrations: BTreeMap<String, Registration>,
    live: BTreeMap<u64, Live>,
    numbers: u64,
}

/// A gateway's knowledge with its lock.
pub struct GatewayState {
    /// The party.
    pub party: String,
    /// Time limits.
    pub limits: GatewayLimits,
    /// The party's own CA, which enrolment shows.
    pub authority: Option<String>,
    /// Wakes those who wait for a worker to be registered.
    pub registered: Notify,
    /// Wakes those who wait for the next call.
    pub called: Condvar,
    /// Announces that the gateway closes.
    pub stop: watch::Sender<bool>,
    clients: Arc<ClientVerifier>,
    state: Mutex<State>,
}

/// A connection that is known, until it is dropped.
pub struct Hold {
    gateway: Arc<GatewayState>,
    number: u64,
    cut: oneshot::Receiver<()>,
    expires: SystemTime,
}

impl Hold {
    /// Waits until the connection must end: trust or label withdrawn, or certificates expired.
    pub async fn over(&mut self) {
        loop {
            let left = self.expires.duration_since(SystemTime::now());
            let Ok(left) = left else {
                return self.gateway.note(Kind::Expired);
            };
            let pause = tokio::time::sleep(left.clamp(Duration::from_millis(1), CLOCK));
            tokio::select! {
                _ = &mut self.cut => return,
                () = pause => {}
            }
        }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gateway.lock().live.remove(&self.number);
    }
}

impl GatewayState {
    /// A gateway that trusts no one yet.
    pub fn new(
        party: &str,
        own: Own,
        authority: Option<String>,
        limits: GatewayLimits,
    ) -> Result<Self> {
        let own = own.under(authority.as_deref())?;
        let clients = Arc::new(ClientVerifier::new(&own.provider));
        let server = own.server(clients.clone(), &[HTTP2, RELAY])?;
        Ok(GatewayState {
            party: party.to_owned(),
            limits,
            authority,
            registered: Notify::new(),
            called: Condvar::new(),
            stop: watch::Sender::new(false),
            clients,
            state: Mutex::new(State {
                own: Arc::new(own),
                server: Arc::new(server),
                enrolment: None,
                epoch: 0,
                partners: HashMap::new(),
                registrations: BTreeMap::new(),
                calls: Calls::default(),
                arriving: HashMap::new(),
                counts: BTreeMap::new(),
                refused: BTreeMap::new(),
                closed: false,
                live: BTreeMap::new(),
                numbers: 0,
            }),
        })
    }

    /// Locks the state.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something that was refused here.
    pub fn note(&self, kind: Kind) {
        *self.lock().refused.entry(kind.code()).or_default() += 1;
    }

    /// Pins a partner's CA, or changes its address; `newest` is the certificate of it that was
    /// seen last, in a former life of this process perhaps.
    pub fn set_peer(
        &self,
        party: &str,
        pem: &str,
        address: Option<String>,
        newest: Option<Newest>,
    ) -> Result<()> {
        let own = self.lock().own.clone();
        let pin = Arc::new(Pin::read(party, pem, &own.provider)?);
        let mut state = self.lock();
        let former = state.partners.remove(party);
        let same = former.as_ref().is_some_and(|former| former.pem == pem);
        let (pin, since) = match former {
            Some(former) if same => (former.pin, former.since),
            _ => {
                state.epoch += 1;
                (pin, state.epoch)
            }
        };
        if let Some(newest) = newest {
            // What is older than what this process has seen changes nothing.
            let _ = pin.note(newest);
        }
        self.clients.add(pin.clone());
        let partner = Partner {
            pem: pem.to_owned(),
            since,
            address,
            relay: Arc::new(state.own.client(pin.clone(), RELAY)?),
            caller: Arc::new(Caller::new(Arc::new(state.own.client(pin.clone(), HTTP2)?))),
            pin,
        };
        state.partners.insert(party.to_owned(), partner);
        state.counts.entry(party.to_owned()).or_default();
        if !same {
            state.live.retain(|_, live| live.party != party);
        }
        Ok(())
    }

    /// Withdraws the trust in a partner and cuts its connections.
    pub fn remove_peer(&self, party: &str) {
        self.clients.remove(party);
        let mut state = self.lock();
        state.epoch += 1;
        state.partners.remove(party);
        state.live.retain(|_, live| live.party != party);
    }

    /// Uses another certificate and key from now on; connections that began with another key end.
    pub fn renew(&self, own: Own) -> Result<()> {
        let own = Arc::new(own.under(self.authority.as_deref())?);
        let mut state = self.lock();
        let rotated = own.key != state.own.key;
        state.server = Arc::new(own.server(self.clients.clone(), &[HTTP2, RELAY])?);
        if let (Some(_), Some(authority)) = (&state.enrolment, &self.authority) {
            state.enrolment = Some(Arc::new(own.enrolment(authority)?));
        }
        for partner in state.partners.values_mut() {
            partner.relay = Arc::new(own.client(partner.pin.clone(), RELAY)?);
            let control = own.client(partner.pin.clone(), HTTP2)?;
            partner.caller = Arc::new(Caller::new(Arc::new(control)));
        }
        state.own = own;
        if rotated {
            // A partner that dials this node learns of the new key when it does so again.
            state.live.clear();
        }
        Ok(())
    }

    /// Lets strangers enrol, or not.
    pub fn set_enrolment(&self, open: bool) -> Result<()> {
        let mut state = self.lock();
        state.enrolment = match (&self.authority, open) {
            (_, false) => None,
            (None, true) => {
                let error = WireError::new(Kind::Settings);
                return Err(error.because("enrolment shows the own CA, which is not given"));
            }
            (Some(authority), true) => Some(Arc::new(state.own.enrolment(authority)?)),
        };
        Ok(())
    }

    /// Notes a worker.
    pub fn register(
        &self,
        label: &str,
        token: Zeroizing<Vec<u8>>,
        socket: &str,
        peers: &[String],
    ) -> Result<()> {
        let mut state = self.lock();
        if state.registrations.contains_key(label) {
            return Err(WireError::new(Kind::Argument).because("the label is in use"));
        }
        let distinct: HashSet<_> = peers.iter().cloned().collect();
        let registration = Registration {
            token,
            socket: socket.to_owned(),
            peers: distinct
                .into_iter()
                .map(|peer| (peer, Arc::default()))
                .collect(),
        };
        state.registrations.insert(label.to_owned(), registration);
        drop(state);
        self.registered.notify_waiters();
        Ok(())
    }

    /// Forgets a worker and cuts its streams; what it moved, by peer.
    pub fn unregister(&self, label: &str) -> Vec<(String, Arc<ByteCounter>)> {
        let mut state = self.lock();
        let gone = Use::Labelled(label.to_owned());
        state.live.retain(|_, live| live.used != gone);
        let registration = state.registrations.remove(label);
        registration.map_or_else(Vec::new, |known| known.peers.into_iter().collect())
    }

    /// Makes a connection known whose handshake began at `epoch`; none if it is not trusted (any
    /// more) or one too many.
    pub fn admit(
        self: &Arc<Self>,
        party: &str,
        epoch: u64,
        used: Use,
        shown: Shown,
    ) -> std::result::Result<Hold, Kind> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let partner = state.partners.get(party).filter(|p| p.since <= epoch);
        let Some(partner) = partner.filter(|_| !state.closed) else {
            return Err(Kind::UnknownPeer);
        };
        if shown.own != state.own.key {
            // It was rotated during the handshake.
            return Err(Kind::Unreachable);
        }
        let expires = shown.expires.min(partner.pin.ends());
        if partner.pin.note(shown.leaf)? {
            let key = shown.leaf.key;
            state
                .live
                .retain(|_, live| live.party != party || live.key == key);
            state.calls.notice(Notice {
                party: party.to_owned(),
                newest: shown.leaf,
            });
            self.called.notify_one();
        }
        let like = |live: &&Live| {
            let relay = |used: &Use| matches!(used, Use::Relay | Use::Labelled(_));
            live.party == party && (live.used == used || relay(&live.used) && relay(&used))
        };
        let count = state.live.values().filter(like).count();
        if used == Use::Control && count >= CONTROLS {
            let oldest = state.live.iter().find(|(_, live)| like(live));
            if let Some(number) = oldest.map(|(number, _)| *number) {
                state.live.remove(&number);
            }
        } else if count >= RELAYS {
            return Err(Kind::Crowded);
        }
        state.numbers += 1;
        let number = state.numbers;
        let (sender, cut) = oneshot::channel();
        let live = Live {
            party: party.to_owned(),
            key: shown.leaf.key,
            used,
            _cut: sender,
        };
        state.live.insert(number, live);
        Ok(Hold {
            gateway: self.clone(),
            number,
            cut,
            expires,
        })
    }

    /// Finds the worker that a partner's stream is for, and binds the stream to its label.
    pub fn worker(&self, label: &str, from: &str, number: u64) -> Option<Way> {
        let mut state = self.lock();
        let registration = state.registrations.get(label)?;
        let way = Way {
            tally: registration.peers.get(from)?.clone(),
            total: state.counts.get(from)?.tally.clone(),
            socket: registration.socket.clone(),
            token: registration.token.clone(),
        };
        state.live.get_mut(&number)?.used = Use::Labelled(label.to_owned());
        Some(way)
    }

    /// Checks what a worker of this node shows, and finds the partner that it wants.
    pub fn partner(
        &self,
        label: &str,
        token: &[u8],
        peer: &str,
    ) -> std::result::Result<Target, Kind> {
        let state = self.lock();
        let registration = state.registrations.get(label);
        let registration = registration
            .filter(|known| local::is_same(&known.token, token))
            .ok_or(Kind::UnknownWorker)?;
        let tally = registration.peers.get(peer).ok_or(Kind::UnknownPeer)?;
        let partner = state.partners.get(peer).ok_or(Kind::UnknownPeer)?;
        let counts = state.counts.get(peer).ok_or(Kind::UnknownPeer)?;
        Ok(Target {
            tallies: [tally.clone(), counts.tally.clone()],
            address: partner.address.clone().ok_or(Kind::NoAddress)?,
            config: partner.relay.clone(),
            own: state.own.shown(),
            epoch: state.epoch,
        })
    }

    /// Counts a stream that came about.
    pub fn count_relay(&self, party: &str) {
        if let Some(counts) = self.lock().counts.get_mut(party) {
            counts.relays += 1;
        }
    }
}

/// How a worker of this node is reached.
pub struct Way {
    /// Bytes of the worker with this partner.
    pub tally: Arc<ByteCounter>,
    /// Bytes of all workers with this partner.
    pub total: Arc<ByteCounter>,
    /// The worker's socket.
    pub socket: String,
    /// The registration's token.
    pub token: Zeroizing<Vec<u8>>,
}

impl State {
    /// Returns whether a connection for this use lives.
    pub fn is_open(&self, used: &Use) -> bool {
        self.live.values().any(|live| live.used == *used)
    }

    /// How many streams of workers live, by label and party.
    pub fn relays(&self) -> HashMap<(&str, &str), u64> {
        let mut open = HashMap::new();
        for live in self.live.values() {
            if let Use::Labelled(label) = &live.used {
                *open
                    .entry((label.as_str(), live.party.as_str()))
                    .or_default() += 1;
            }
        }
        open
    }
}

impl Registration {
    /// Bytes by peer.
    pub fn tallies(&self) -> impl Iterator<Item = (&String, &Arc<ByteCounter>)> {
        self.peers.iter()
    }
}
