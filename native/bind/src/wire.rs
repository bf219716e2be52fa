//! Python bindings of `atoll-wire`.

use atoll_wire::{Address, Counts, Endpoint, Identity, Limits, Peer, WireError};
use bytes::Bytes;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMemoryView};
use std::ffi::c_int;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

use crate::errors::refuse;

/// The longest wait: longer ones overflow some clocks and mean the same.
const FOREVER: f64 = 1e9;

type Scope = (String, String, u32);

fn failure(py: Python<'_>, error: &WireError) -> PyErr {
    let raised = refuse(py, error.code(), &error.message(), None);
    let value = raised.value(py);
    let named = value
        .setattr("peer", &error.peer)
        .and_then(|()| value.setattr("peer_code", &error.peer_code))
        .and_then(|()| value.setattr("peer_phase", &error.peer_phase));
    match named {
        Ok(()) => raised,
        Err(other) => other,
    }
}

fn seconds(value: f64) -> PyResult<Duration> {
    if value.is_nan() {
        return Err(PyValueError::new_err("a time must be a number"));
    }
    Ok(Duration::from_secs_f64(value.clamp(0.0, FOREVER)))
}

/// Runs a blocking call without the GIL; signals are looked at now and then.
fn blocking<T: Send>(
    py: Python<'_>,
    call: impl FnOnce(&mut dyn FnMut() -> bool) -> T + Send,
) -> PyResult<T> {
    let mut signal = None;
    let result = py.detach(|| {
        call(&mut || {
            if signal.is_none() {
                signal = Python::attach(|py| py.check_signals()).err();
            }
            signal.is_some()
        })
    });
    signal.map_or(Ok(result), Err)
}

/// A received message: read-only bytes behind the buffer protocol.
#[pyclass(frozen, module = "atoll_native")]
struct WireMessage(Bytes);

#[pymethods]
impl WireMessage {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    // SAFETY: called by Python with a view that is ours to fill.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = &slf.get().0;
        let length = isize::try_from(bytes.len())
            .map_err(|_| PyBufferError::new_err("the message is too long"))?;
        // SAFETY: the bytes never move or change and live as long as `slf`, to which the view
        // takes a reference; Python refuses a writable view of them (the 1).
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                bytes.as_ptr().cast_mut().cast(),
                length,
                1,
                flags,
            )
        };
        if filled == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(slf.py()))
        }
    }
}

fn view(py: Python<'_>, bytes: Bytes) -> PyResult<Bound<'_, PyMemoryView>> {
    let message = Bound::new(py, WireMessage(bytes))?;
    PyMemoryView::from(message.as_any())
}

/// One buffer that Python lends for the length of a call.
struct Lent(PyUntypedBuffer);

impl Lent {
    fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("a body must be C-contiguous"));
        }
        Ok(Lent(buffer))
    }

    fn bytes(&self) -> &[u8] {
        if self.0.len_bytes() == 0 {
            return &[];
        }
        // SAFETY: the buffer is contiguous and Python keeps it in place while it is lent. A caller
        // that writes to it during the call sends a mixture, as with any buffer handed to I/O.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), self.0.len_bytes()) }
    }
}

fn address(scope: Scope, tag: String) -> Address {
    Address {
        job: scope.0,
        task: scope.1,
        attempt: scope.2,
        tag,
    }
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
        let limits = Limits {
            silence: seconds(silence_s)?,
            heartbeat: seconds(heartbeat_s)?,
            connect: seconds(connect_s)?,
            handshake: seconds(handshake_s)?,
            linger: seconds(linger_s)?,
            window: window_bytes,
        };
        py.detach(|| Endpoint::start(&identity, &peers, listen, limits))
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

    /// Waits for the next message of any of these peers; says whose it is.
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

    /// Says goodbye once everything is delivered, and frees everything.
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
