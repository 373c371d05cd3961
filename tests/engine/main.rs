//! The engine, driven by hand: no socket, no clock, every octet and every instant chosen by the test.

mod end;
mod harness;
mod receive;
mod regressions;
mod script;
mod send;
mod status;
