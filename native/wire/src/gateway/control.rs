//! Calls between nodes: one kept HTTP/2 connection per partner and direction.

use bytes::Bytes;
use http::Uri;
use hyper::body::Incoming;
use hyper::client::conn::http2 as client;
use hyper::server::conn::http2 as server;
use hyper::service::{Service as HyperService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::{client as tls_client, server as tls_server};
use tonic::body::Body;
use tonic::{Code, Request, Response, Status};
use tower_service::Service;

use super::arriving::Arriving;
use super::caller::{Cut, Kept};
use super::calls;
use super::state::{GatewayState, Use};
use crate::connector::{HEADERS, HTTP_FRAME};
use crate::dial::Sender;
use crate::error::{Kind, Result, WireError};
use crate::handshake::is_code;
use crate::limits::{CALL_BYTES, CALL_REQUEST_BYTES, KIND_BYTES};
use crate::metered::MeteredStream;
use crate::name::{self, KeyHash};
use crate::proto::node_client::NodeClient;
use crate::proto::node_server::{Node, NodeServer};
use crate::proto::{CallRequest, CallResponse};
use crate::tls::{self, Shown};

/// Calls that one connection carries at a time: more than may wait, so that who asks for more is
/// notified. Their bodies are counted as they arrive.
const STREAMS: u32 = 128;
/// Bytes that one call, and one connection, may have in flight.
const WINDOWS: (u32, u32) = (1 << 20, 4 << 20);
/// Bytes that HTTP/2 may hold before it asks for no more.
const SEND_BUFFER: usize = 1 << 20;
/// How often a connection is asked for a sign of life, and how long that may take.
const PULSE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// Dials a partner's gateway.
pub async fn connect(
    gateway: &GatewayState,
    peer: &str,
    address: &str,
    config: Arc<ClientConfig>,
    own: (KeyHash, SystemTime),
) -> std::result::Result<(tls_client::TlsStream<TcpStream>, Shown), Kind> {
    let name = tls::server_name(peer).map_err(|error| error.kind)?;
    let dialled = tokio::time::timeout(gateway.limits.handshake, async {
        let stream = TcpStream::connect(address).await?;
        let _ = stream.set_nodelay(true);
        TlsConnector::from(config).connect(name, stream).await
    });
    let stream = match dialled.await {
        Err(_) => return Err(Kind::Unreachable),
        Ok(Err(error)) => return Err(tls::io_kind(&error).unwrap_or(Kind::Unreachable)),
        Ok(Ok(stream)) => stream,
    };
    let shown = Shown::read(stream.get_ref().1.peer_certificates(), own);
    Ok((stream, shown.ok_or(Kind::Handshake)?))
}

/// Calls a partner and waits for the answer.
pub async fn call(gateway: Arc<GatewayState>, peer: String, request: CallRequest) -> Result<Bytes> {
    let again = match attempt(&gateway, &peer, request.clone()).await {
        Err(None) => attempt(&gateway, &peer, request).await,
        once => once,
    };
    again.map_err(|error| {
        let error = error.unwrap_or_else(|| WireError::new(Kind::Unreachable));
        error.of(&peer)
    })
}

/// Calls once; an error without a reason means that nothing was sent.
async fn attempt(
    gateway: &Arc<GatewayState>,
    peer: &str,
    request: CallRequest,
) -> std::result::Result<Bytes, Option<WireError>> {
    let kept = connection(gateway, peer).await.map_err(WireError::new)?;
    let origin = format!("https://{}", name::dns_name(peer));
    let origin = Uri::try_from(origin).map_err(|_| None)?;
    let mut client = NodeClient::with_origin(Sender(kept.sender.clone()), origin)
        .max_decoding_message_size(CALL_REQUEST_BYTES);
    let bytes = request.body.len() as u64;
    let answer = match client.call(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return Err(broken(&kept, &status)),
    };
    {
        let mut state = gateway.lock();
        if let Some(counts) = state.counts.get_mut(peer) {
            counts.calls_sent += 1;
            counts.call_bytes_sent += bytes;
            counts.call_bytes_received += answer.body.len() as u64;
        }
    }
    if answer.code.is_empty() {
        return Ok(answer.body);
    }
    if !is_code(&answer.code) {
        return Err(Some(WireError::new(Kind::Violation)));
    }
    let mut error = WireError::new(Kind::CallRefused);
    error.peer_code = Some(answer.code);
    Err(Some(error))
}

fn broken(kept: &Kept, status: &Status) -> Option<WireError> {
    if kept.meter.fault() == Some(Kind::CertificateRefused) {
        return Some(WireError::new(Kind::CertificateRefused));
    }
    if status.code() == Code::ResourceExhausted {
        let mut error = WireError::new(Kind::CallRefused);
        error.peer_code = Some(Kind::Crowded.code().to_owned());
        return Some(error);
    }
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_canceled()
        {
            return None;
        }
        source = error.source();
    }
    Some(WireError::new(Kind::CallBroken))
}

/// The kept connection, or a new one.
async fn connection(gateway: &Arc<GatewayState>, peer: &str) -> std::result::Result<Kept, Kind> {
    let (caller, address, own, epoch) = {
        let state = gateway.lock();
        let partner = state.partners.get(peer).ok_or(Kind::UnknownPeer)?;
        let address = partner.address.clone().ok_or(Kind::NoAddress)?;
        let own = state.own.shown();
        (partner.caller.clone(), address, own, state.epoch)
    };
    let mut kept = caller.kept.lock().await;
    if let Some(kept) = kept.as_ref().filter(|kept| !kept.sender.is_closed()) {
        return Ok(kept.clone());
    }
    let config = caller.config.clone();
    let (stream, shown) = connect(gateway, peer, &address, config, own).await?;
    let mut hold = gateway.admit(peer, epoch, Use::Calling, shown)?;
    let (stream, cutter, meter) = MeteredStream::new(stream);
    let (sender, connection) = client::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_frame_size(HTTP_FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADERS)
        .keep_alive_interval(PULSE.0)
        .keep_alive_timeout(PULSE.1)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Kind::Unreachable)?;
    let cut = Cut::new(cutter);
    let held = Arc::downgrade(&cut);
    tokio::spawn(async move {
        tokio::select! {
            _ = connection => {}
            // HTTP/2 alone would let calls that are under way come to their end.
            () = hold.over() => Cut::now(&held),
        }
    });
    let fresh = Kept {
        sender,
        meter,
        _cutter: cut,
    };
    *kept = Some(fresh.clone());
    Ok(fresh)
}

/// Serves a partner's calls on one connection.
pub async fn serve(
    gateway: Arc<GatewayState>,
    party: String,
    epoch: u64,
    shown: Shown,
    stream: tls_server::TlsStream<TcpStream>,
) {
    let mut hold = match gateway.admit(&party, epoch, Use::Control, shown) {
        Ok(hold) => hold,
        Err(kind) => return gateway.note(kind),
    };
    let mut stopping = gateway.stop.subscribe();
    let service = service(gateway, party);
    let mut connection = pin!(
        server::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .max_frame_size(HTTP_FRAME)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(HEADERS)
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(PULSE.0)
            .keep_alive_timeout(PULSE.1)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        _ = &mut connection => return,
        () = hold.over() => return,
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

type Answering = std::pin::Pin<
    Box<dyn Future<Output = std::result::Result<http::Response<Body>, Infallible>> + Send>,
>;

fn service(
    gateway: Arc<GatewayState>,
    party: String,
) -> impl HyperService<
    http::Request<Incoming>,
    Response = http::Response<Body>,
    Error = Infallible,
    Future = Answering,
> {
    let service = NodeService {
        gateway: gateway.clone(),
        party: party.clone(),
    };
    let server = NodeServer::new(service).max_decoding_message_size(CALL_REQUEST_BYTES);
    service_fn(move |request: http::Request<Incoming>| -> Answering {
        let counted = request.map(|body| Arriving::new(body, gateway.clone(), party.clone()));
        let mut server = server.clone();
        Box::pin(async move { server.call(counted).await })
    })
}

/// Takes the calls of one partner.
struct NodeService {
    gateway: Arc<GatewayState>,
    party: String,
}

#[tonic::async_trait]
impl Node for NodeService {
    async fn call(
        &self,
        request: Request<CallRequest>,
    ) -> std::result::Result<Response<CallResponse>, Status> {
        let CallRequest {
            kind,
            body,
            timeout_milliseconds,
        } = request.into_inner();
        {
            let mut state = self.gateway.lock();
            if let Some(counts) = state.counts.get_mut(&self.party) {
                counts.calls_received += 1;
                counts.call_bytes_received += body.len() as u64;
            }
        }
        let reply = if kind.is_empty() || kind.chars().count() > KIND_BYTES {
            Err(Kind::Violation.code().to_owned())
        } else if body.len() > CALL_BYTES {
            Err(Kind::TooLarge.code().to_owned())
        } else {
            let limit =
                Duration::from_millis(timeout_milliseconds.into()).min(self.gateway.limits.answer);
            calls::ask(&self.gateway, &self.party, kind, body, limit).await
        };
        let answer = match reply {
            Ok(body) => CallResponse {
                code: String::new(),
                body,
            },
            Err(code) => CallResponse {
                code,
                body: Bytes::new(),
            },
        };
        let mut state = self.gateway.lock();
        if let Some(counts) = state.counts.get_mut(&self.party) {
            counts.call_bytes_sent += answer.body.len() as u64;
        }
        Ok(Response::new(answer))
    }
}
