//! Python bindings of local training over `atoll-training`.

use atoll_training::{Epoch, Network, Output, Targets, Wrong};
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1};
use pyo3::prelude::*;

use crate::dh::workers;
use crate::errors::refuse;

/// The code for what does not fit the network.
const CODE: &str = "ATL-HOR-057";

/// Targets of either kind.
#[derive(FromPyObject)]
enum Given<'py> {
    Classes(PyReadonlyArray1<'py, i64>),
    Numbers(PyReadonlyArray1<'py, f32>),
}

/// Trains the weights of a network in place, over the rows that `order` names.
///
/// The arrays are used where they lie, without the GIL: whoever writes to them meanwhile gets a
/// mixture, as with any buffer that is lent for a call.
#[pyfunction]
#[pyo3(signature = (weights, widths, output, rows, targets, order, batch, rate, penalty=0.0))]
#[allow(clippy::too_many_arguments)]
fn train_epoch(
    py: Python<'_>,
    mut weights: PyReadwriteArray1<'_, f32>,
    widths: Vec<usize>,
    output: &str,
    rows: PyReadonlyArray2<'_, f32>,
    targets: Given<'_>,
    order: PyReadonlyArray1<'_, i64>,
    batch: usize,
    rate: f32,
    penalty: f32,
) -> PyResult<()> {
    let wrong = |what: &str| refuse(py, CODE, what, None);
    let output = match output {
        "softmax" => Output::Softmax,
        "gaussian" => Output::Gaussian,
        "bernoulli" => Output::Bernoulli,
        "poisson" => Output::Poisson,
        _ => return Err(wrong("there is no such output")),
    };
    let in_order = |_| wrong("expected C-contiguous arrays");
    if Some(&rows.as_array().ncols()) != widths.first() {
        return Err(wrong(
            "rows have another number of columns than the network",
        ));
    }
    let targets = match &targets {
        Given::Classes(all) => Targets::Classes(all.as_slice().map_err(in_order)?),
        Given::Numbers(all) => Targets::Numbers(all.as_slice().map_err(in_order)?),
    };
    let epoch = Epoch {
        rows: rows.as_slice().map_err(in_order)?,
        targets,
        order: order.as_slice().map_err(in_order)?,
        batch,
        rate,
        penalty,
    };
    let own = weights.as_slice_mut().map_err(in_order)?;
    let (target, _) = workers(py, 1)?;
    let trained = py.detach(|| Network::new(widths, output)?.train(target, own, &epoch));
    trained.map_err(|error| {
        wrong(match error {
            Wrong::Shape => "widths, weights and batch do not fit together",
            Wrong::Rows => "rows, targets and their order do not fit together",
            Wrong::Target => "a target does not fit the output",
        })
    })
}

/// Adds this file's function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(train_epoch, module)?)
}
