//! Enrolment: the one conversation with someone whom no certificate vouches for.

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::server::TlsStream;

use super::calls;
use super::queue::Reply;
use super::state::GatewayState;
use crate::error::{Kind, Result, WireError};
use crate::handshake::{self, is_code};
use crate::limits::ENROL_BYTES;
use crate::proto::{CallRequest, CallResponse};
use crate::tls;
use crate::trust::FINGERPRINT;

/// How many strangers are served at a time.
pub const AT_ONCE: usize = 4;
/// How long one may take, its answer included.
const LIMIT: Duration = Duration::from_secs(10);
/// The kind of the call.
const KIND: &str = "enrol";
/// What an envelope adds to a body.
const ENVELOPE: usize = 256;

/// Serves one stranger.
pub async fn serve(
    gateway: Arc<GatewayState>,
    places: Arc<Semaphore>,
    mut stream: TlsStream<TcpStream>,
) {
    let served = async {
        let reply = match places.try_acquire() {
            Ok(_place) => hear(&gateway, &mut stream).await,
            Err(_) => Err(Kind::Crowded.code().to_owned()),
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
        let _ = handshake::write(&mut stream, &answer).await;
        let _ = stream.shutdown().await;
    };
    let _ = tokio::time::timeout(LIMIT, served).await;
}

async fn hear(gateway: &Arc<GatewayState>, stream: &mut TlsStream<TcpStream>) -> Reply {
    let violation = || Kind::Violation.code().to_owned();
    let request: CallRequest = handshake::read(stream, ENROL_BYTES + ENVELOPE)
        .await
        .map_err(|_| violation())?;
    if request.kind != KIND {
        return Err(violation());
    }
    if request.body.len() > ENROL_BYTES {
        return Err(Kind::TooLarge.code().to_owned());
    }
    calls::ask(gateway, "", request.kind, request.body, LIMIT).await
}

/// Asks the party of an invitation, whose CA must have this fingerprint.
pub async fn enrol(
    address: &str,
    party: &str,
    fingerprint: [u8; FINGERPRINT],
    body: Bytes,
) -> Result<Bytes> {
    let fail = |kind| WireError::new(kind).of(party);
    if body.len() > ENROL_BYTES {
        return Err(fail(Kind::TooLarge));
    }
    let config = tls::invited(party, fingerprint)?;
    let name = tls::server_name(party)?;
    let stream = TcpStream::connect(address)
        .await
        .map_err(|_| fail(Kind::Unreachable))?;
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| fail(tls::io_kind(&error).unwrap_or(Kind::Unreachable)))?;
    let request = CallRequest {
        kind: KIND.to_owned(),
        body,
        timeout_milliseconds: 0,
    };
    let broken = |_| fail(Kind::CallBroken);
    handshake::write(&mut stream, &request)
        .await
        .map_err(broken)?;
    let answer: CallResponse = handshake::read(&mut stream, ENROL_BYTES + ENVELOPE)
        .await
        .map_err(broken)?;
    if answer.code.is_empty() {
        return Ok(answer.body);
    }
    if !is_code(&answer.code) {
        return Err(fail(Kind::Violation));
    }
    let mut error = fail(Kind::CallRefused);
    error.peer_code = Some(answer.code);
    Err(error)
}
