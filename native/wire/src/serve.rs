//! Listening: TLS first, then one stream from a party whose certificate was verified.

use futures_core::Stream;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::{Request, Response, Status, Streaming};

use crate::error::Kind;
use crate::limits::ENVELOPE_BYTES;
use crate::line::{Cutter, Line, Meter};
use crate::link::Phase;
use crate::proto::Envelope;
use crate::proto::wire_server::{Wire, WireServer};
use crate::session::{self, Connection, Outgoing};
use crate::site::{self, Site};
use crate::tls;

/// How long a refused client may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);

/// Accepts connections until the endpoint stops.
pub async fn listen(site: Arc<Site>, listener: TcpListener) {
    let gate = Arc::new(Semaphore::new(site::HANDSHAKES));
    while let Ok(permit) = gate.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(accept(site.clone(), stream, permit))),
            // Too many open files, most likely: they pass.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn accept(site: Arc<Site>, stream: TcpStream, permit: OwnedSemaphorePermit) {
    let _ = stream.set_nodelay(true);
    let limit = site.shared.limits.handshake;
    let acceptor = TlsAcceptor::from(site.tls.server.clone());
    match tokio::time::timeout(limit, acceptor.accept(stream).into_fallible()).await {
        Err(_) => {}
        Ok(Err((error, stream))) => {
            if let Some(kind) = tls::io_kind(&error) {
                site.shared.lock().note_refused(kind);
            }
            farewell(stream).await;
        }
        Ok(Ok(stream)) => {
            drop(permit);
            serve(site, stream).await;
        }
    }
}

/// Lets the alert reach the client: closing with unread input would throw it away.
async fn farewell(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut rest = [0; 1024];
    let drain = async { while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {} };
    let _ = tokio::time::timeout(FAREWELL, drain).await;
}

async fn serve(site: Arc<Site>, stream: TlsStream<TcpStream>) {
    let (party, expires) = {
        let chain = stream.get_ref().1.peer_certificates();
        let expires = chain
            .and_then(|chain| chain.first())
            .map(|leaf| tls::expiry(leaf, site.tls.expires));
        (tls::party_of(chain), expires)
    };
    let (Some(party), Some(expires)) = (party, expires) else {
        return;
    };
    let Ok(link) = site.shared.find(&party) else {
        site.shared.lock().note_refused(Kind::UnknownPeer);
        return;
    };
    let limit = site.shared.limits.handshake;
    let (line, cutter, meter) = Line::new(stream);
    let cutter = Arc::new(Mutex::new(Some(cutter)));
    let served = Served {
        site,
        link,
        cutter: cutter.clone(),
        meter,
        expires,
    };
    let service = WireServer::new(served).max_decoding_message_size(ENVELOPE_BYTES);
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(site::STREAM_WINDOW)
            .initial_connection_window_size(site::CONNECTION_WINDOW)
            .max_frame_size(site::HTTP_FRAME)
            .max_send_buf_size(site::SEND_BUFFER)
            .max_header_list_size(site::HEADERS)
            .max_concurrent_streams(1)
            .serve_connection(TokioIo::new(line), TowerToHyperService::new(service))
    );
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
    site: Arc<Site>,
    link: usize,
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
        let Some((ticket, outgoing)) = session::open(&self.site.shared, self.link, connection)
        else {
            let state = self.site.shared.lock();
            return Err(match state.links[self.link].phase {
                Phase::Failed(_) => Status::failed_precondition("over"),
                _ => Status::unavailable("not now"),
            });
        };
        tokio::spawn(ticket.run(request.into_inner()));
        Ok(Response::new(Replies(outgoing)))
    }
}
