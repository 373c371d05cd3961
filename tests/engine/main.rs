//! The engine, driven by hand: no socket, no clock, every octet and every instant chosen by the test.

mod bodies;
mod cuts;
mod end;
mod figures;
mod harness;
mod multiplexing;
mod negotiation;
mod params;
mod places;
mod pool;
mod promises;
mod queue;
mod random;
mod random_app;
mod random_sim;
mod receive;
mod regressions;
mod regressions_pool;
mod regressions_requests;
mod script;
mod servers;
mod stall;
mod status;
mod streams;
mod time;
mod yielding;
