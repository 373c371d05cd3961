//! CGI on both sides: what a request becomes, and what a response says.

mod env;
mod head;
mod response;
mod script;
