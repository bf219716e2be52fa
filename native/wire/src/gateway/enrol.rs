//! Enrolment: the one conversation with somebody whom no certificate vouches for.

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::server::TlsStream;

use super::calls;
use super::gate::Gate;
use crate::error::{Kind, Result, WireError};
use crate::limits::ENROL_BYTES;
use crate::proto::{Answer, Letter};
use crate::tls;
use crate::trust::FINGERPRINT;
use crate::word::{self, is_code};

/// How many strangers are served at a time.
pub const AT_ONCE: usize = 4;
/// How long one may take, its answer included.
const LIMIT: Duration = Duration::from_secs(10);
/// The kind of the call.
const KIND: &str = "enrol";
/// What an envelope adds to a body.
const ENVELOPE: usize = 256;

/// Serves one stranger.
pub async fn serve(gate: Arc<Gate>, places: Arc<Semaphore>, mut stream: TlsStream<TcpStream>) {
    let served = async {
        let reply = match places.try_acquire() {
            Ok(_place) => hear(&gate, &mut stream).await,
            Err(_) => Err(Kind::Crowded.code().to_owned()),
        };
        let answer = match reply {
            Ok(body) => Answer {
                code: String::new(),
                body,
            },
            Err(code) => Answer {
                code,
                body: Bytes::new(),
            },
        };
        let _ = word::write(&mut stream, &answer).await;
        let _ = stream.shutdown().await;
    };
    let _ = tokio::time::timeout(LIMIT, served).await;
}

async fn hear(gate: &Arc<Gate>, stream: &mut TlsStream<TcpStream>) -> calls::Reply {
    let violation = || Kind::Violation.code().to_owned();
    let letter: Letter = word::read(stream, ENROL_BYTES + ENVELOPE)
        .await
        .map_err(|_| violation())?;
    if letter.kind != KIND {
        return Err(violation());
    }
    if letter.body.len() > ENROL_BYTES {
        return Err(Kind::TooLarge.code().to_owned());
    }
    calls::ask(gate, "", letter.kind, letter.body, LIMIT).await
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
    let letter = Letter {
        kind: KIND.to_owned(),
        body,
        patience: 0,
    };
    let broken = |_| fail(Kind::CallBroken);
    word::write(&mut stream, &letter).await.map_err(broken)?;
    let answer: Answer = word::read(&mut stream, ENROL_BYTES + ENVELOPE)
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
