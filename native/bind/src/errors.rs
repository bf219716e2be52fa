//! The one exception of the native core.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(
    atoll_native,
    NativeError,
    PyException,
    "What the native core refused: `code` has a page in docs/errors, `position` is the first row concerned, if any. The message holds no data."
);

/// Builds the exception.
pub fn refuse(py: Python<'_>, code: &'static str, message: &str, position: Option<usize>) -> PyErr {
    let error = NativeError::new_err(message.to_owned());
    let value = error.value(py);
    let named = value
        .setattr("code", code)
        .and_then(|()| value.setattr("position", position));
    match named {
        Ok(()) => error,
        Err(other) => other,
    }
}

/// Adds the exception to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("NativeError", module.py().get_type::<NativeError>())
}
