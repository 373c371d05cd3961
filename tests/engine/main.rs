//! The engine, driven by hand: no socket, no clock, every octet and every instant chosen by the test.

mod body;
mod cuts;
mod end;
mod harness;
mod params;
mod promises;
mod receive;
mod regressions;
mod regressions_pool;
mod script;
mod status;
