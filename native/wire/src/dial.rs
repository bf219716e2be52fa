//! Keeping a link: dialling with back-off, and giving a silent peer up.

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

use crate::error::{Kind, WireError};
use crate::limits::ENVELOPE_BYTES;
use crate::line::Line;
use crate::link::Phase;
use crate::name;
use crate::proto::Knock;
use crate::proto::wire_client::WireClient;
use crate::session::{self, Connection};
use crate::site::{self, Site, Through, Way};
use crate::tls::{self, Tls};
use crate::{local, word};

/// A gateway cuts a connection when its certificates expire; the worker knows none.
pub const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

enum Plan {
    Done,
    Wait(Instant),
    Dial(Instant),
}

/// When to dial next.
struct Pace {
    courtesy: Duration,
    back_off: Duration,
    retry: Instant,
    up: bool,
}

impl Pace {
    fn failed(&mut self) {
        self.retry = Instant::now() + self.back_off;
        self.back_off = (self.back_off * 2).min(site::BACK_OFF.1);
    }

    fn hurry(&mut self) {
        self.courtesy = Duration::ZERO;
        self.back_off = site::BACK_OFF.0;
        self.retry = self.retry.min(Instant::now() + self.back_off);
    }

    fn look(&mut self, up: bool) {
        if self.up && !up {
            self.back_off = site::BACK_OFF.0;
            self.retry = Instant::now() + self.courtesy;
        }
        self.up = up;
    }
}

/// Keeps the link to one peer until nothing more can come of it.
pub async fn keep(site: Arc<Site>, link: usize) {
    let (changed, peer) = {
        let state = site.shared.lock();
        let link = &state.links[link];
        (link.changed.clone(), link.name.clone())
    };
    let courtesy = site.courtesy(&peer);
    let mut pace = Pace {
        courtesy,
        back_off: site::BACK_OFF.0,
        retry: Instant::now() + courtesy,
        up: false,
    };
    loop {
        match plan(&site, link, site.dials(link), &mut pace) {
            Plan::Done => return,
            Plan::Wait(until) => {
                tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => {}
                    () = changed.notified() => {}
                }
            }
            Plan::Dial(until) => {
                let attempt = dial(&site, link, &peer);
                match tokio::time::timeout_at(until.into(), attempt).await {
                    Ok(Ok(())) => {}
                    Ok(Err(kind)) => missed(&site, link, kind),
                    Err(_) => {}
                }
                pace.failed();
            }
        }
    }
}

fn plan(site: &Site, index: usize, dials: bool, pace: &mut Pace) -> Plan {
    let limits = &site.shared.limits;
    let mut state = site.shared.lock();
    let parted = state.parted;
    let link = &mut state.links[index];
    if parted && !link.owes_parting() {
        return Plan::Done;
    }
    if parted {
        // The last word has little time: no courtesy, and no long pauses.
        pace.hurry();
    }
    let (limit, kind) = match link.phase {
        Phase::Waiting => (limits.connect, Kind::Unreachable),
        Phase::Met => (limits.silence, Kind::PeerLost),
        Phase::Left | Phase::Failed(_) => return Plan::Done,
    };
    pace.look(link.session.as_ref().is_some_and(|session| session.greeted));
    let now = Instant::now();
    let lost = link.heard + limit;
    if now >= lost {
        let mut error = WireError::new(kind).of(&link.name);
        if let Some(cause) = link.cause {
            error = error.because(format!("last: {}", cause.code()));
        }
        link.drop_session(None);
        state.fail(index, error);
        return Plan::Done;
    }
    if link.session.is_some() || !dials {
        return Plan::Wait(lost);
    }
    if now < pace.retry {
        return Plan::Wait(lost.min(pace.retry));
    }
    Plan::Dial(lost.min(now + limits.handshake))
}

/// Notes a failed attempt. At the first meeting a refused certificate ends the link at once.
fn missed(site: &Site, index: usize, kind: Option<Kind>) {
    let Some(kind) = kind else {
        return;
    };
    let direct = matches!(site.way, Way::Direct { .. });
    let mut state = site.shared.lock();
    if direct {
        state.note_refused(kind);
    }
    let link = &mut state.links[index];
    link.cause = Some(kind);
    let refused = match kind {
        Kind::WrongIssuer | Kind::WrongName | Kind::Expired | Kind::NotYetValid => true,
        Kind::CertificateRefused => !direct,
        _ => false,
    };
    if refused && matches!(link.phase, Phase::Waiting) {
        let error = WireError::new(kind).of(&link.name);
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

async fn dial(site: &Arc<Site>, link: usize, peer: &str) -> Dialled<()> {
    match &site.way {
        Way::Direct { tls, addresses, .. } => {
            let address = addresses[link].as_deref().ok_or(None)?;
            let (stream, expires) = direct(tls, peer, address).await?;
            converse(site, link, peer, stream, expires).await
        }
        Way::Gateway(through) => {
            let stream = knock(through, peer).await?;
            converse(site, link, peer, stream, SystemTime::now() + NEVER).await
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
    let leaf = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    let expires = tls::expiry(leaf.ok_or(Some(Kind::Handshake))?, tls.expires);
    Ok((stream, expires))
}

/// Asks the own gateway for a peer.
async fn knock(through: &Through, peer: &str) -> Dialled<UnixStream> {
    let mut stream = UnixStream::connect(&through.gateway)
        .await
        .map_err(|_| None)?;
    if !local::is_ours(&stream) {
        return Err(None);
    }
    let knock = Knock {
        label: through.label.clone(),
        token: through.token.to_vec(),
        peer: peer.to_owned(),
    };
    word::write(&mut stream, &knock).await.map_err(|_| None)?;
    let answer = word::await_routed(&mut stream).await;
    answer.map_err(|_| None)?.map_err(Some)?;
    Ok(stream)
}

async fn converse<S>(
    site: &Arc<Site>,
    link: usize,
    peer: &str,
    stream: S,
    expires: SystemTime,
) -> Dialled<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (line, cutter, meter) = Line::new(stream);
    let (sender, connection) = site::client_builder()
        .handshake(TokioIo::new(line))
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
    let (ticket, outgoing) = session::open(&site.shared, link, connection).ok_or(None)?;
    let limit = site.shared.limits.handshake;
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
