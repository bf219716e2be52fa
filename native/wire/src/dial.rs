//! Keeping a connection: dialling with back-off, and giving a silent peer up.

use http::Uri;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic::body::Body;

use crate::connector::{self, Connector, GatewayAccess, Way};
use crate::error::{Kind, WireError};
use crate::limits::ENVELOPE_BYTES;
use crate::metered::MeteredStream;
use crate::name;
use crate::peer::Phase;
use crate::proto::Attach;
use crate::proto::wire_client::WireClient;
use crate::session::{self, Connection};
use crate::tls::{self, Tls};
use crate::{handshake, local};

/// A gateway cuts a connection when its certificates expire; the worker knows none.
pub const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

enum Plan {
    Done,
    Wait(Instant),
    Dial(Instant),
}

/// When to dial next.
struct Pace {
    dial_delay: Duration,
    back_off: Duration,
    retry: Instant,
    up: bool,
}

impl Pace {
    fn failed(&mut self) {
        self.retry = Instant::now() + self.back_off;
        self.back_off = (self.back_off * 2).min(connector::BACK_OFF.1);
    }

    fn hurry(&mut self) {
        self.dial_delay = Duration::ZERO;
        self.back_off = connector::BACK_OFF.0;
        self.retry = self.retry.min(Instant::now() + self.back_off);
    }

    fn look(&mut self, up: bool) {
        if self.up && !up {
            self.back_off = connector::BACK_OFF.0;
            self.retry = Instant::now() + self.dial_delay;
        }
        self.up = up;
    }
}

/// Keeps the connection to one peer until nothing more can come of it.
pub async fn keep(connector: Arc<Connector>, index: usize) {
    let (changed, peer) = {
        let state = connector.shared.lock();
        let peer = &state.peers[index];
        (peer.changed.clone(), peer.name.clone())
    };
    let dial_delay = connector.dial_delay(&peer);
    let mut pace = Pace {
        dial_delay,
        back_off: connector::BACK_OFF.0,
        retry: Instant::now() + dial_delay,
        up: false,
    };
    loop {
        match plan(&connector, index, connector.dials(index), &mut pace) {
            Plan::Done => return,
            Plan::Wait(until) => {
                tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => {}
                    () = changed.notified() => {}
                }
            }
            Plan::Dial(until) => {
                let attempt = dial(&connector, index, &peer);
                match tokio::time::timeout_at(until.into(), attempt).await {
                    Ok(Ok(())) => {}
                    Ok(Err(kind)) => missed(&connector, index, kind),
                    Err(_) => {}
                }
                pace.failed();
            }
        }
    }
}

fn plan(connector: &Connector, index: usize, dials: bool, pace: &mut Pace) -> Plan {
    let limits = &connector.shared.limits;
    let mut state = connector.shared.lock();
    let parted = state.parted;
    let peer = &mut state.peers[index];
    if parted && !peer.owes_parting() {
        return Plan::Done;
    }
    if parted {
        // The last word has little time: no delay, and no long pauses.
        pace.hurry();
    }
    let (limit, kind) = match peer.phase {
        Phase::Waiting => (limits.connect, Kind::Unreachable),
        Phase::Met => (limits.silence, Kind::PeerLost),
        Phase::Left | Phase::Failed(_) => return Plan::Done,
    };
    pace.look(peer.session.as_ref().is_some_and(|session| session.greeted));
    let now = Instant::now();
    let lost = peer.heard + limit;
    if now >= lost {
        let mut error = WireError::new(kind).of(&peer.name);
        if let Some(cause) = peer.cause {
            error = error.because(format!("last: {}", cause.code()));
        }
        peer.drop_session(None);
        state.fail(index, error);
        return Plan::Done;
    }
    if peer.session.is_some() || !dials {
        return Plan::Wait(lost);
    }
    if now < pace.retry {
        return Plan::Wait(lost.min(pace.retry));
    }
    Plan::Dial(lost.min(now + limits.handshake))
}

/// Notes a failed attempt. At the first meeting a refused certificate ends the connection at once.
fn missed(connector: &Connector, index: usize, kind: Option<Kind>) {
    let Some(kind) = kind else {
        return;
    };
    let direct = matches!(connector.way, Way::Direct { .. });
    let mut state = connector.shared.lock();
    if direct {
        state.note_refused(kind);
    }
    let peer = &mut state.peers[index];
    peer.cause = Some(kind);
    let refused = match kind {
        Kind::WrongIssuer | Kind::WrongName | Kind::Expired | Kind::NotYetValid | Kind::Rotated => {
            true
        }
        Kind::CertificateRefused => !direct,
        _ => false,
    };
    if refused && matches!(peer.phase, Phase::Waiting) {
        let error = WireError::new(kind).of(&peer.name);
        state.fail(index, error);
    }
}

/// HTTP/2 as the client half of the generated code wants it.
#[derive(Clone)]
pub struct Sender(pub SendRequest<Body>);

impl tower_service::Service<http::Request<Body>> for Sender {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = std::result::Result<Self::Response, Self::Error>> + Send>,
    >;

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<std::result::Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

type Dialled<T> = std::result::Result<T, Option<Kind>>;

async fn dial(connector: &Arc<Connector>, index: usize, peer: &str) -> Dialled<()> {
    match &connector.way {
        Way::Direct { tls, addresses, .. } => {
            let address = addresses[index].as_deref().ok_or(None)?;
            let (stream, expires) = direct(tls, peer, address).await?;
            converse(connector, index, peer, stream, expires).await
        }
        Way::Gateway(through) => {
            let stream = attach(through, peer).await?;
            converse(connector, index, peer, stream, SystemTime::now() + NEVER).await
        }
    }
}

async fn direct(
    tls: &Tls,
    peer: &str,
    address: &str,
) -> Dialled<(TlsStream<TcpStream>, SystemTime)> {
    let stream = TcpStream::connect(address).await.map_err(|_| None)?;
    let _ = stream.set_nodelay(true);
    let config = tls.clients.get(peer).ok_or(None)?.clone();
    let name = tls::server_name(peer).map_err(|_| None)?;
    let stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|error| tls::io_kind(&error))?;
    let shown = tls.shown(peer, stream.get_ref().1.peer_certificates());
    let shown = shown.ok_or(Some(Kind::Handshake))?;
    Ok((stream, shown.expires))
}

/// Asks the own gateway for a peer.
async fn attach(through: &GatewayAccess, peer: &str) -> Dialled<UnixStream> {
    let mut stream = UnixStream::connect(&through.gateway)
        .await
        .map_err(|_| None)?;
    if !local::is_ours(&stream) {
        return Err(None);
    }
    let attach = Attach {
        label: through.label.clone(),
        token: through.token.to_vec(),
        peer: peer.to_owned(),
    };
    handshake::write(&mut stream, &attach)
        .await
        .map_err(|_| None)?;
    let answer = handshake::await_routed(&mut stream).await;
    answer.map_err(|_| None)?.map_err(Some)?;
    Ok(stream)
}

async fn converse<S>(
    connector: &Arc<Connector>,
    index: usize,
    peer: &str,
    stream: S,
    expires: SystemTime,
) -> Dialled<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (stream, cutter, meter) = MeteredStream::new(stream);
    let (sender, connection) = connector::client_builder()
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| None)?;
    tokio::spawn(connection);
    let origin = format!("https://{}", name::dns_name(peer));
    let origin = Uri::try_from(origin).map_err(|_| None)?;
    let mut client =
        WireClient::with_origin(Sender(sender), origin).max_decoding_message_size(ENVELOPE_BYTES);
    let connection = Connection {
        cutter,
        meter: meter.clone(),
        dialled: true,
        expires,
    };
    let (ticket, outgoing) = session::open(&connector.shared, index, connection).ok_or(None)?;
    let limit = connector.shared.limits.handshake;
    // Not awaited here: an attempt that is given up must still clear its session away.
    tokio::spawn(async move {
        match tokio::time::timeout(limit, client.exchange(outgoing)).await {
            Ok(Ok(response)) => ticket.run(response.into_inner()).await,
            Ok(Err(status)) if status.code() == Code::FailedPrecondition => ticket.end_over(),
            _ => ticket.end(meter.fault()),
        }
    });
    Ok(())
}
