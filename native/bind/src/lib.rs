//! The only crate that knows Python: coarse calls over buffers, with the GIL released.

mod curve;
mod wire;

use pyo3::prelude::*;

/// The native core of Atoll.
#[pymodule(gil_used = false)]
fn atoll_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    curve::register(module)?;
    wire::register(module)?;
    Ok(())
}
