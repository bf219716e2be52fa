//! Arrays in and out.
//!
//! Inputs are copied before the GIL is released: another thread could write to them meanwhile.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::errors::refuse;

/// The code for arrays of the wrong shape, layout or content.
pub const SHAPE: &str = "ATL-CRV-004";

/// The rows of an n x 32 array in C order.
pub fn rows32(py: Python<'_>, array: &PyReadonlyArray2<'_, u8>) -> PyResult<Vec<[u8; 32]>> {
    let wrong = || {
        refuse(
            py,
            SHAPE,
            "expected a C-contiguous uint8 array of n rows of 32 bytes",
            None,
        )
    };
    let flat = array.as_slice().map_err(|_| wrong())?;
    let (rows, rest) = flat.as_chunks::<32>();
    if array.as_array().ncols() != 32 || !rest.is_empty() {
        return Err(wrong());
    }
    Ok(rows.to_vec())
}

/// A contiguous array's content.
pub fn flat<T: numpy::Element + Copy>(
    py: Python<'_>,
    array: &PyReadonlyArray1<'_, T>,
) -> PyResult<Vec<T>> {
    let slice = array.as_slice();
    Ok(slice
        .map_err(|_| refuse(py, SHAPE, "expected a C-contiguous array", None))?
        .to_vec())
}

/// Rows as an n x 32 array.
pub fn array_of_rows<'py>(
    py: Python<'py>,
    rows: &[[u8; 32]],
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    PyArray1::from_slice(py, rows.as_flattened()).reshape([rows.len(), 32])
}
