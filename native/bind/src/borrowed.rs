//! What the bindings of `atoll-wire` share: errors, waits, and buffers lent in both directions.

use atoll_wire::WireError;
use bytes::Bytes;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::ffi::c_int;
use std::time::Duration;

use crate::errors::refuse;

/// The longest wait: longer ones overflow some clocks and mean the same.
const FOREVER: f64 = 1e9;

/// Builds the exception for an error of the wire.
pub fn failure(py: Python<'_>, error: &WireError) -> PyErr {
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

/// Reads a time.
pub fn seconds(value: f64) -> PyResult<Duration> {
    if value.is_nan() {
        return Err(PyValueError::new_err("a time must be a number"));
    }
    Ok(Duration::from_secs_f64(value.clamp(0.0, FOREVER)))
}

/// Runs a blocking call without the GIL; signals are looked at now and then.
pub fn blocking<T: Send>(
    py: Python<'_>,
    call: impl FnOnce(&mut dyn FnMut() -> bool) -> T + Send,
) -> PyResult<T> {
    let mut signal = None;
    let mut ending = false;
    let result = py.detach(|| {
        let result = call(&mut || {
            if signal.is_none() {
                match Python::try_attach(|py| py.check_signals()) {
                    Some(checked) => signal = checked.err(),
                    None => ending = true,
                }
            }
            signal.is_some() || ending
        });
        if ending {
            // An interpreter that ends takes no thread back; by now this one holds nothing.
            loop {
                std::thread::park();
            }
        }
        result
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

/// Lends received bytes to Python.
pub fn view(py: Python<'_>, bytes: Bytes) -> PyResult<Bound<'_, PyMemoryView>> {
    let message = Bound::new(py, WireMessage(bytes))?;
    PyMemoryView::from(message.as_any())
}

/// One buffer that Python lends for the length of a call.
pub struct Lent(PyUntypedBuffer);

impl Lent {
    /// Borrows a contiguous buffer.
    pub fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("a body must be C-contiguous"));
        }
        Ok(Lent(buffer))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        if self.0.len_bytes() == 0 {
            return &[];
        }
        // SAFETY: the buffer is contiguous and Python keeps it in place while it is lent. A caller
        // that writes to it during the call sends a mixture, as with any buffer handed to I/O.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), self.0.len_bytes()) }
    }
}
