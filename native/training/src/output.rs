//! What becomes of the last linear values: the derivative of the mean loss.

/// A link with its loss, as the models in Python have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Classes, numbered from 0.
    Softmax,
    /// Least squares.
    Gaussian,
    /// Two classes by one value.
    Bernoulli,
    /// Counts with a log link.
    Poisson,
}

/// The targets of all rows.
#[derive(Clone, Copy)]
pub enum Targets<'a> {
    /// Numbers of classes.
    Classes(&'a [i64]),
    /// Numbers.
    Numbers(&'a [f32]),
}

impl Targets<'_> {
    /// How many rows have one.
    pub fn len(&self) -> usize {
        match self {
            Targets::Classes(all) => all.len(),
            Targets::Numbers(all) => all.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Beyond this an exponential says nothing more.
const STEEP: f32 = 60.0;

impl Output {
    /// Replaces a row of linear values by `scale` · (prediction − target).
    ///
    /// `row` is the row's number; its target was checked to be one of the classes.
    pub fn derivative(self, linear: &mut [f32], targets: Targets<'_>, row: usize, scale: f32) {
        match (self, targets) {
            (Output::Softmax, Targets::Classes(classes)) => {
                softmax(linear);
                linear[classes[row] as usize] -= 1.0;
                linear.iter_mut().for_each(|value| *value *= scale);
            }
            (_, Targets::Numbers(numbers)) => {
                linear[0] = (self.prediction(linear[0]) - numbers[row]) * scale;
            }
            (_, Targets::Classes(classes)) => {
                linear[0] = (self.prediction(linear[0]) - classes[row] as f32) * scale;
            }
        }
    }

    fn prediction(self, value: f32) -> f32 {
        match self {
            Output::Softmax | Output::Gaussian => value,
            Output::Bernoulli => 1.0 / (1.0 + (-value.clamp(-STEEP, STEEP)).exp()),
            Output::Poisson => value.clamp(-STEEP, STEEP).exp(),
        }
    }
}

fn softmax(values: &mut [f32]) {
    let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = (*value - greatest).exp();
        sum += *value;
    }
    values.iter_mut().for_each(|value| *value /= sum);
}
