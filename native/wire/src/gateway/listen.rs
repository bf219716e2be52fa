//! The gateway's two listeners: one TCP port for partners and strangers, one Unix socket for workers.

use rustls::server::Acceptor;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Semaphore, oneshot};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::state::GatewayState;
use super::{control, enrol, relay};
use crate::error::Kind;
use crate::local;
use crate::name::KeyHash;
use crate::serve::farewell;
use crate::tls::{self, ENROL, HTTP2, RELAY, Shown};

/// Connections in the handshake at one time.
const HANDSHAKES: usize = 256;
/// How long to wait when no connection can be accepted: too many open files, most likely.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts workers.
pub async fn listen_locally(gateway: Arc<GatewayState>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if local::is_ours(&stream) => {
                drop(tokio::spawn(relay::leave(gateway.clone(), stream)));
            }
            Ok(_) => gateway.note(Kind::UnknownWorker),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Connections in the handshake. Whoever is slow makes room for others.
#[derive(Default)]
struct Shaking {
    cutters: BTreeMap<u64, oneshot::Sender<()>>,
    numbers: u64,
}

impl Shaking {
    fn begin(&mut self) -> (u64, oneshot::Receiver<()>) {
        if self.cutters.len() >= HANDSHAKES {
            self.cutters.pop_first();
        }
        let (cutter, cut) = oneshot::channel();
        self.numbers += 1;
        self.cutters.insert(self.numbers, cutter);
        (self.numbers, cut)
    }
}

/// Accepts partners and strangers.
pub async fn listen(gateway: Arc<GatewayState>, listener: TcpListener) {
    let shaking = Arc::new(Mutex::new(Shaking::default()));
    let enrolments = Arc::new(Semaphore::new(enrol::AT_ONCE));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                let accepted = accept(gateway.clone(), stream, shaking.clone(), enrolments.clone());
                drop(tokio::spawn(accepted));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn accept(
    gateway: Arc<GatewayState>,
    stream: TcpStream,
    shaking: Arc<Mutex<Shaking>>,
    enrolments: Arc<Semaphore>,
) {
    // What was trusted before the handshake may not be trusted after it.
    let epoch = gateway.lock().epoch;
    let lock = || shaking.lock().unwrap_or_else(PoisonError::into_inner);
    let (number, cut) = lock().begin();
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(gateway.limits.handshake, shake(&gateway, stream)) => shaken,
        _ = cut => return,
    };
    lock().cutters.remove(&number);
    match shaken {
        Err(_) => {}
        Ok(Err((error, stream))) => {
            if let Some(kind) = tls::io_kind(&error) {
                gateway.note(kind);
            }
            if let Some(stream) = stream {
                farewell(stream).await;
            }
        }
        Ok(Ok((stream, own))) => serve(gateway, enrolments, stream, own, epoch).await,
    }
}

async fn serve(
    gateway: Arc<GatewayState>,
    enrolments: Arc<Semaphore>,
    stream: TlsStream<TcpStream>,
    own: (KeyHash, SystemTime),
    epoch: u64,
) {
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let chain = stream.get_ref().1.peer_certificates();
    let shown = Shown::read(chain, own);
    match (protocol.as_deref(), tls::party_of(chain), shown) {
        (Some(ENROL), None, None) => enrol::serve(gateway, enrolments, stream).await,
        (Some(RELAY), Some(party), Some(shown)) => {
            relay::arrive(gateway, party, epoch, shown, stream).await;
        }
        (Some(HTTP2), Some(party), Some(shown)) => {
            control::serve(gateway, party, epoch, shown, stream).await;
        }
        _ => gateway.note(Kind::Handshake),
    }
}

type Shaken = Result<(TlsStream<TcpStream>, (KeyHash, SystemTime)), (io::Error, Option<TcpStream>)>;

/// Shakes hands with a partner, or with a stranger if it declares itself one and strangers may come.
async fn shake(gateway: &GatewayState, stream: TcpStream) -> Shaken {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let start = hello.await.map_err(|error| (error, None))?;
    let stranger = start
        .client_hello()
        .alpn()
        .is_some_and(|mut protocols| protocols.next() == Some(ENROL));
    let (config, own) = {
        let state = gateway.lock();
        let config = match &state.enrolment {
            Some(enrolment) if stranger => enrolment.clone(),
            _ => state.server.clone(),
        };
        (config, state.own.shown())
    };
    match start.into_stream(config).into_fallible().await {
        Ok(stream) => Ok((stream, own)),
        Err((error, stream)) => Err((error, Some(stream))),
    }
}
