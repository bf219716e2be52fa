//! Python bindings of `atoll-wire`.

use atoll_wire::{Address, Counts, Endpoint, Identity, Limits, Peer, Worker};
use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMemoryView};
use std::time::Instant;
use zeroize::Zeroizing;

use crate::borrowed::{Lent, blocking, failure, seconds, view};

type Scope = (String, String, u32);

fn address(scope: Scope, tag: String) -> Address {
    Address {
        job: scope.0,
        task: scope.1,
        attempt: scope.2,
        tag,
    }
}

fn limits(
    silence: f64,
    heartbeat: f64,
    connect: f64,
    handshake: f64,
    linger: f64,
    window: u64,
) -> PyResult<Limits> {
    Ok(Limits {
        silence: seconds(silence)?,
        heartbeat: seconds(heartbeat)?,
        connect: seconds(connect)?,
        handshake: seconds(handshake)?,
        linger: seconds(linger)?,
        window,
    })
}

/// One party's end of its connections.
#[pyclass(frozen, module = "atoll_native")]
struct WireEndpoint(Endpoint);

#[pymethods]
impl WireEndpoint {
    #[new]
    #[pyo3(signature = (
        party, certificate_pem, key_pem, peers, listen=None, *, silence_s=30.0, heartbeat_s=2.0,
        connect_s=60.0, handshake_s=10.0, linger_s=30.0, window_bytes=(64 << 20) + (1 << 20)
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        party: String,
        certificate_pem: String,
        key_pem: String,
        peers: Vec<(String, String, Option<String>)>,
        listen: Option<&str>,
        silence_s: f64,
        heartbeat_s: f64,
        connect_s: f64,
        handshake_s: f64,
        linger_s: f64,
        window_bytes: u64,
    ) -> PyResult<Self> {
        let identity = Identity {
            party,
            chain: certificate_pem,
            key: Zeroizing::new(key_pem),
        };
        let peers: Vec<Peer> = peers
            .into_iter()
            .map(|(party, authority, address)| Peer {
                party,
                authority,
                address,
            })
            .collect();
        let limits = limits(
            silence_s,
            heartbeat_s,
            connect_s,
            handshake_s,
            linger_s,
            window_bytes,
        )?;
        py.detach(|| Endpoint::start(&identity, &peers, listen, limits))
            .map(WireEndpoint)
            .map_err(|error| failure(py, &error))
    }

    /// A worker's end, which reaches its peers through its own node's gateway.
    #[staticmethod]
    #[pyo3(signature = (
        party, peers, gateway, socket, token, label, *, silence_s=30.0, heartbeat_s=2.0,
        connect_s=60.0, handshake_s=10.0, linger_s=30.0, window_bytes=(64 << 20) + (1 << 20)
    ))]
    #[allow(clippy::too_many_arguments)]
    fn through(
        py: Python<'_>,
        party: &str,
        peers: Vec<(String, bool)>,
        gateway: &str,
        socket: &str,
        token: &[u8],
        label: &str,
        silence_s: f64,
        heartbeat_s: f64,
        connect_s: f64,
        handshake_s: f64,
        linger_s: f64,
        window_bytes: u64,
    ) -> PyResult<Self> {
        let worker = Worker {
            party,
            peers: &peers,
            gateway,
            socket,
            token: Zeroizing::new(token.to_vec()),
            label,
        };
        let limits = limits(
            silence_s,
            heartbeat_s,
            connect_s,
            handshake_s,
            linger_s,
            window_bytes,
        )?;
        py.detach(|| Endpoint::through(worker, limits))
            .map(WireEndpoint)
            .map_err(|error| failure(py, &error))
    }

    /// Where this endpoint listens, as `host:port`.
    fn address(&self) -> Option<String> {
        self.0.address().map(|address| address.to_string())
    }

    /// Hands over one message: a buffer, or several that are joined.
    fn send(
        &self,
        py: Python<'_>,
        peer: &str,
        scope: Scope,
        tag: String,
        body: &Bound<'_, PyAny>,
        timeout: f64,
    ) -> PyResult<()> {
        let deadline = Instant::now() + seconds(timeout)?;
        let lent: Vec<Lent> = match body.cast::<pyo3::types::PyList>() {
            Ok(parts) => parts
                .iter()
                .map(|part| Lent::new(&part))
                .collect::<PyResult<_>>()?,
            Err(_) => vec![Lent::new(body)?],
        };
        let address = address(scope, tag);
        let result = blocking(py, |interrupt| {
            let parts: Vec<&[u8]> = lent.iter().map(Lent::bytes).collect();
            self.0.send(peer, &address, &parts, deadline, interrupt)
        })?;
        result.map_err(|error| failure(py, &error))
    }

    /// Waits for the next message of a peer under a scope and tag.
    fn receive<'py>(
        &self,
        py: Python<'py>,
        peer: &str,
        scope: Scope,
        tag: String,
        timeout: f64,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        let found = self.wait(py, &[peer], address(scope, tag), timeout)?;
        view(py, found.1)
    }

    /// Waits for the next message of any of these peers; returns whose it is.
    fn receive_any<'py>(
        &self,
        py: Python<'py>,
        peers: Vec<String>,
        scope: Scope,
        tag: String,
        timeout: f64,
    ) -> PyResult<(String, Bound<'py, PyMemoryView>)> {
        let names: Vec<&str> = peers.iter().map(String::as_str).collect();
        let (peer, body) = self.wait(py, &names, address(scope, tag), timeout)?;
        Ok((peer, view(py, body)?))
    }

    /// Counts by peer, and under `""` how often something was refused here, by code.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = self.0.counters();
        let whole = PyDict::new(py);
        for (peer, counts) in counters.peers {
            whole.set_item(peer, counts_dict(py, &counts)?)?;
        }
        let codes = PyDict::new(py);
        for (code, count) in counters.refused {
            codes.set_item(code, count)?;
        }
        whole.set_item("", codes)?;
        Ok(whole)
    }

    /// Ends every waiting call, and those to come, with ATL-NET-023.
    fn cancel(&self) {
        self.0.cancel();
    }

    /// Ends the session once everything is delivered, and frees everything.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        blocking(py, |interrupt| self.0.close(interrupt))
    }

    /// Tells the peers code and phase of a failure, and frees everything.
    fn abort(&self, py: Python<'_>, code: &str, phase: &str) -> PyResult<()> {
        blocking(py, |interrupt| self.0.abort(code, phase, interrupt))
    }
}

impl WireEndpoint {
    fn wait(
        &self,
        py: Python<'_>,
        peers: &[&str],
        address: Address,
        timeout: f64,
    ) -> PyResult<(String, Bytes)> {
        let deadline = Instant::now() + seconds(timeout)?;
        let result = blocking(py, |interrupt| {
            self.0.receive(peers, &address, deadline, interrupt)
        })?;
        result.map_err(|error| failure(py, &error))
    }
}

fn counts_dict<'py>(py: Python<'py>, counts: &Counts) -> PyResult<Bound<'py, PyDict>> {
    let named = [
        ("messages_sent", counts.messages_sent),
        ("messages_received", counts.messages_received),
        ("bytes_sent", counts.bytes_sent),
        ("bytes_received", counts.bytes_received),
        ("frames_sent", counts.frames_sent),
        ("frames_received", counts.frames_received),
        ("frames_resent", counts.frames_resent),
        ("frames_repeated", counts.frames_repeated),
        ("connections", counts.connections),
        ("stream_bytes_sent", counts.stream_bytes_sent),
        ("stream_bytes_received", counts.stream_bytes_received),
        ("bytes_waiting", counts.bytes_waiting),
    ];
    let whole = PyDict::new(py);
    for (name, value) in named {
        whole.set_item(name, value)?;
    }
    Ok(whole)
}

/// Adds this file's classes and functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<WireEndpoint>()
}
