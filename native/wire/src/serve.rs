//! Listening: TLS first, then one stream from a party whose certificate was verified.

use futures_core::Stream;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::{Request, Response, Status, Streaming};

use crate::connector::{self, Connector, GatewayAccess, Way};
use crate::error::Kind;
use crate::limits::{ENVELOPE_BYTES, HANDSHAKE_BYTES};
use crate::metered::{Cutter, Meter, MeteredStream};
use crate::peer::Phase;
use crate::proto::wire_server::{Wire, WireServer};
use crate::proto::{Attach, Envelope};
use crate::session::{self, Connection, Outgoing};
use crate::tls::{self, Tls};
use crate::{dial, handshake, local};

/// How long a refused client may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);

/// Accepts connections until the endpoint stops.
pub async fn listen(connector: Arc<Connector>, listener: TcpListener) {
    let gate = Arc::new(Semaphore::new(connector::HANDSHAKES));
    while let Ok(permit) = gate.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(accept(connector.clone(), stream, permit))),
            // Too many open files, most likely: they pass.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn accept(connector: Arc<Connector>, stream: TcpStream, permit: OwnedSemaphorePermit) {
    let Way::Direct { tls, .. } = &connector.way else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let limit = connector.shared.limits.handshake;
    let acceptor = TlsAcceptor::from(tls.server.clone());
    match tokio::time::timeout(limit, acceptor.accept(stream).into_fallible()).await {
        Err(_) => {}
        Ok(Err((error, stream))) => {
            if let Some(kind) = tls::io_kind(&error) {
                connector.shared.lock().note_refused(kind);
            }
            farewell(stream).await;
        }
        Ok(Ok(stream)) => {
            drop(permit);
            welcome(&connector, tls, stream).await;
        }
    }
}

/// Accepts what the own gateway brings until the endpoint stops.
pub async fn listen_locally(connector: Arc<Connector>, listener: UnixListener) {
    let gate = Arc::new(Semaphore::new(connector::HANDSHAKES));
    while let Ok(permit) = gate.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(accept_locally(
                connector.clone(),
                stream,
                permit,
            ))),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn accept_locally(
    connector: Arc<Connector>,
    mut stream: UnixStream,
    permit: OwnedSemaphorePermit,
) {
    let Way::Gateway(through) = &connector.way else {
        return;
    };
    if !local::is_ours(&stream) {
        return;
    }
    let limit = connector.shared.limits.handshake;
    let attach = tokio::time::timeout(
        limit,
        handshake::read::<_, Attach>(&mut stream, HANDSHAKE_BYTES),
    );
    let Ok(Ok(attach)) = attach.await else {
        return;
    };
    let index = match find(&connector, through, &attach) {
        Ok(index) => index,
        Err(kind) => {
            connector.shared.lock().note_refused(kind);
            let _ = handshake::routed(&mut stream, kind.code()).await;
            return;
        }
    };
    if handshake::routed(&mut stream, "").await.is_ok() {
        drop(permit);
        converse(&connector, index, stream, SystemTime::now() + dial::NEVER).await;
    }
}

fn find(connector: &Connector, through: &GatewayAccess, attach: &Attach) -> Result<usize, Kind> {
    if !local::is_same(&through.token, &attach.token) || through.label != attach.label {
        return Err(Kind::UnknownWorker);
    }
    connector
        .shared
        .find(&attach.peer)
        .map_err(|error| error.kind)
}

/// Lets the alert reach the client: closing with unread input would throw it away.
pub async fn farewell(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut rest = [0; 1024];
    let drain = async { while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {} };
    let _ = tokio::time::timeout(FAREWELL, drain).await;
}

async fn welcome(connector: &Arc<Connector>, tls: &Tls, stream: TlsStream<TcpStream>) {
    let chain = stream.get_ref().1.peer_certificates();
    let Some(party) = tls::party_of(chain) else {
        return;
    };
    let Some(shown) = tls.shown(&party, chain) else {
        return;
    };
    let Ok(index) = connector.shared.find(&party) else {
        connector.shared.lock().note_refused(Kind::UnknownPeer);
        return;
    };
    converse(connector, index, stream, shown.expires).await;
}

async fn converse<S>(connector: &Arc<Connector>, index: usize, stream: S, expires: SystemTime)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limit = connector.shared.limits.handshake;
    let (stream, cutter, meter) = MeteredStream::new(stream);
    let cutter = Arc::new(Mutex::new(Some(cutter)));
    let served = Served {
        connector: connector.clone(),
        index,
        cutter: cutter.clone(),
        meter,
        expires,
    };
    let service = WireServer::new(served).max_decoding_message_size(ENVELOPE_BYTES);
    let service = TowerToHyperService::new(service);
    let mut connection =
        pin!(connector::server_builder().serve_connection(TokioIo::new(stream), service));
    if tokio::time::timeout(limit, &mut connection).await.is_ok() {
        return;
    }
    // Whoever has not opened its stream by now loses the connection.
    drop(take(&cutter));
    let _ = connection.await;
}

fn take(cutter: &Mutex<Option<Cutter>>) -> Option<Cutter> {
    cutter.lock().unwrap_or_else(PoisonError::into_inner).take()
}

struct Served {
    connector: Arc<Connector>,
    index: usize,
    cutter: Arc<Mutex<Option<Cutter>>>,
    meter: Arc<Meter>,
    expires: SystemTime,
}

/// The reply stream: what goes out, as results.
pub struct Replies(Outgoing);

impl Stream for Replies {
    type Item = Result<Envelope, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0)
            .poll_next(context)
            .map(|next| next.map(Ok))
    }
}

#[tonic::async_trait]
impl Wire for Served {
    type ExchangeStream = Replies;

    async fn exchange(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<Replies>, Status> {
        let cutter =
            take(&self.cutter).ok_or_else(|| Status::already_exists("one stream a connection"))?;
        let connection = Connection {
            cutter,
            meter: self.meter.clone(),
            dialled: false,
            expires: self.expires,
        };
        let Some((ticket, outgoing)) =
            session::open(&self.connector.shared, self.index, connection)
        else {
            let state = self.connector.shared.lock();
            return Err(match state.peers[self.index].phase {
                Phase::Failed(_) => Status::failed_precondition("over"),
                _ => Status::unavailable("not now"),
            });
        };
        tokio::spawn(ticket.run(request.into_inner()));
        Ok(Response::new(Replies(outgoing)))
    }
}
