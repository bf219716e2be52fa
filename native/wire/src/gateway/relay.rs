//! Workers' streams: from the own worker to a partner's gateway, and the other way.

use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::control::connect;
use super::gate::{Gate, Hold, Use, Way};
use crate::error::Kind;
use crate::limits::WORD_BYTES;
use crate::local;
use crate::proto::{Knock, Route};
use crate::splice::{End, Splice, Tally};
use crate::word;

/// How long a partner's stream waits for its worker, which may be about to start.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether the worker listens already.
const LOOK: Duration = Duration::from_millis(25);

/// Takes what a worker of this node wants.
pub async fn leave(gate: Arc<Gate>, mut near: UnixStream) {
    let limit = gate.limits.handshake;
    let knock = tokio::time::timeout(limit, word::read::<_, Knock>(&mut near, WORD_BYTES));
    let Ok(Ok(knock)) = knock.await else {
        return;
    };
    let (far, hold, tallies) = match reach_out(&gate, &knock).await {
        Ok(found) => found,
        Err(kind) => {
            gate.note(kind);
            let _ = word::routed(&mut near, kind.code()).await;
            return;
        }
    };
    if word::routed(&mut near, "").await.is_err() {
        return;
    }
    gate.count_relay(&knock.peer);
    join(near, far, hold, &[&tallies[0], &tallies[1]]).await;
}

type Reached = (
    tokio_rustls::client::TlsStream<TcpStream>,
    Hold,
    [Arc<Tally>; 2],
);

async fn reach_out(gate: &Arc<Gate>, knock: &Knock) -> Result<Reached, Kind> {
    let target = gate.partner(&knock.label, &knock.token, &knock.peer)?;
    let (mut stream, expires) = connect(
        gate,
        &knock.peer,
        &target.address,
        target.config,
        target.own_expires,
    )
    .await?;
    let used = Use::Labelled(knock.label.clone());
    let hold = gate.admit(&knock.peer, target.epoch, used, expires)?;
    // The label may have gone while this was dialled; from here on its end cuts the stream.
    gate.partner(&knock.label, &knock.token, &knock.peer)?;
    let route = Route {
        label: knock.label.clone(),
        from: gate.party.clone(),
        to: knock.peer.clone(),
    };
    let asked = async {
        word::write(&mut stream, &route).await?;
        word::await_routed(&mut stream).await
    };
    match tokio::time::timeout(gate.limits.handshake + PATIENCE, asked).await {
        Ok(Ok(Ok(()))) => Ok((stream, hold, target.tallies)),
        Ok(Ok(Err(kind))) => Err(kind),
        Ok(Err(error)) => Err(crate::tls::io_kind(&error).unwrap_or(Kind::Unreachable)),
        Err(_) => Err(Kind::Unreachable),
    }
}

/// Takes what a partner's gateway brings.
pub async fn arrive(
    gate: Arc<Gate>,
    party: String,
    epoch: u64,
    expires: SystemTime,
    mut far: TlsStream<TcpStream>,
) {
    let limit = gate.limits.handshake;
    let route = tokio::time::timeout(limit, word::read::<_, Route>(&mut far, WORD_BYTES));
    let Ok(Ok(route)) = route.await else {
        return gate.note(Kind::Violation);
    };
    let (near, hold, way) = match find(&gate, &party, epoch, expires, &route).await {
        Ok(found) => found,
        Err(kind) => {
            gate.note(kind);
            let _ = word::routed(&mut far, kind.code()).await;
            return;
        }
    };
    if word::routed(&mut far, "").await.is_err() {
        return;
    }
    gate.count_relay(&party);
    join(near, far, hold, &[&way.tally, &way.total]).await;
}

async fn find(
    gate: &Arc<Gate>,
    party: &str,
    epoch: u64,
    expires: SystemTime,
    route: &Route,
) -> Result<(UnixStream, Hold, Way), Kind> {
    if route.from != party || route.to != gate.party {
        return Err(Kind::WrongParty);
    }
    let mut hold = gate.admit(party, epoch, Use::Relay, expires)?;
    let deadline = Instant::now() + PATIENCE;
    let search = async {
        loop {
            let registered = gate.registered.notified();
            if let Some(way) = gate.worker(&route.label, party, hold.number())
                && let Some(near) = bring(gate, &way, route).await
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
async fn bring(gate: &Gate, way: &Way, route: &Route) -> Option<UnixStream> {
    let mut near = UnixStream::connect(&way.socket).await.ok()?;
    if !local::is_ours(&near) {
        return None;
    }
    let knock = Knock {
        label: route.label.clone(),
        token: way.token.to_vec(),
        peer: route.from.clone(),
    };
    let asked = async {
        word::write(&mut near, &knock).await.ok()?;
        word::await_routed(&mut near).await.ok()?.ok()
    };
    tokio::time::timeout(gate.limits.handshake, asked)
        .await
        .ok()??;
    Some(near)
}

async fn join<F: End>(near: UnixStream, far: F, mut hold: Hold, tallies: &[&Tally]) {
    tokio::select! {
        _ = Splice::new(near, far, tallies) => {}
        () = hold.over() => {}
    }
}
