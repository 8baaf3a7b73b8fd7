//! What the fuzz targets in `fuzz/` reach into; no part of the product's interface.

pub use super::ngx::search_checked as search;
