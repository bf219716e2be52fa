//! A gateway: a node's one port towards its partners, driven from plain blocking threads.

mod arriving;
mod caller;
mod calls;
mod control;
mod enrol;
mod listen;
mod queue;
mod relay;
mod state;
mod target;

use bytes::Bytes;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle, Runtime};
use zeroize::Zeroizing;

pub use self::queue::{Called, Next, Notice};
pub use self::state::GatewayLimits;
use self::state::{GatewayState, State, Use};
use crate::endpoint::Interrupt;
use crate::error::{Kind, Result, WireError};
use crate::limits::{CALL_BYTES, KIND_BYTES};
use crate::local::Local;
use crate::name::is_party;
use crate::proto::CallRequest;
use crate::shared::SLICE;
use crate::splice::ByteCounter;
use crate::start::{bind, check_registration};
use crate::tls::{Identity, Own};
use crate::trust::{FINGERPRINT, Newest};

/// How long the last answers may take when the gateway closes.
const FAREWELL: Duration = Duration::from_secs(1);

/// Counts with their names.
pub type Named = Vec<(&'static str, u64)>;

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub struct GatewayCounters {
    /// Each partner, former ones too, and its counts.
    pub peers: Vec<(String, Named)>,
    /// Each worker's label, each of its peers, and their counts.
    pub labels: Vec<(String, Vec<(String, Named)>)>,
    /// How often something was refused here, by code.
    pub refused: Vec<(&'static str, u64)>,
}

/// A node's gateway. Dropping it cuts every connection.
pub struct Gateway {
    gateway: Arc<GatewayState>,
    address: Option<SocketAddr>,
    handle: Handle,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Gateway {
    /// Listens for partners on `listen` (`host:port`, port 0 for any) and for workers on the Unix
    /// socket `socket`. `authority` is the party's own CA, which enrolment shows.
    pub fn start(
        identity: &Identity,
        authority: Option<String>,
        listen: Option<&str>,
        socket: &str,
        limits: GatewayLimits,
    ) -> Result<Self> {
        if !is_party(&identity.party) {
            return Err(settings("a party is not a DNS label"));
        }
        if limits.handshake.is_zero() || limits.answer.is_zero() {
            return Err(settings("a time limit is zero"));
        }
        let own = Own::read(identity)?;
        let gateway = Arc::new(GatewayState::new(&identity.party, own, authority, limits)?);
        let local = Local::bind(socket)?;
        let listener = listen.map(bind).transpose()?;
        let address = listener.as_ref().and_then(|l| l.local_addr().ok());
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|_| settings("no event loop"))?;
        let handle = runtime.handle().clone();
        let worked = gateway.clone();
        let thread = std::thread::Builder::new()
            .name("atoll-gateway".to_owned())
            .spawn(move || work(&worked, runtime, listener, local))
            .map_err(|error| settings(&error.kind().to_string()))?;
        Ok(Gateway {
            gateway,
            address,
            handle,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Where partners reach this node.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Pins a partner's CA (PEM), or changes its address (`host:port`). `newest` is the certificate
    /// of it that was seen last.
    pub fn set_peer(
        &self,
        party: &str,
        pem: &str,
        address: Option<String>,
        newest: Option<Newest>,
    ) -> Result<()> {
        if !is_party(party) || party == self.gateway.party {
            return Err(settings("not the name of another party").of(party));
        }
        self.gateway.set_peer(party, pem, address, newest)
    }

    /// Withdraws the trust in a partner; its connections end at once.
    pub fn remove_peer(&self, party: &str) {
        self.gateway.remove_peer(party);
    }

    /// Uses another certificate chain and key; with another key the connections that are open end.
    pub fn renew(&self, chain: String, key: Zeroizing<String>) -> Result<()> {
        let party = self.gateway.party.clone();
        self.gateway
            .renew(Own::read(&Identity { party, chain, key })?)
    }

    /// Lets strangers enrol, or not.
    pub fn set_enrolment(&self, open: bool) -> Result<()> {
        self.gateway.set_enrolment(open)
    }

    /// Lets a worker communicate with these peers.
    pub fn register(
        &self,
        label: &str,
        token: Zeroizing<Vec<u8>>,
        socket: &str,
        peers: &[String],
    ) -> Result<()> {
        check_registration(label, &token)?;
        self.gateway.register(label, token, socket, peers)
    }

    /// Forgets a worker; its streams end at once. Returns what it moved, by peer.
    pub fn unregister(&self, label: &str) -> Vec<(String, Named)> {
        let moved = self.gateway.unregister(label);
        let named = |(peer, tally): (String, Arc<ByteCounter>)| (peer, bytes(&tally));
        moved.into_iter().map(named).collect()
    }

    /// Calls a partner and waits for its answer.
    pub fn call(
        &self,
        peer: &str,
        kind: &str,
        body: Bytes,
        timeout: Duration,
        interrupt: Interrupt<'_>,
    ) -> Result<Bytes> {
        if kind.is_empty() || kind.chars().count() > KIND_BYTES {
            return Err(WireError::new(Kind::Argument).because("a kind has 1 to 64 characters"));
        }
        if body.len() > CALL_BYTES {
            return Err(WireError::new(Kind::TooLarge).of(peer));
        }
        let timeout_milliseconds = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let kind = kind.to_owned();
        let request = CallRequest {
            kind,
            body,
            timeout_milliseconds,
        };
        let (sender, receiver) = sync_channel(1);
        let (gateway, to) = (self.gateway.clone(), peer.to_owned());
        let task = self.handle.spawn(async move {
            let _ = sender.send(control::call(gateway, to, request).await);
        });
        let result = wait(&receiver, Instant::now() + timeout, interrupt);
        task.abort();
        result.map_err(|error| match error.peer {
            Some(_) => error,
            None => error.of(peer),
        })
    }

    /// Waits for the next call of a partner, or a notice about one.
    pub fn next_call(&self, timeout: Duration, interrupt: Interrupt<'_>) -> Result<Option<Next>> {
        calls::next(&self.gateway, Instant::now() + timeout, interrupt)
    }

    /// Answers a call; returns whether its caller still waits.
    pub fn answer(&self, number: u64, body: Bytes) -> Result<bool> {
        calls::reply(&self.gateway, number, Ok(body))
    }

    /// Refuses a call; returns whether its caller still waits.
    pub fn refuse(&self, number: u64, code: &str) -> Result<bool> {
        calls::reply(&self.gateway, number, Err(code.to_owned()))
    }

    /// What happened so far.
    pub fn counters(&self) -> GatewayCounters {
        let state = self.gateway.lock();
        let open = state.relays();
        GatewayCounters {
            peers: peer_counts(&state),
            labels: state
                .registrations
                .iter()
                .map(|(label, registration)| {
                    let peers = registration.tallies().map(|(peer, tally)| {
                        let mut named = bytes(tally);
                        let relays = open.get(&(label.as_str(), peer.as_str()));
                        named.push(("relays_open", relays.copied().unwrap_or(0)));
                        (peer.clone(), named)
                    });
                    (label.clone(), peers.collect())
                })
                .collect(),
            refused: state.refused.iter().map(|(c, n)| (*c, *n)).collect(),
        }
    }

    /// Ends every connection, the calls with a last answer, and stops. May be called again.
    pub fn close(&self) {
        {
            let mut state = self.gateway.lock();
            state.closed = true;
            state.calls.refuse_all(Kind::Closed.code());
        }
        self.gateway.called.notify_all();
        self.gateway.stop.send_replace(true);
        let lock = |error: PoisonError<_>| error.into_inner();
        if let Some(thread) = self.thread.lock().unwrap_or_else(lock).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.close();
    }
}

/// Asks the party of an invitation to become its partner; its CA's SHA-256 is known.
pub fn enrol(
    address: &str,
    party: &str,
    fingerprint: [u8; FINGERPRINT],
    body: Bytes,
    timeout: Duration,
    interrupt: Interrupt<'_>,
) -> Result<Bytes> {
    if !is_party(party) {
        return Err(settings("a party is not a DNS label"));
    }
    let (sender, receiver) = sync_channel(1);
    let (address, to) = (address.to_owned(), party.to_owned());
    let work = move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else {
            return;
        };
        let answer = runtime.block_on(async {
            let asked = enrol::enrol(&address, &to, fingerprint, body);
            tokio::time::timeout(timeout, asked).await
        });
        if let Ok(answer) = answer {
            let _ = sender.send(answer);
        }
        runtime.shutdown_background();
    };
    std::thread::Builder::new()
        .name("atoll-enrol".to_owned())
        .spawn(work)
        .map_err(|error| settings(&error.kind().to_string()))?;
    match wait(&receiver, Instant::now() + timeout, interrupt) {
        // The thread ends without a word when its time is over.
        Err(error) if error.kind == Kind::Closed => Err(WireError::new(Kind::Deadline).of(party)),
        other => other,
    }
}

fn settings(detail: &str) -> WireError {
    WireError::new(Kind::Settings).because(detail)
}

fn wait(
    receiver: &Receiver<Result<Bytes>>,
    deadline: Instant,
    interrupt: Interrupt<'_>,
) -> Result<Bytes> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(SLICE.min(left)) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return Err(WireError::new(Kind::Closed)),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                return Err(WireError::new(Kind::Deadline));
            }
            Err(RecvTimeoutError::Timeout) if interrupt() => {
                return Err(WireError::new(Kind::Cancelled));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn bytes(tally: &ByteCounter) -> Named {
    let (sent, received) = tally.totals();
    vec![("bytes_sent", sent), ("bytes_received", received)]
}

fn peer_counts(state: &State) -> Vec<(String, Named)> {
    let open = state.relays();
    let named = state.counts.iter().map(|(party, counts)| {
        let (sent, received) = counts.tally.totals();
        let relays = open.iter().filter(|((_, peer), _)| peer == party);
        let named = vec![
            ("calls_sent", counts.calls_sent),
            ("calls_received", counts.calls_received),
            ("call_bytes_sent", counts.call_bytes_sent),
            ("call_bytes_received", counts.call_bytes_received),
            ("relays_total", counts.relays),
            ("relays_open", relays.map(|(_, count)| count).sum()),
            ("relay_bytes_sent", sent),
            ("relay_bytes_received", received),
        ];
        (party.clone(), named)
    });
    named.collect()
}

/// The one thread on which all connections of a gateway live.
fn work(
    gateway: &Arc<GatewayState>,
    runtime: Runtime,
    listener: Option<TcpListener>,
    mut local: Local,
) {
    runtime.block_on(async {
        let mut listeners = tokio::task::JoinSet::new();
        if let Some(listener) = listener.and_then(|l| tokio::net::TcpListener::from_std(l).ok()) {
            listeners.spawn(listen::listen(gateway.clone(), listener));
        }
        let listener = local
            .listener
            .take()
            .map(tokio::net::UnixListener::from_std);
        if let Some(Ok(listener)) = listener {
            listeners.spawn(listen::listen_locally(gateway.clone(), listener));
        }
        let _ = gateway.stop.subscribe().wait_for(|stop| *stop).await;
        // The socket's file goes before its listener, so that no successor's is removed.
        drop(local);
        listeners.shutdown().await;
        let last = async {
            while gateway.lock().is_open(&Use::Control) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, last).await;
    });
    // A name look-up may still be under way; no one waits for it.
    runtime.shutdown_background();
}
