//! Python bindings of EC-ElGamal pairs over `atoll-curve`.

use atoll_curve::elgamal::{
    Bins, Bounds, Cells, PAIR_BYTES, PairError, PublicKey, SecretKey, Vector,
};
use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::dh::workers;
use crate::errors::refuse;

const SHAPE: &str = "ATL-CRY-002";

fn refusal(py: Python<'_>, error: PairError) -> PyErr {
    let (code, message) = match error {
        PairError::Shape => (SHAPE, "lengths or sizes do not belong together"),
        PairError::Index => ("ATL-CRY-003", "a row, bin, column or cut does not exist"),
        PairError::Point => (
            "ATL-CRY-004",
            "a point is not canonical or not on the curve",
        ),
        PairError::Key => (
            "ATL-CRY-005",
            "the public key is not two different points of prime order",
        ),
        PairError::Bounds => ("ATL-CRY-006", "the decryption range is empty or too wide"),
    };
    refuse(py, code, message, None)
}

fn shape(py: Python<'_>, message: &str) -> PyErr {
    refuse(py, SHAPE, message, None)
}

fn entropy_of(py: Python<'_>, entropy: &[u8]) -> PyResult<[u8; 32]> {
    <[u8; 32]>::try_from(entropy).map_err(|_| shape(py, "expected 32 bytes of entropy"))
}

/// An array's content, copied before the GIL is released.
fn copied<T: numpy::Element + Copy>(array: &PyReadonlyArray1<'_, T>) -> Vec<T> {
    match array.as_slice() {
        Ok(slice) => slice.to_vec(),
        Err(_) => array.as_array().iter().copied().collect(),
    }
}

fn pairs_of(py: Python<'_>, array: &PyReadonlyArray2<'_, u8>) -> PyResult<Vec<[u8; PAIR_BYTES]>> {
    match array.as_slice() {
        Ok(bytes) if array.shape()[1] == PAIR_BYTES => Ok(bytes.as_chunks().0.to_vec()),
        _ => Err(shape(
            py,
            "expected a C-contiguous uint8 array of n rows of 192 bytes",
        )),
    }
}

type Pairs<'py> = Bound<'py, PyArray2<u8>>;
type Sums<'py> = Bound<'py, PyArray1<i64>>;

fn array_of<'py>(py: Python<'py>, pairs: &[[u8; PAIR_BYTES]]) -> PyResult<Pairs<'py>> {
    PyArray1::from_slice(py, pairs.as_flattened()).reshape([pairs.len(), PAIR_BYTES])
}

fn encrypt<'py>(
    py: Python<'py>,
    key: &PublicKey,
    g: &PyReadonlyArray1<'py, i32>,
    h: &PyReadonlyArray1<'py, i32>,
    entropy: &[u8],
    threads: usize,
) -> PyResult<Pairs<'py>> {
    let entropy = entropy_of(py, entropy)?;
    let (g, h) = (copied(g), copied(h));
    let (target, pool) = workers(py, threads)?;
    let mut output = vec![[0; PAIR_BYTES]; g.len()];
    py.detach(|| key.encrypt(target, &g, &h, &entropy, &mut output, &pool))
        .map_err(|error| refusal(py, error))?;
    array_of(py, &output)
}

/// The secret half of a key pair: opaque, cleared when dropped, neither shown nor copied.
#[pyclass(frozen, module = "atoll_native")]
pub struct PairSecretKey(SecretKey);

#[pymethods]
impl PairSecretKey {
    /// A key pair from 32 bytes of fresh entropy.
    #[staticmethod]
    fn generate(py: Python<'_>, entropy: &[u8]) -> PyResult<Self> {
        let entropy = entropy_of(py, entropy)?;
        let key = py.detach(|| SecretKey::generate(&entropy));
        key.map(PairSecretKey).map_err(|error| refusal(py, error))
    }

    /// The public half.
    fn public_key(&self) -> PairPublicKey {
        PairPublicKey(self.0.public_key().clone())
    }

    /// Encrypts int32[n] g and h into uint8[n, 192].
    #[pyo3(signature = (g, h, entropy, threads=0))]
    fn encrypt<'py>(
        &self,
        py: Python<'py>,
        g: PyReadonlyArray1<'py, i32>,
        h: PyReadonlyArray1<'py, i32>,
        entropy: &[u8],
        threads: usize,
    ) -> PyResult<Pairs<'py>> {
        encrypt(py, self.0.public_key(), &g, &h, entropy, threads)
    }

    /// Decrypts finished cells uint8[m, 192] into int64[m] g and h, and bool[m]: both in bounds.
    #[pyo3(signature = (cells, g_low, g_high, h_low, h_high, threads=0))]
    #[allow(clippy::too_many_arguments, reason = "the signature that Python sees")]
    fn decrypt<'py>(
        &self,
        py: Python<'py>,
        cells: PyReadonlyArray2<'py, u8>,
        g_low: i64,
        g_high: i64,
        h_low: i64,
        h_high: i64,
        threads: usize,
    ) -> PyResult<(Sums<'py>, Sums<'py>, Bound<'py, PyArray1<bool>>)> {
        let cells = pairs_of(py, &cells)?;
        let (target, pool) = workers(py, threads)?;
        let bounds = [(g_low, g_high), (h_low, h_high)].map(|(low, high)| Bounds { low, high });
        let (mut g, mut h) = (vec![0; cells.len()], vec![0; cells.len()]);
        let mut inside = vec![false; cells.len()];
        py.detach(|| {
            let sums = [&mut g[..], &mut h[..]];
            self.0
                .decrypt(target, &cells, bounds, sums, &mut inside, &pool)
        })
        .map_err(|error| refusal(py, error))?;
        let [g, h] = [g, h].map(|sums| PyArray1::from_vec(py, sums));
        Ok((g, h, PyArray1::from_vec(py, inside)))
    }

    fn __repr__(&self) -> &'static str {
        "<PairSecretKey>"
    }
}

/// The public half of a key pair, with its tables.
#[pyclass(frozen, module = "atoll_native")]
pub struct PairPublicKey(PublicKey);

#[pymethods]
impl PairPublicKey {
    /// Reads 128 bytes: two different points of prime order.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let bytes = <[u8; 128]>::try_from(data)
            .map_err(|_| shape(py, "expected a public key of 128 bytes"))?;
        let key = py.detach(|| PublicKey::from_bytes(&bytes));
        key.map(PairPublicKey).map_err(|error| refusal(py, error))
    }

    /// The 128 bytes of both points.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    /// Encrypts int32[n] g and h into uint8[n, 192].
    #[pyo3(signature = (g, h, entropy, threads=0))]
    fn encrypt<'py>(
        &self,
        py: Python<'py>,
        g: PyReadonlyArray1<'py, i32>,
        h: PyReadonlyArray1<'py, i32>,
        entropy: &[u8],
        threads: usize,
    ) -> PyResult<Pairs<'py>> {
        encrypt(py, &self.0, &g, &h, entropy, threads)
    }
}

/// Received ciphertexts, known to be points of the curve.
#[pyclass(frozen, module = "atoll_native")]
pub struct PairVector(Vector);

#[pymethods]
impl PairVector {
    /// Reads uint8[n, 192].
    #[staticmethod]
    #[pyo3(signature = (data, threads=0))]
    fn parse<'py>(
        py: Python<'py>,
        data: PyReadonlyArray2<'py, u8>,
        threads: usize,
    ) -> PyResult<Self> {
        let pairs = pairs_of(py, &data)?;
        let (target, pool) = workers(py, threads)?;
        let vector = py.detach(|| Vector::parse(target, &pairs, &pool));
        vector.map(PairVector).map_err(|error| refusal(py, error))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Sums of the chosen rows by column and bin.
    #[pyo3(signature = (rows, bins, width, threads=0))]
    fn histogram<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray1<'py, u32>,
        bins: PyReadonlyArray2<'py, u8>,
        width: usize,
        threads: usize,
    ) -> PyResult<PairCells> {
        let rows = copied(&rows);
        let columns = bins.shape()[1];
        if bins.shape()[0] != self.0.len() {
            return Err(shape(py, "bins must have a row for each ciphertext"));
        }
        let values = chosen_rows(py, &rows, &bins)?;
        let (target, pool) = workers(py, threads)?;
        let cells = py.detach(|| {
            let bins = Bins {
                values: &values,
                columns,
                width,
            };
            self.0.histogram(target, &rows, bins, &pool)
        });
        cells.map(PairCells).map_err(|error| refusal(py, error))
    }
}

/// Copies the bins of the chosen rows.
fn chosen_rows(py: Python<'_>, rows: &[u32], bins: &PyReadonlyArray2<'_, u8>) -> PyResult<Vec<u8>> {
    let columns = bins.shape()[1];
    let all = bins
        .as_slice()
        .map_err(|_| shape(py, "expected a C-contiguous array of bins"))?;
    let mut values = Vec::with_capacity(rows.len() * columns);
    for row in rows {
        let start = *row as usize * columns;
        match all.get(start..start + columns) {
            Some(chosen) => values.extend_from_slice(chosen),
            None => return Err(refusal(py, PairError::Index)),
        }
    }
    Ok(values)
}

/// Sums of ciphertexts; they leave the process only through `finish`.
#[pyclass(frozen, module = "atoll_native")]
pub struct PairCells(Cells);

impl PairCells {
    fn with(
        &self,
        py: Python<'_>,
        operation: impl FnOnce(&Cells, atoll_simd::Target) -> Result<Cells, PairError> + Send,
    ) -> PyResult<PairCells> {
        let (target, _) = workers(py, 1)?;
        let cells = py.detach(|| operation(&self.0, target));
        cells.map(PairCells).map_err(|error| refusal(py, error))
    }
}

#[pymethods]
impl PairCells {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Left sums of the asked cuts.
    fn cut_sums<'py>(
        &self,
        py: Python<'py>,
        columns: PyReadonlyArray1<'py, u32>,
        cuts: PyReadonlyArray1<'py, u16>,
        missing_left: PyReadonlyArray1<'py, bool>,
    ) -> PyResult<PairCells> {
        let (columns, cuts) = (copied(&columns), copied(&cuts));
        let missing_left = copied(&missing_left);
        self.with(py, |cells, target| {
            cells.cut_sums(target, &columns, &cuts, &missing_left)
        })
    }

    /// Cellwise sum.
    fn add(&self, py: Python<'_>, other: &PairCells) -> PyResult<PairCells> {
        self.with(py, |cells, target| cells.add(target, &other.0))
    }

    /// Cellwise difference.
    fn subtract(&self, py: Python<'_>, other: &PairCells) -> PyResult<PairCells> {
        self.with(py, |cells, target| cells.subtract(target, &other.0))
    }

    /// Eight times each sum plus fresh randomness and noise: uint8[m, 192].
    #[pyo3(signature = (key, entropy, noise_g=None, noise_h=None, threads=0))]
    fn finish<'py>(
        &self,
        py: Python<'py>,
        key: &PairPublicKey,
        entropy: &[u8],
        noise_g: Option<PyReadonlyArray1<'py, i64>>,
        noise_h: Option<PyReadonlyArray1<'py, i64>>,
        threads: usize,
    ) -> PyResult<Pairs<'py>> {
        let entropy = entropy_of(py, entropy)?;
        let noise_g = noise_g.map(|noise| copied(&noise));
        let noise_h = noise_h.map(|noise| copied(&noise));
        let (target, pool) = workers(py, threads)?;
        let mut output = vec![[0; PAIR_BYTES]; self.0.len()];
        let finished = py.detach(|| {
            let noise = [noise_g.as_deref(), noise_h.as_deref()];
            self.0
                .finish(target, &key.0, &entropy, noise, &mut output, &pool)
        });
        finished.map_err(|error| refusal(py, error))?;
        array_of(py, &output)
    }
}

/// Adds this file's classes and functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PairSecretKey>()?;
    module.add_class::<PairPublicKey>()?;
    module.add_class::<PairVector>()?;
    module.add_class::<PairCells>()
}
