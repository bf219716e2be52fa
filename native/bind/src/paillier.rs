//! Python bindings of Paillier over `atoll-bignum`.

use std::sync::Arc;

use atoll_bignum::{
    MismatchedResidues, Primes, PrivateKey, PublicKey, Residues, UnusableModulus, Weights, prove,
    verify,
};
use atoll_simd::Pool;
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

use crate::dh::workers;
use crate::errors::refuse;

type Rows<'py> = Bound<'py, PyArray2<u8>>;

fn unusable(py: Python<'_>, _: UnusableModulus) -> PyErr {
    refuse(
        py,
        "ATL-CRY-005",
        "no Paillier modulus of a size that is used",
        None,
    )
}

fn mismatched(py: Python<'_>, _: MismatchedResidues) -> PyErr {
    shape(py, "lengths or sizes do not belong together")
}

fn shape(py: Python<'_>, message: &str) -> PyErr {
    refuse(py, "ATL-CRY-002", message, None)
}

fn entropy_of(py: Python<'_>, entropy: &[u8]) -> PyResult<Zeroizing<[u8; 32]>> {
    let entropy = <[u8; 32]>::try_from(entropy);
    let entropy = entropy.map_err(|_| shape(py, "expected 32 bytes of entropy"))?;
    Ok(Zeroizing::new(entropy))
}

/// The bytes of rows of `width`, copied before the GIL is released.
fn rows_of(
    py: Python<'_>,
    array: &PyReadonlyArray2<'_, u8>,
    width: usize,
) -> PyResult<Zeroizing<Vec<u8>>> {
    match array.as_slice() {
        Ok(bytes) if array.shape()[1] == width => Ok(Zeroizing::new(bytes.to_vec())),
        _ => Err(shape(
            py,
            "expected a C-contiguous uint8 array with rows of the key's size",
        )),
    }
}

fn array_of<'py>(py: Python<'py>, bytes: &[u8], width: usize) -> PyResult<Rows<'py>> {
    PyArray1::from_slice(py, bytes).reshape([bytes.len() / width, width])
}

/// Both primes: opaque, neither shown nor copied.
#[pyclass(frozen, module = "atoll_native")]
pub struct PaillierSecretKey(PrivateKey);

#[pymethods]
impl PaillierSecretKey {
    /// A key for n of `bits` bits from 32 bytes of fresh entropy.
    #[staticmethod]
    fn generate(py: Python<'_>, bits: u32, entropy: &[u8]) -> PyResult<Self> {
        let entropy = entropy_of(py, entropy)?;
        let (target, _) = workers(py, 1)?;
        let key = py.detach(|| PrivateKey::new(target, &Primes::generate(bits, &entropy)?));
        key.map(PaillierSecretKey)
            .map_err(|error| unusable(py, error))
    }

    /// A key of two primes of equally many bytes, little-endian.
    #[staticmethod]
    fn from_primes(py: Python<'_>, first: &[u8], second: &[u8]) -> PyResult<Self> {
        let primes = Primes {
            first: first.to_vec().into(),
            second: second.to_vec().into(),
        };
        let (target, _) = workers(py, 1)?;
        let key = py.detach(|| PrivateKey::new(target, &primes));
        key.map(PaillierSecretKey)
            .map_err(|error| unusable(py, error))
    }

    /// n, little-endian.
    fn modulus<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.n())
    }

    /// A proof that n is valid.
    #[pyo3(signature = (context, entropy, threads=0))]
    fn prove<'py>(
        &self,
        py: Python<'py>,
        context: &[u8],
        entropy: &[u8],
        threads: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let entropy = entropy_of(py, entropy)?;
        let (_, pool) = workers(py, threads)?;
        let proof = py.detach(|| prove(&self.0, context, &entropy, &pool));
        proof
            .map(|proof| PyBytes::new(py, &proof))
            .map_err(|_| unusable(py, UnusableModulus))
    }

    /// Decrypts uint8[m, 2 w] into uint8[m, w] below n.
    #[pyo3(signature = (ciphertexts, threads=0))]
    fn decrypt<'py>(
        &self,
        py: Python<'py>,
        ciphertexts: PyReadonlyArray2<'py, u8>,
        threads: usize,
    ) -> PyResult<Rows<'py>> {
        let width = self.0.n().len();
        let rows = rows_of(py, &ciphertexts, 2 * width)?;
        let (_, pool) = workers(py, threads)?;
        let plain = py
            .detach(|| self.0.decrypt(&rows, &pool))
            .map_err(|error| mismatched(py, error))?;
        array_of(py, &plain, width)
    }

    fn __repr__(&self) -> &'static str {
        "<PaillierSecretKey>"
    }
}

/// n, with powers of a base of one's own.
#[pyclass(frozen, module = "atoll_native")]
pub struct PaillierPublicKey(Arc<PublicKey>);

#[pymethods]
impl PaillierPublicKey {
    /// Reads n; the base comes from 32 bytes of fresh entropy.
    #[staticmethod]
    fn prepare(py: Python<'_>, modulus: &[u8], entropy: &[u8]) -> PyResult<Self> {
        let entropy = entropy_of(py, entropy)?;
        let (target, _) = workers(py, 1)?;
        let key = py.detach(|| PublicKey::with_own_base(target, modulus, &entropy));
        key.map(|key| PaillierPublicKey(Arc::new(key)))
            .map_err(|error| unusable(py, error))
    }

    /// Encrypts uint8[m, w] below n.
    #[pyo3(signature = (plaintexts, entropy, threads=0))]
    fn encrypt(
        &self,
        py: Python<'_>,
        plaintexts: PyReadonlyArray2<'_, u8>,
        entropy: &[u8],
        threads: usize,
    ) -> PyResult<PaillierVector> {
        let key = &self.0;
        let rows = rows_of(py, &plaintexts, key.width())?;
        let entropy = entropy_of(py, entropy)?;
        let (_, pool) = workers(py, threads)?;
        self.vector(py, || {
            let size = rows.len() / key.width() * key.exponent_bytes();
            let mut exponents = Zeroizing::new(vec![0; size]);
            ChaCha20Rng::from_seed(*entropy).fill_bytes(&mut exponents);
            let bare = key.bare(&rows, &pool)?;
            let zeros = key.zeros(&exponents, &pool)?;
            key.modulus().products(&bare, &zeros, &pool)
        })
    }

    /// Reads uint8[m, 2 w]: numbers below n² that have inverses.
    #[pyo3(signature = (data, threads=0))]
    fn parse(
        &self,
        py: Python<'_>,
        data: PyReadonlyArray2<'_, u8>,
        threads: usize,
    ) -> PyResult<PaillierVector> {
        let rows = rows_of(py, &data, 2 * self.0.width())?;
        let (_, pool) = workers(py, threads)?;
        let modulus = self.0.modulus();
        let found = py.detach(|| {
            let residues = modulus.load(&rows, &pool).ok()?;
            modulus.are_units(&residues, &pool).then_some(residues)
        });
        let residues = found.ok_or_else(|| {
            refuse(
                py,
                "ATL-CRY-004",
                "a number is no ciphertext of the key",
                None,
            )
        })?;
        Ok(PaillierVector {
            key: Arc::clone(&self.0),
            residues,
        })
    }
}

impl PaillierPublicKey {
    fn vector(
        &self,
        py: Python<'_>,
        work: impl FnOnce() -> Result<Residues, MismatchedResidues> + Send,
    ) -> PyResult<PaillierVector> {
        let residues = py.detach(work).map_err(|error| mismatched(py, error))?;
        Ok(PaillierVector {
            key: Arc::clone(&self.0),
            residues,
        })
    }
}

/// Ciphertexts of one key.
#[pyclass(frozen, module = "atoll_native")]
pub struct PaillierVector {
    key: Arc<PublicKey>,
    residues: Residues,
}

impl PaillierVector {
    fn with(
        &self,
        py: Python<'_>,
        threads: usize,
        work: impl FnOnce(&Pool) -> Result<Residues, MismatchedResidues> + Send,
    ) -> PyResult<PaillierVector> {
        let (_, pool) = workers(py, threads)?;
        PaillierPublicKey(Arc::clone(&self.key)).vector(py, || work(&pool))
    }
}

#[pymethods]
impl PaillierVector {
    fn __len__(&self) -> usize {
        self.residues.len()
    }

    /// The numbers, uint8[m, 2 w].
    #[pyo3(signature = (threads=0))]
    fn to_bytes<'py>(&self, py: Python<'py>, threads: usize) -> PyResult<Rows<'py>> {
        let (_, pool) = workers(py, threads)?;
        let modulus = self.key.modulus();
        let rows = py.detach(|| modulus.store(&self.residues, &pool));
        array_of(py, &rows, modulus.width())
    }

    /// The sums, one by one.
    #[pyo3(signature = (other, threads=0))]
    fn add(&self, py: Python<'_>, other: &PaillierVector, threads: usize) -> PyResult<Self> {
        if !Arc::ptr_eq(&self.key, &other.key) {
            return Err(shape(py, "the ciphertexts are of two keys"));
        }
        self.with(py, threads, |pool| {
            let modulus = self.key.modulus();
            modulus.products(&self.residues, &other.residues, pool)
        })
    }

    /// For each column of int64[m, c], the sum of what is encrypted times the column.
    #[pyo3(signature = (weights, width, threads=0))]
    fn by_column(
        &self,
        py: Python<'_>,
        weights: PyReadonlyArray2<'_, i64>,
        width: usize,
        threads: usize,
    ) -> PyResult<Self> {
        let (values, columns) = matrix(py, &weights, self.residues.len(), 0)?;
        self.with(py, threads, |pool| {
            let weights = Weights {
                values: &values,
                columns,
                bytes: width,
            };
            self.key.modulus().by_column(&self.residues, weights, pool)
        })
    }

    /// For each row of int64[r, m], the sum of what is encrypted times the row.
    #[pyo3(signature = (weights, width, threads=0))]
    fn by_row(
        &self,
        py: Python<'_>,
        weights: PyReadonlyArray2<'_, i64>,
        width: usize,
        threads: usize,
    ) -> PyResult<Self> {
        let (values, columns) = matrix(py, &weights, self.residues.len(), 1)?;
        self.with(py, threads, |pool| {
            let weights = Weights {
                values: &values,
                columns,
                bytes: width,
            };
            self.key.modulus().by_row(&self.residues, weights, pool)
        })
    }
}

/// A matrix's numbers and columns; `axis` has as many as there are ciphertexts.
fn matrix(
    py: Python<'_>,
    weights: &PyReadonlyArray2<'_, i64>,
    expected: usize,
    axis: usize,
) -> PyResult<(Zeroizing<Vec<i64>>, usize)> {
    match weights.as_slice() {
        Ok(values) if weights.shape()[axis] == expected => {
            Ok((Zeroizing::new(values.to_vec()), weights.shape()[1]))
        }
        _ => Err(shape(
            py,
            "expected a C-contiguous int64 array with a weight for each ciphertext",
        )),
    }
}

/// Whether the proof shows that n is valid, for the same context.
#[pyfunction]
#[pyo3(signature = (modulus, context, proof, threads=0))]
fn verify_paillier_modulus(
    py: Python<'_>,
    modulus: &[u8],
    context: &[u8],
    proof: &[u8],
    threads: usize,
) -> PyResult<bool> {
    let (target, pool) = workers(py, threads)?;
    Ok(py.detach(|| verify(target, modulus, context, proof, &pool)))
}

/// Adds this file's classes and functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PaillierSecretKey>()?;
    module.add_class::<PaillierPublicKey>()?;
    module.add_class::<PaillierVector>()?;
    module.add_function(wrap_pyfunction!(verify_paillier_modulus, module)?)
}
