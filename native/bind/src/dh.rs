//! Python bindings of Diffie–Hellman over `atoll-curve`.

use atoll_curve::hash_to_curve::{Domain, Messages, hash_to_curve};
use atoll_curve::x25519::{Refusal, Refused, Scalar, x25519};
use atoll_simd::{Level, Pool, Target, current};
use numpy::{PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::buffers::{SHAPE, array_of_rows, flat, rows32};
use crate::errors::refuse;

type Rows<'py> = Bound<'py, PyArray2<u8>>;

/// The level and the threads of one call.
pub fn workers(py: Python<'_>, threads: usize) -> PyResult<(Target, Pool)> {
    let target = current().map_err(|error| refuse(py, "ATL-CRV-005", &error.to_string(), None))?;
    let pool = Pool::new(threads).map_err(|_| {
        refuse(
            py,
            "ATL-CRV-006",
            "the operating system refused a thread",
            None,
        )
    })?;
    Ok((target, pool))
}

fn refusal(py: Python<'_>, refused: Refused) -> PyErr {
    let (code, what) = match refused.kind {
        Refusal::NotCanonical => ("ATL-CRV-001", "not canonical"),
        Refusal::Twist => ("ATL-CRV-002", "on the twist"),
        Refusal::Zero => ("ATL-CRV-003", "of small order"),
    };
    let message = format!("{} points refused, the first is {what}", refused.count);
    refuse(py, code, &message, Some(refused.first))
}

struct Hashed {
    bytes: Vec<u8>,
    offsets: Vec<i64>,
    domain: Domain,
}

impl Hashed {
    fn new(
        py: Python<'_>,
        values: &PyReadonlyArray1<'_, u8>,
        offsets: &PyReadonlyArray1<'_, i64>,
        domain: &[u8],
    ) -> PyResult<Hashed> {
        let domain = Domain::new(domain)
            .ok_or_else(|| refuse(py, SHAPE, "a domain has 1 to 255 bytes", None))?;
        let hashed = Hashed {
            bytes: flat(py, values)?,
            offsets: flat(py, offsets)?,
            domain,
        };
        match hashed.messages() {
            Some(_) => Ok(hashed),
            None => Err(refuse(
                py,
                SHAPE,
                "offsets must ascend from 0 or more within the values",
                None,
            )),
        }
    }

    fn messages(&self) -> Option<Messages<'_>> {
        Messages::new(&self.bytes, &self.offsets)
    }
}

/// A secret scalar of X25519: opaque, cleared when dropped, neither shown nor copied.
#[pyclass(frozen, module = "atoll_native")]
pub struct DhScalar(Scalar);

#[pymethods]
impl DhScalar {
    /// From 32 secret uniform bytes.
    #[staticmethod]
    fn generate(py: Python<'_>, entropy: &[u8]) -> PyResult<DhScalar> {
        let entropy = <[u8; 32]>::try_from(entropy)
            .map_err(|_| refuse(py, SHAPE, "expected 32 bytes of entropy", None))?;
        Ok(DhScalar(Scalar::new(entropy)))
    }

    /// The scalar times the hash to the curve of each value.
    #[pyo3(signature = (values, offsets, domain, threads=0))]
    fn hash_and_mask<'py>(
        &self,
        py: Python<'py>,
        values: PyReadonlyArray1<'py, u8>,
        offsets: PyReadonlyArray1<'py, i64>,
        domain: &[u8],
        threads: usize,
    ) -> PyResult<Rows<'py>> {
        let hashed = Hashed::new(py, &values, &offsets, domain)?;
        let (target, pool) = workers(py, threads)?;
        let masked = py.detach(|| {
            hashed.messages().map_or_else(Vec::new, |messages| {
                self.0
                    .hash_and_multiply(target, &pool, messages, &hashed.domain)
            })
        });
        array_of_rows(py, &masked)
    }

    /// The scalar times each point; bad points refuse the batch.
    #[pyo3(signature = (points, threads=0))]
    fn mask<'py>(
        &self,
        py: Python<'py>,
        points: PyReadonlyArray2<'py, u8>,
        threads: usize,
    ) -> PyResult<Rows<'py>> {
        let points = rows32(py, &points)?;
        let (target, pool) = workers(py, threads)?;
        match py.detach(|| self.0.multiply(target, &pool, &points)) {
            Ok(masked) => array_of_rows(py, &masked),
            Err(refused) => Err(refusal(py, refused)),
        }
    }

    /// SHA-256 of a label of 64 bytes and the scalar times each point; bad points refuse the batch.
    #[pyo3(signature = (points, label, threads=0))]
    fn mask_and_hash<'py>(
        &self,
        py: Python<'py>,
        points: PyReadonlyArray2<'py, u8>,
        label: &[u8],
        threads: usize,
    ) -> PyResult<Rows<'py>> {
        let label = <[u8; 64]>::try_from(label)
            .map_err(|_| refuse(py, SHAPE, "expected a label of 64 bytes", None))?;
        let points = rows32(py, &points)?;
        let (target, pool) = workers(py, threads)?;
        match py.detach(|| self.0.multiply_and_hash(target, &pool, &points, &label)) {
            Ok(hashed) => array_of_rows(py, &hashed),
            Err(refused) => Err(refusal(py, refused)),
        }
    }

    fn __repr__(&self) -> &'static str {
        "<DhScalar>"
    }
}

/// The hash to the curve of each value, as u-coordinates.
#[pyfunction]
#[pyo3(name = "hash_to_curve", signature = (values, offsets, domain, threads=0))]
fn hash_points<'py>(
    py: Python<'py>,
    values: PyReadonlyArray1<'py, u8>,
    offsets: PyReadonlyArray1<'py, i64>,
    domain: &[u8],
    threads: usize,
) -> PyResult<Rows<'py>> {
    let hashed = Hashed::new(py, &values, &offsets, domain)?;
    let (target, pool) = workers(py, threads)?;
    let points = py.detach(|| {
        hashed.messages().map_or_else(Vec::new, |m| {
            hash_to_curve(target, &pool, m, &hashed.domain)
        })
    });
    array_of_rows(py, &points)
}

/// RFC 7748's X25519 without any check, on the calling thread: for vectors and measurements.
#[pyfunction]
#[pyo3(name = "x25519")]
fn plain<'py>(
    py: Python<'py>,
    scalar: &[u8],
    points: PyReadonlyArray2<'py, u8>,
) -> PyResult<Rows<'py>> {
    let scalar = <[u8; 32]>::try_from(scalar)
        .map_err(|_| refuse(py, SHAPE, "expected a scalar of 32 bytes", None))?;
    let points = rows32(py, &points)?;
    let (target, _) = workers(py, 1)?;
    let products = py.detach(|| x25519(target, &scalar, &points));
    array_of_rows(py, &products)
}

/// The level that kernels run on.
#[pyfunction]
fn simd_level(py: Python<'_>) -> PyResult<&'static str> {
    Ok(workers(py, 1)?.0.level().name())
}

/// Each level and whether this machine runs it "real", or tests have it "emulated" only.
#[pyfunction]
fn simd_levels() -> Vec<(&'static str, &'static str)> {
    let kind = |level| {
        if Target::real(level).is_some() {
            "real"
        } else {
            "emulated"
        }
    };
    Level::ALL
        .into_iter()
        .map(|level| (level.name(), kind(level)))
        .collect()
}

/// Adds this file's classes and functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<DhScalar>()?;
    module.add_function(wrap_pyfunction!(hash_points, module)?)?;
    module.add_function(wrap_pyfunction!(plain, module)?)?;
    module.add_function(wrap_pyfunction!(simd_level, module)?)?;
    module.add_function(wrap_pyfunction!(simd_levels, module)?)?;
    Ok(())
}
