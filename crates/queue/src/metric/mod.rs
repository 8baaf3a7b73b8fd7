//! Measurements as plain numbers: histograms, and the ages of entries.

mod ages;
mod histogram;

pub use ages::{Ages, Moment};
pub use histogram::{Cell, Histogram, Scale};
