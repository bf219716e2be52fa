//! The only crate that knows Python: coarse calls over buffers, with the GIL released.

mod borrowed;
mod buffers;
mod codec;
mod dh;
mod elgamal;
mod errors;
mod gateway;
mod paillier;
mod ristretto;
mod training;
mod wire;

use pyo3::prelude::*;

/// The SHA-256 over the sources that this library was built of.
#[pyfunction]
fn source_digest() -> &'static str {
    env!("ATOLL_SOURCE_DIGEST")
}

/// The native core of Atoll.
#[pymodule(gil_used = false)]
fn atoll_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(source_digest, module)?)?;
    errors::register(module)?;
    codec::register(module)?;
    dh::register(module)?;
    elgamal::register(module)?;
    paillier::register(module)?;
    ristretto::register(module)?;
    training::register(module)?;
    wire::register(module)?;
    gateway::register(module)?;
    Ok(())
}
