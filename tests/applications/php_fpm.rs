//! php-fpm 8.2: one request at a time per child, no multiplexing.

mod exchanges;
mod failures;
mod get;
mod moves;
mod pool;
mod restarts;
mod scripts;
mod servers;

use mio_fcgi::Request;

use crate::harness::{PhpFpm, client};

/// A GET of `uri` from a script of `tests/applications/php`.
fn get(name: &str, uri: &str) -> Request {
    script(client::get(uri), name)
}

/// A POST to it.
fn post(name: &str, uri: &str, body: impl Into<Vec<u8>>) -> Request {
    script(client::post(uri, body), name)
}

fn script(request: Request, name: &str) -> Request {
    request.param("SCRIPT_FILENAME", PhpFpm::script(name))
}
