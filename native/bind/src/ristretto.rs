//! Python bindings of ristretto255 over `atoll-curve`.

use atoll_curve::ristretto::{Scalar, from_uniform};
use numpy::{PyArray2, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::buffers::{SHAPE, array_of_rows, rows32};
use crate::dh::workers;
use crate::errors::refuse;

type Rows<'py> = Bound<'py, PyArray2<u8>>;

/// A secret scalar of ristretto255: opaque, cleared when dropped, neither shown nor copied.
#[pyclass(frozen, module = "atoll_native")]
pub struct RistrettoScalar(Scalar);

#[pymethods]
impl RistrettoScalar {
    /// From 64 secret uniform bytes.
    #[staticmethod]
    fn generate(py: Python<'_>, entropy: &[u8]) -> PyResult<Self> {
        let entropy = <[u8; 64]>::try_from(entropy)
            .map_err(|_| refuse(py, SHAPE, "expected 64 bytes of entropy", None))?;
        Ok(RistrettoScalar(Scalar::new(entropy)))
    }

    /// The scalar times each element; a bad or neutral element refuses the batch.
    #[pyo3(signature = (elements, threads=0))]
    fn multiply<'py>(
        &self,
        py: Python<'py>,
        elements: PyReadonlyArray2<'py, u8>,
        threads: usize,
    ) -> PyResult<Rows<'py>> {
        let elements = rows32(py, &elements)?;
        let (target, pool) = workers(py, threads)?;
        match py.detach(|| self.0.multiply(target, &pool, &elements)) {
            Ok(products) => array_of_rows(py, &products),
            Err(position) => {
                let message = "an element is not a canonical encoding, or neutral";
                Err(refuse(py, "ATL-CRY-008", message, Some(position)))
            }
        }
    }

    fn __repr__(&self) -> &'static str {
        "<RistrettoScalar>"
    }
}

/// The element that each row of 64 uniform bytes maps to.
#[pyfunction]
#[pyo3(signature = (uniform, threads=0))]
fn ristretto_from_uniform<'py>(
    py: Python<'py>,
    uniform: PyReadonlyArray2<'py, u8>,
    threads: usize,
) -> PyResult<Rows<'py>> {
    let rows = match uniform.as_slice() {
        Ok(bytes) if uniform.shape()[1] == 64 => bytes.as_chunks::<64>().0.to_vec(),
        _ => {
            let message = "expected a C-contiguous uint8 array of n rows of 64 bytes";
            return Err(refuse(py, SHAPE, message, None));
        }
    };
    let (target, pool) = workers(py, threads)?;
    let elements = py.detach(|| from_uniform(target, &pool, &rows));
    array_of_rows(py, &elements)
}

/// Adds this file's classes and functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RistrettoScalar>()?;
    module.add_function(wrap_pyfunction!(ristretto_from_uniform, module)?)
}
