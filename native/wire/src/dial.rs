//! Keeping a link: dialling with back-off, and giving a silent peer up.

use http::Uri;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic::body::Body;

use crate::error::{Kind, WireError};
use crate::limits::ENVELOPE_BYTES;
use crate::line::Line;
use crate::link::Phase;
use crate::name;
use crate::proto::wire_client::WireClient;
use crate::session::{self, Connection};
use crate::site::{self, Site};
use crate::tls;

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
    let address = site.addresses[link].clone();
    let waits = site.listens && site.shared.party > peer;
    let courtesy = if waits {
        site::COURTESY
    } else {
        Duration::ZERO
    };
    let mut pace = Pace {
        courtesy,
        back_off: site::BACK_OFF.0,
        retry: Instant::now() + courtesy,
        up: false,
    };
    loop {
        match plan(&site, link, address.is_some(), &mut pace) {
            Plan::Done => return,
            Plan::Wait(until) => {
                tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => {}
                    () = changed.notified() => {}
                }
            }
            Plan::Dial(until) => {
                let target = address.clone().unwrap_or_default();
                let attempt = dial(&site, link, &peer, &target);
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
    let mut state = site.shared.lock();
    state.note_refused(kind);
    let link = &mut state.links[index];
    link.cause = Some(kind);
    let refused = matches!(
        kind,
        Kind::WrongIssuer | Kind::WrongName | Kind::Expired | Kind::NotYetValid
    );
    if refused && matches!(link.phase, Phase::Waiting) {
        let error = WireError::new(kind).of(&link.name);
        state.fail(index, error);
    }
}

/// HTTP/2 as the client half of the generated code wants it.
#[derive(Clone)]
struct Sender(SendRequest<Body>);

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

async fn dial(
    site: &Arc<Site>,
    link: usize,
    peer: &str,
    address: &str,
) -> std::result::Result<(), Option<Kind>> {
    let stream = TcpStream::connect(address).await.map_err(|_| None)?;
    let _ = stream.set_nodelay(true);
    let config = site.tls.clients.get(peer).ok_or(None)?.clone();
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
    let expires = tls::expiry(leaf.ok_or(Some(Kind::Handshake))?, site.tls.expires);
    let (line, cutter, meter) = Line::new(stream);
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(site::STREAM_WINDOW)
        .initial_connection_window_size(site::CONNECTION_WINDOW)
        .max_frame_size(site::HTTP_FRAME)
        .max_send_buf_size(site::SEND_BUFFER)
        .max_header_list_size(site::HEADERS)
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
