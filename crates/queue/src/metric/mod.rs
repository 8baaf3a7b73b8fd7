//! What is measured, in plain numbers: histograms, and when entries came in. Knows of nothing that is measured and of
//! nobody who asks; how it is shown is up to `admin`.

mod ages;
mod histogram;

pub use ages::{Ages, Moment};
pub use histogram::{Cell, Histogram, Scale};
