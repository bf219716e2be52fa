//! Python bindings of the gateway.

use atoll_wire::{Called, Gateway, GatewayLimits, Identity, Named, Newest, Next, Notice};
use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMemoryView};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

use crate::borrowed::{Lent, blocking, failure, seconds, view};

/// A node's one port towards its partners.
#[pyclass(frozen, module = "atoll_native")]
struct WireGateway(Gateway);

type Call<'py> = (u64, String, String, Bound<'py, PyMemoryView>);

/// A notice in the form of a call.
fn plain(notice: Notice) -> Called {
    let issued = notice.newest.issued.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = issued.map_or(0, |since| since.as_secs());
    let body = [seconds.to_be_bytes().as_slice(), &notice.newest.key].concat();
    Called {
        number: 0,
        party: notice.party,
        kind: "certificate".to_owned(),
        body: body.into(),
    }
}

fn copied(body: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    Ok(Bytes::copy_from_slice(Lent::new(body)?.bytes()))
}

#[pymethods]
impl WireGateway {
    #[new]
    #[pyo3(signature = (
        party, certificate_pem, key_pem, listen, socket, *, authority_pem=None, handshake_s=10.0,
        answer_s=120.0
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        party: String,
        certificate_pem: String,
        key_pem: String,
        listen: Option<&str>,
        socket: &str,
        authority_pem: Option<String>,
        handshake_s: f64,
        answer_s: f64,
    ) -> PyResult<Self> {
        let identity = Identity {
            party,
            chain: certificate_pem,
            key: Zeroizing::new(key_pem),
        };
        let limits = GatewayLimits {
            handshake: seconds(handshake_s)?,
            answer: seconds(answer_s)?,
        };
        py.detach(|| Gateway::start(&identity, authority_pem, listen, socket, limits))
            .map(WireGateway)
            .map_err(|error| failure(py, &error))
    }

    /// Where partners reach this node, as `host:port`.
    fn address(&self) -> Option<String> {
        self.0.address().map(|address| address.to_string())
    }

    /// Pins a partner's CA, or changes its address; `newest` is when the certificate of it that was
    /// seen last begins (seconds since 1970), and the SHA-256 of its key.
    #[pyo3(signature = (party, authority_pem, address=None, newest=None))]
    fn set_peer(
        &self,
        py: Python<'_>,
        party: &str,
        authority_pem: &str,
        address: Option<String>,
        newest: Option<(u64, [u8; 32])>,
    ) -> PyResult<()> {
        let newest = newest.map(|(seconds, key)| Newest {
            issued: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            key,
        });
        py.detach(|| self.0.set_peer(party, authority_pem, address, newest))
            .map_err(|error| failure(py, &error))
    }

    /// Withdraws the trust in a partner; its connections end at once.
    fn remove_peer(&self, py: Python<'_>, party: &str) {
        py.detach(|| self.0.remove_peer(party));
    }

    /// Uses another certificate and key; with another key the connections that are open end.
    fn renew(&self, py: Python<'_>, certificate_pem: String, key_pem: String) -> PyResult<()> {
        let key = Zeroizing::new(key_pem);
        py.detach(|| self.0.renew(certificate_pem, key))
            .map_err(|error| failure(py, &error))
    }

    /// Lets strangers enrol, or not.
    fn set_enrolment(&self, py: Python<'_>, is_open: bool) -> PyResult<()> {
        py.detach(|| self.0.set_enrolment(is_open))
            .map_err(|error| failure(py, &error))
    }

    /// Lets a worker communicate with these peers.
    fn register(
        &self,
        py: Python<'_>,
        label: &str,
        token: &[u8],
        socket: &str,
        peers: Vec<String>,
    ) -> PyResult<()> {
        let token = Zeroizing::new(token.to_vec());
        py.detach(|| self.0.register(label, token, socket, &peers))
            .map_err(|error| failure(py, &error))
    }

    /// Forgets a worker; its streams end at once. Returns what it moved, by peer.
    fn unregister<'py>(&self, py: Python<'py>, label: &str) -> PyResult<Bound<'py, PyDict>> {
        let moved = py.detach(|| self.0.unregister(label));
        by_name(py, moved)
    }

    /// Calls a partner and waits for its answer.
    fn call<'py>(
        &self,
        py: Python<'py>,
        peer: &str,
        kind: &str,
        body: &Bound<'py, PyAny>,
        timeout: f64,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        let body = copied(body)?;
        let timeout = seconds(timeout)?;
        let answer = blocking(py, |interrupt| {
            self.0.call(peer, kind, body, timeout, interrupt)
        })?;
        view(py, answer.map_err(|error| failure(py, &error))?)
    }

    /// Waits for the next call: its number, party, kind and body. A notice has the number 0 and no
    /// answer: the party's newest certificate, as in `set_peer` (8 bytes, big-endian, and 32).
    fn next_call<'py>(&self, py: Python<'py>, timeout: f64) -> PyResult<Option<Call<'py>>> {
        let timeout = seconds(timeout)?;
        let called = blocking(py, |interrupt| self.0.next_call(timeout, interrupt))?;
        let next = called.map_err(|error| failure(py, &error))?;
        next.map(|next| {
            let called = match next {
                Next::Call(called) => called,
                Next::Notice(notice) => plain(notice),
            };
            let body = view(py, called.body)?;
            Ok((called.number, called.party, called.kind, body))
        })
        .transpose()
    }

    /// Answers a call; returns whether its caller still waits.
    fn answer(&self, py: Python<'_>, number: u64, body: &Bound<'_, PyAny>) -> PyResult<bool> {
        let body = copied(body)?;
        py.detach(|| self.0.answer(number, body))
            .map_err(|error| failure(py, &error))
    }

    /// Refuses a call with a code; returns whether its caller still waits.
    fn refuse(&self, py: Python<'_>, number: u64, code: &str) -> PyResult<bool> {
        py.detach(|| self.0.refuse(number, code))
            .map_err(|error| failure(py, &error))
    }

    /// Asks the party of an invitation to become its partner.
    #[staticmethod]
    fn enrol<'py>(
        py: Python<'py>,
        address: &str,
        party: &str,
        authority_sha256: &[u8],
        body: &Bound<'py, PyAny>,
        timeout: f64,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        let fingerprint = <[u8; 32]>::try_from(authority_sha256)
            .map_err(|_| PyValueError::new_err("a fingerprint has 32 bytes"))?;
        let body = copied(body)?;
        let timeout = seconds(timeout)?;
        let answer = blocking(py, |interrupt| {
            atoll_wire::enrol(address, party, fingerprint, body, timeout, interrupt)
        })?;
        view(py, answer.map_err(|error| failure(py, &error))?)
    }

    /// Counts by partner, by label and partner, and of what was refused here by code.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = py.detach(|| self.0.counters());
        let whole = PyDict::new(py);
        whole.set_item("peers", by_name(py, counters.peers)?)?;
        let labels = PyDict::new(py);
        for (label, peers) in counters.labels {
            labels.set_item(label, by_name(py, peers)?)?;
        }
        whole.set_item("labels", labels)?;
        let refused = PyDict::new(py);
        for (code, count) in counters.refused {
            refused.set_item(code, count)?;
        }
        whole.set_item("refused", refused)?;
        Ok(whole)
    }

    /// Ends every connection and frees everything.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

fn by_name(py: Python<'_>, counts: Vec<(String, Named)>) -> PyResult<Bound<'_, PyDict>> {
    let whole = PyDict::new(py);
    for (name, counts) in counts {
        let inner = PyDict::new(py);
        for (what, count) in counts {
            inner.set_item(what, count)?;
        }
        whole.set_item(name, inner)?;
    }
    Ok(whole)
}

/// Adds this file's classes to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<WireGateway>()
}
