//! A fully connected network with ReLU between its layers, and an epoch of its training.

use atoll_simd::{Kernel4, Lanes4, Level, Target, run4};

use crate::dense::{Matrix, product, update};
#[cfg(target_arch = "x86_64")]
use crate::floats::Avx2;
use crate::floats::{Floats, Portable, WIDE};
use crate::output::{Output, Targets};

/// What does not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Widths, or the number of weights for them.
    Shape,
    /// A row's number, or rows and targets of different number.
    Rows,
    /// A target that is no class of the output.
    Target,
}

/// The values before each layer and after the last, and what becomes of these.
///
/// Weights lie as the models have them: for each layer inputs x outputs, then its biases.
pub struct Network {
    widths: Vec<usize>,
    output: Output,
}

/// One pass over rows: in which order, how many a step, how far a step goes.
pub struct Epoch<'a> {
    /// Rows of the first width's number of columns.
    pub rows: &'a [f32],
    /// One target a row.
    pub targets: Targets<'a>,
    /// The numbers of the rows, in the order in which they are used.
    pub order: &'a [i64],
    /// Rows of a step; the last one may have fewer.
    pub batch: usize,
    /// The size of a step.
    pub rate: f32,
    /// The strength of the quadratic penalty of all weights but the biases.
    pub penalty: f32,
}

impl Network {
    /// A network of these widths.
    ///
    /// # Errors
    /// Fewer than two widths, a width of 0, too many weights, or several values of an output that
    /// has one.
    pub fn new(widths: Vec<usize>, output: Output) -> Result<Network, Wrong> {
        let network = Network { widths, output };
        let single = output == Output::Softmax || network.widths.last() == Some(&1);
        let positive = network.widths.len() >= 2 && !network.widths.contains(&0);
        match network.checked_size() {
            Some(size) if positive && single && size <= 1 << 31 => Ok(network),
            _ => Err(Wrong::Shape),
        }
    }

    fn checked_size(&self) -> Option<usize> {
        self.widths.windows(2).try_fold(0usize, |sum, pair| {
            let layer = pair[0].checked_add(1)?.checked_mul(pair[1])?;
            sum.checked_add(layer)
        })
    }

    /// Trains `weights` in place.
    ///
    /// # Errors
    /// Something of the epoch does not fit; nothing was changed then.
    pub fn train(
        &self,
        target: Target,
        weights: &mut [f32],
        epoch: &Epoch<'_>,
    ) -> Result<(), Wrong> {
        self.check(weights, epoch)?;
        if target.is_real() && target.level() >= Level::Avx2 {
            #[cfg(target_arch = "x86_64")]
            run4(target, OnAvx2(self, weights, epoch));
        } else {
            run::<Portable>(self, weights, epoch);
        }
        Ok(())
    }

    fn check(&self, weights: &[f32], epoch: &Epoch<'_>) -> Result<(), Wrong> {
        let count = epoch.targets.len();
        let last = self.widths[self.widths.len() - 1];
        if self.checked_size() != Some(weights.len()) || epoch.batch == 0 {
            return Err(Wrong::Shape);
        }
        let fits = count.checked_mul(self.widths[0]) == Some(epoch.rows.len());
        let known = |row: &i64| usize::try_from(*row).is_ok_and(|row| row < count);
        if !fits || !epoch.order.iter().all(known) {
            return Err(Wrong::Rows);
        }
        match epoch.targets {
            Targets::Classes(classes) if self.output == Output::Softmax => classes
                .iter()
                .all(|class| usize::try_from(*class).is_ok_and(|class| class < last))
                .then_some(())
                .ok_or(Wrong::Target),
            Targets::Numbers(_) if self.output != Output::Softmax => Ok(()),
            _ => Err(Wrong::Target),
        }
    }
}

#[cfg(target_arch = "x86_64")]
struct OnAvx2<'a>(&'a Network, &'a mut [f32], &'a Epoch<'a>);

#[cfg(target_arch = "x86_64")]
impl Kernel4 for OnAvx2<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes4>(self) {
        run::<Avx2>(self.0, self.1, self.2);
    }
}

/// One layer: its weights and biases, and what flows through it in a step.
struct Layer {
    inputs: usize,
    outputs: usize,
    weights: Padded,
    biases: Vec<f32>,
    /// What leaves it, and then the derivative by it.
    values: Vec<f32>,
}

/// A matrix whose lines are whole registers: the caller's own where they are, else a copy.
enum Padded {
    Lent(Matrix),
    Copied(Vec<f32>),
}

impl Layer {
    fn new(inputs: usize, outputs: usize, batch: usize, part: &mut [f32]) -> Layer {
        let stride = outputs.next_multiple_of(WIDE);
        let (weights, biases) = part.split_at_mut(inputs * outputs);
        let mut padded = vec![0.0; stride];
        padded[..outputs].copy_from_slice(biases);
        let weights = if stride == outputs {
            Padded::Lent(Matrix::of(weights, stride))
        } else {
            let mut copy = vec![0.0; inputs * stride];
            for (line, own) in copy.chunks_mut(stride).zip(weights.chunks(outputs)) {
                line[..outputs].copy_from_slice(own);
            }
            Padded::Copied(copy)
        };
        Layer {
            inputs,
            outputs,
            weights,
            biases: padded,
            values: vec![0.0; batch * stride],
        }
    }

    fn stride(&self) -> usize {
        self.biases.len()
    }

    fn matrix(&mut self) -> Matrix {
        let stride = self.biases.len();
        match &mut self.weights {
            Padded::Lent(matrix) => *matrix,
            Padded::Copied(copy) => Matrix::of(copy, stride),
        }
    }

    fn leaving(&mut self) -> Matrix {
        let stride = self.stride();
        Matrix::of(&mut self.values, stride)
    }

    /// Writes back what was copied.
    fn finish(&self, part: &mut [f32]) {
        let (weights, biases) = part.split_at_mut(self.inputs * self.outputs);
        biases.copy_from_slice(&self.biases[..self.outputs]);
        if let Padded::Copied(copy) = &self.weights {
            let lines = copy.chunks(self.stride());
            for (own, line) in weights.chunks_mut(self.outputs).zip(lines) {
                own.copy_from_slice(&line[..self.outputs]);
            }
        }
    }
}

#[inline(always)]
fn run<F: Floats>(network: &Network, weights: &mut [f32], epoch: &Epoch<'_>) {
    let batch = epoch.batch.min(epoch.order.len().max(1));
    let mut layers = Vec::new();
    let mut rest = &mut *weights;
    for pair in network.widths.windows(2) {
        let (part, after) = rest.split_at_mut((pair[0] + 1) * pair[1]);
        layers.push(Layer::new(pair[0], pair[1], batch, part));
        rest = after;
    }
    let mut scratch = Scratch::new(&layers, batch);
    for chosen in epoch.order.chunks(epoch.batch) {
        step::<F>(network, &mut layers, &mut scratch, epoch, chosen);
    }
    let mut rest = weights;
    for layer in &layers {
        let (part, after) = rest.split_at_mut((layer.inputs + 1) * layer.outputs);
        layer.finish(part);
        rest = after;
    }
}

/// What steps use again and again.
struct Scratch {
    entering: Vec<Vec<*const f32>>,
    transposed: Vec<f32>,
    error: Vec<f32>,
}

impl Scratch {
    fn new(layers: &[Layer], batch: usize) -> Scratch {
        let inner = layers.windows(2);
        let most = inner
            .clone()
            .map(|pair| pair[1].outputs * pair[0].stride())
            .max();
        let wide = inner.map(|pair| pair[0].stride()).max();
        Scratch {
            entering: vec![Vec::with_capacity(batch); layers.len()],
            transposed: vec![0.0; most.unwrap_or(0)],
            error: vec![0.0; batch * wide.unwrap_or(0)],
        }
    }
}

#[inline(always)]
fn step<F: Floats>(
    network: &Network,
    layers: &mut [Layer],
    scratch: &mut Scratch,
    epoch: &Epoch<'_>,
    chosen: &[i64],
) {
    forward::<F>(layers, scratch, epoch, chosen);
    let last = layers.len() - 1;
    let scale = -epoch.rate / chosen.len() as f32;
    let (outputs, stride) = (layers[last].outputs, layers[last].stride());
    for (line, row) in layers[last].values.chunks_mut(stride).zip(chosen) {
        let linear = &mut line[..outputs];
        network
            .output
            .derivative(linear, epoch.targets, *row as usize, scale);
    }
    for i in (0..=last).rev() {
        if i > 0 {
            errors_below::<F>(layers, scratch, i, chosen.len());
        }
        let changes = layers[i].leaving();
        let weights = layers[i].matrix();
        let keep = 1.0 - epoch.rate * epoch.penalty;
        // SAFETY: the inputs of a layer have as many numbers as its weights have rows, and lie in
        // other buffers than weights and changes.
        unsafe { update::<F>(&scratch.entering[i], changes, weights, keep) };
        let stride = layers[i].stride();
        let layer = &mut layers[i];
        for line in layer.values.chunks(stride).take(chosen.len()) {
            for (bias, change) in layer.biases.iter_mut().zip(line) {
                *bias += change;
            }
        }
        if i > 0 {
            let count = chosen.len() * layers[i - 1].stride();
            layers[i - 1].values[..count].copy_from_slice(&scratch.error[..count]);
        }
    }
}

#[inline(always)]
fn forward<F: Floats>(
    layers: &mut [Layer],
    scratch: &mut Scratch,
    epoch: &Epoch<'_>,
    chosen: &[i64],
) {
    let columns = layers[0].inputs;
    for i in 0..layers.len() {
        scratch.entering[i].clear();
        for (k, row) in chosen.iter().enumerate() {
            let from = if i == 0 {
                epoch.rows[*row as usize * columns..].as_ptr()
            } else {
                layers[i - 1].values[k * layers[i - 1].stride()..].as_ptr()
            };
            scratch.entering[i].push(from);
        }
        let (weights, stride) = (layers[i].matrix(), layers[i].stride());
        let layer = &mut layers[i];
        for line in layer.values.chunks_mut(stride).take(chosen.len()) {
            line.copy_from_slice(&layer.biases);
        }
        let values = layers[i].leaving();
        // SAFETY: each row entering has as many numbers as the weights have rows; values have a
        // row for each of the batch and lie in a buffer of their own.
        unsafe { product::<F>(&scratch.entering[i], weights, values) };
        if i + 1 < layers.len() {
            for eight in layers[i].values.chunks_exact_mut(WIDE) {
                // SAFETY: there are eight.
                unsafe {
                    F::load(eight.as_ptr())
                        .rectified()
                        .store(eight.as_mut_ptr())
                };
            }
        }
    }
}

/// The derivative by what enters layer `i`, into `scratch.error`.
#[inline(always)]
fn errors_below<F: Floats>(layers: &mut [Layer], scratch: &mut Scratch, i: usize, rows: usize) {
    let (inputs, outputs) = (layers[i].inputs, layers[i].outputs);
    let below = layers[i - 1].stride();
    let weights = layers[i].matrix();
    let turned = &mut scratch.transposed[..outputs * below];
    for (o, line) in turned.chunks_mut(below).enumerate() {
        for (j, value) in line[..inputs].iter_mut().enumerate() {
            // SAFETY: `j` is a row of the weights and `o` one of their columns.
            *value = unsafe { *weights.row(j).add(o) };
        }
        line[inputs..].fill(0.0);
    }
    let stride = layers[i].stride();
    let changes: Vec<*const f32> = (0..rows)
        .map(|k| layers[i].values[k * stride..].as_ptr())
        .collect();
    let error = &mut scratch.error[..rows * below];
    error.fill(0.0);
    let (turned, sums) = (Matrix::of(turned, below), Matrix::of(error, below));
    // SAFETY: each row of changes has at least `outputs` numbers, the rows of the turned weights;
    // the three lie in buffers of their own.
    unsafe { product::<F>(&changes, turned, sums) };
    let gates = layers[i - 1].values.chunks_exact(WIDE);
    for (eight, gate) in scratch.error[..rows * below]
        .chunks_exact_mut(WIDE)
        .zip(gates)
    {
        // SAFETY: there are eight of each.
        unsafe {
            let open = F::load(gate.as_ptr());
            F::load(eight.as_ptr())
                .where_positive(open)
                .store(eight.as_mut_ptr());
        }
    }
}
