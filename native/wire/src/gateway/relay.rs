//! Workers' streams: from the own worker to a partner's gateway, and the other way.

use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::control::connect;
use super::state::{GatewayState, Hold, Use, Way};
use crate::error::Kind;
use crate::handshake;
use crate::limits::HANDSHAKE_BYTES;
use crate::local;
use crate::proto::{Attach, Route};
use crate::splice::{ByteCounter, End, Splice};
use crate::tls::Shown;

/// How long a partner's stream waits for its worker, which may be about to start.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether the worker listens already.
const LOOK: Duration = Duration::from_millis(25);

/// Takes what a worker of this node wants.
pub async fn leave(gateway: Arc<GatewayState>, mut near: UnixStream) {
    let limit = gateway.limits.handshake;
    let attach = tokio::time::timeout(
        limit,
        handshake::read::<_, Attach>(&mut near, HANDSHAKE_BYTES),
    );
    let Ok(Ok(attach)) = attach.await else {
        return;
    };
    let (far, hold, tallies) = match reach_out(&gateway, &attach).await {
        Ok(found) => found,
        Err(kind) => {
            gateway.note(kind);
            let _ = handshake::routed(&mut near, kind.code()).await;
            return;
        }
    };
    if handshake::routed(&mut near, "").await.is_err() {
        return;
    }
    gateway.count_relay(&attach.peer);
    join(near, far, hold, &[&tallies[0], &tallies[1]]).await;
}

type Reached = (
    tokio_rustls::client::TlsStream<TcpStream>,
    Hold,
    [Arc<ByteCounter>; 2],
);

async fn reach_out(gateway: &Arc<GatewayState>, attach: &Attach) -> Result<Reached, Kind> {
    let target = gateway.partner(&attach.label, &attach.token, &attach.peer)?;
    let (mut stream, shown) = connect(
        gateway,
        &attach.peer,
        &target.address,
        target.config,
        target.own,
    )
    .await?;
    let used = Use::Labelled(attach.label.clone());
    let hold = gateway.admit(&attach.peer, target.epoch, used, shown)?;
    // The label may have gone while this was dialled; from here on its end cuts the stream.
    gateway.partner(&attach.label, &attach.token, &attach.peer)?;
    let route = Route {
        label: attach.label.clone(),
        from: gateway.party.clone(),
        to: attach.peer.clone(),
    };
    let asked = async {
        handshake::write(&mut stream, &route).await?;
        handshake::await_routed(&mut stream).await
    };
    match tokio::time::timeout(gateway.limits.handshake + PATIENCE, asked).await {
        Ok(Ok(Ok(()))) => Ok((stream, hold, target.tallies)),
        Ok(Ok(Err(kind))) => Err(kind),
        Ok(Err(error)) => Err(crate::tls::io_kind(&error).unwrap_or(Kind::Unreachable)),
        Err(_) => Err(Kind::Unreachable),
    }
}

/// Takes what a partner's gateway brings.
pub async fn arrive(
    gateway: Arc<GatewayState>,
    party: String,
    epoch: u64,
    shown: Shown,
    mut far: TlsStream<TcpStream>,
) {
    let limit = gateway.limits.handshake;
    let route = tokio::time::timeout(
        limit,
        handshake::read::<_, Route>(&mut far, HANDSHAKE_BYTES),
    );
    let Ok(Ok(route)) = route.await else {
        return gateway.note(Kind::Violation);
    };
    let (near, hold, way) = match find(&gateway, &party, epoch, shown, &route).await {
        Ok(found) => found,
        Err(kind) => {
            gateway.note(kind);
            let _ = handshake::routed(&mut far, kind.code()).await;
            return;
        }
    };
    if handshake::routed(&mut far, "").await.is_err() {
        return;
    }
    gateway.count_relay(&party);
    join(near, far, hold, &[&way.tally, &way.total]).await;
}

async fn find(
    gateway: &Arc<GatewayState>,
    party: &str,
    epoch: u64,
    shown: Shown,
    route: &Route,
) -> Result<(UnixStream, Hold, Way), Kind> {
    if route.from != party || route.to != gateway.party {
        return Err(Kind::WrongParty);
    }
    let mut hold = gateway.admit(party, epoch, Use::Relay, shown)?;
    let deadline = Instant::now() + PATIENCE;
    let search = async {
        loop {
            let registered = gateway.registered.notified();
            if let Some(way) = gateway.worker(&route.label, party, hold.number())
                && let Some(near) = bring(gateway, &way, route).await
            {
                return Ok((near, way));
            }
            if Instant::now() >= deadline {
                return Err(Kind::NotHere);
            }
            tokio::select! {
                () = registered => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    };
    let (near, way) = search.await?;
    tokio::select! {
        biased;
        () = hold.over() => Err(Kind::NotHere),
        () = std::future::ready(()) => Ok((near, hold, way)),
    }
}

/// Brings a partner's stream to the worker; nothing if it does not listen or does not want it.
async fn bring(gateway: &GatewayState, way: &Way, route: &Route) -> Option<UnixStream> {
    let mut near = UnixStream::connect(&way.socket).await.ok()?;
    if !local::is_ours(&near) {
        return None;
    }
    let attach = Attach {
        label: route.label.clone(),
        token: way.token.to_vec(),
        peer: route.from.clone(),
    };
    let asked = async {
        handshake::write(&mut near, &attach).await.ok()?;
        handshake::await_routed(&mut near).await.ok()?.ok()
    };
    tokio::time::timeout(gateway.limits.handshake, asked)
        .await
        .ok()??;
    Some(near)
}

async fn join<F: End>(near: UnixStream, far: F, mut hold: Hold, tallies: &[&ByteCounter]) {
    tokio::select! {
        _ = Splice::new(near, far, tallies) => {}
        () = hold.over() => {}
    }
}
