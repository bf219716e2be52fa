//! Starting an endpoint: by itself over TLS, or through the gateway of its own node.

use ring::rand::{SecureRandom, SystemRandom};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::connector::{Connector, GatewayAccess, Way};
use crate::endpoint::{Endpoint, Peer};
use crate::error::{Kind, Result, WireError};
use crate::limits::{LABEL_BYTES, TOKEN_BYTES, cost};
use crate::local::Local;
use crate::name::is_party;
use crate::shared::{Limits, Shared};
use crate::tls::{Identity, Tls};
use crate::{dial, serve};

/// How a worker reaches its peers: who they are, and the gateway that knows it.
pub struct Worker<'a> {
    /// The party.
    pub party: &'a str,
    /// Each peer, and whether the gateway can dial it.
    pub peers: &'a [(String, bool)],
    /// The gateway's Unix socket.
    pub gateway: &'a str,
    /// The worker's own, on which the gateway brings what peers have dialled.
    pub socket: &'a str,
    /// The token of the registration.
    pub token: Zeroizing<Vec<u8>>,
    /// Its label.
    pub label: &'a str,
}

enum Listener {
    None,
    Tcp(TcpListener),
    Local(Local),
}

impl Endpoint {
    /// Starts to listen on `listen` (`host:port`, port 0 for any) and to dial.
    pub fn start(
        identity: &Identity,
        peers: &[Peer],
        listen: Option<&str>,
        limits: Limits,
    ) -> Result<Self> {
        let names: Vec<_> = peers.iter().map(|peer| peer.party.clone()).collect();
        check(&identity.party, &names, &limits)?;
        let authorities: Vec<_> = peers
            .iter()
            .map(|peer| (peer.party.clone(), peer.authority.clone()))
            .collect();
        let tls = Tls::new(identity, &authorities)?;
        let listener = listen.map(bind).transpose()?;
        let way = Way::Direct {
            tls,
            addresses: peers.iter().map(|peer| peer.address.clone()).collect(),
            listens: listener.is_some(),
        };
        let listener = listener.map_or(Listener::None, Listener::Tcp);
        Endpoint::spawn(&identity.party, &names, limits, way, listener)
    }

    /// Starts a worker's end, which reaches its peers through its own node's gateway.
    pub fn through(worker: Worker<'_>, limits: Limits) -> Result<Self> {
        let names: Vec<_> = worker.peers.iter().map(|peer| peer.0.clone()).collect();
        check(worker.party, &names, &limits)?;
        check_registration(worker.label, &worker.token)?;
        let listener = Listener::Local(Local::bind(worker.socket)?);
        let way = Way::Gateway(GatewayAccess {
            gateway: worker.gateway.to_owned(),
            label: worker.label.to_owned(),
            token: worker.token,
            dialable: worker.peers.iter().map(|peer| peer.1).collect(),
        });
        Endpoint::spawn(worker.party, &names, limits, way, listener)
    }

    fn spawn(
        party: &str,
        peers: &[String],
        limits: Limits,
        way: Way,
        listener: Listener,
    ) -> Result<Self> {
        let mut instance = [0; 16];
        SystemRandom::new()
            .fill(&mut instance)
            .map_err(|_| WireError::new(Kind::Settings).because("no randomness"))?;
        let shared = Arc::new(Shared::new(party, peers, limits, instance));
        let connector = Arc::new(Connector {
            shared: shared.clone(),
            way,
        });
        let address = match &listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            _ => None,
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("atoll-wire".to_owned())
            .spawn(move || work(&connector, listener, stopped))
            .map_err(|error| WireError::new(Kind::Settings).because(error.kind().to_string()))?;
        Ok(Endpoint {
            shared,
            address,
            stop: Mutex::new(Some(stop)),
            thread: Mutex::new(Some(thread)),
        })
    }
}

/// Checks what a worker is registered under.
pub fn check_registration(label: &str, token: &[u8]) -> Result<()> {
    let refuse = |detail: &str| Err(WireError::new(Kind::Argument).because(detail));
    if label.is_empty() || label.len() > LABEL_BYTES {
        return refuse("a label has 1 to 128 bytes");
    }
    if token.len() != TOKEN_BYTES {
        return refuse("a token has 32 bytes");
    }
    Ok(())
}

fn check(party: &str, peers: &[String], limits: &Limits) -> Result<()> {
    let refuse = |detail: &str| Err(WireError::new(Kind::Settings).because(detail));
    let mut names: Vec<_> = peers.iter().map(String::as_str).collect();
    names.push(party);
    if !names.iter().all(|name| is_party(name)) {
        return refuse("a party is not a DNS label");
    }
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return refuse("a party is named twice");
    }
    if limits.window < cost(0) || limits.window > 1 << 40 {
        return refuse("the window is out of range");
    }
    let times = [
        limits.silence,
        limits.heartbeat,
        limits.connect,
        limits.handshake,
    ];
    if times.iter().any(|time| time.is_zero()) {
        return refuse("a time limit is zero");
    }
    Ok(())
}

/// Listens on `host:port`.
pub fn bind(address: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| WireError::new(Kind::Listen).because(error.kind().to_string()))
}

/// The one thread on which all connections of an endpoint live.
fn work(connector: &Arc<Connector>, mut listener: Listener, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        let mut state = connector.shared.lock();
        let error = WireError::new(Kind::Settings).because("no event loop");
        for index in 0..state.peers.len() {
            state.fail(index, error.clone());
        }
        return;
    };
    runtime.block_on(async {
        open(connector, &mut listener);
        let peers = connector.shared.lock().peers.len();
        for index in 0..peers {
            tokio::spawn(dial::keep(connector.clone(), index));
        }
        let _ = stopped.await;
    });
    // The socket's file goes before its listener, so that no successor's is removed.
    drop(listener);
    // A name look-up may still be under way; no one waits for it.
    runtime.shutdown_background();
}

fn open(connector: &Arc<Connector>, listener: &mut Listener) {
    match listener {
        Listener::None => {}
        Listener::Tcp(listener) => {
            let listener = listener
                .try_clone()
                .and_then(tokio::net::TcpListener::from_std);
            if let Ok(listener) = listener {
                tokio::spawn(serve::listen(connector.clone(), listener));
            }
        }
        Listener::Local(local) => {
            let listener = local.listener.take();
            if let Some(Ok(listener)) = listener.map(tokio::net::UnixListener::from_std) {
                tokio::spawn(serve::listen_locally(connector.clone(), listener));
            }
        }
    }
}
