//! CGI on both sides: what a request becomes, and what a response says.

mod chunked;
mod endless;
mod env;
mod exchange;
mod fields;
mod given;
mod head;
mod http_clients;
mod http_servers;
mod links;
mod names;
mod others;
mod pass_on;
mod pieces;
mod places;
mod reply;
mod reply_calls;
mod reply_parsers;
mod request_body;
mod request_body_calls;
mod request_parsers;
mod resolution;
mod response;
mod script;
mod session;
mod sources;
