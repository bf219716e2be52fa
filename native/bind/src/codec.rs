//! Bindings of `atoll-codec`.

use atoll_codec::{Refusal, check_json, check_msgpack};
use pyo3::prelude::*;

use crate::borrowed::Lent;
use crate::errors::refuse;

/// The code for bytes that are refused.
const REFUSED: &str = "ATL-COD-001";
/// Shorter ones are judged sooner than another thread could take over.
const LONG: usize = 64 << 10;

fn judge(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    check: impl Fn(&[u8]) -> Result<u64, Refusal> + Sync,
) -> PyResult<u64> {
    let lent = Lent::new(data)?;
    let bytes = lent.bytes();
    let found = if bytes.len() > LONG {
        py.detach(|| check(bytes))
    } else {
        check(bytes)
    };
    found.map_err(|refusal| refuse(py, REFUSED, refusal.reason(), None))
}

/// Checks canonical msgpack whose objects take at most `memory` bytes; returns what they take.
#[pyfunction]
#[pyo3(name = "check_msgpack")]
fn msgpack(py: Python<'_>, data: &Bound<'_, PyAny>, memory: u64) -> PyResult<u64> {
    judge(py, data, |bytes| check_msgpack(bytes, memory))
}

/// Checks what reading JSON would take: at most `depth` levels and `memory` bytes.
#[pyfunction]
#[pyo3(name = "check_json")]
fn json(py: Python<'_>, data: &Bound<'_, PyAny>, depth: usize, memory: u64) -> PyResult<u64> {
    judge(py, data, |bytes| check_json(bytes, depth, memory))
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(msgpack, module)?)?;
    module.add_function(wrap_pyfunction!(json, module)?)
}
