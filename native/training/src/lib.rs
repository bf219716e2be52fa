//! Local training of small networks: one epoch of stochastic gradient descent in one call.
//!
//! Every value is a chain of fused multiply-adds in one fixed order, whatever the width of the
//! registers, so that each level gives the same bits.

mod dense;
mod floats;
mod network;
mod output;
#[cfg(test)]
mod tests;

pub use network::{Epoch, Network, Wrong};
pub use output::{Output, Targets};
