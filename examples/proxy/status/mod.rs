//! What an operator sees: counters, histograms, the last minutes, what is in flight now; as a page, as JSON and for
//! Prometheus.

pub(crate) mod counters;
mod families;
pub(crate) mod figures;
pub(crate) mod histogram;
pub(crate) mod history;
pub(crate) mod json;
pub(crate) mod openmetrics;
pub(crate) mod page;
pub(crate) mod present;
pub(crate) mod totals;

use super::site;
