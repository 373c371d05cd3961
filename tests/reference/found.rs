//! The smallest case of each mistake that the comparison has found in the library.

use std::time::Instant;

use mio_fcgi::wire::Role;
use mio_fcgi::{Action, Body, Config, Engine, Request, Tag};

use crate::wire::{PARAMS, decode};

/// FastCGI 1.0, 6.3. A pushed body of no bytes is the only body that an Authorizer may have.
#[test]
fn an_authorizer_with_an_empty_pushed_body_is_not_told_its_length() {
    let mut engine = Engine::new(Config::new("127.0.0.1:9000".parse().expect("an address")))
        .expect("valid settings");
    let now = Instant::now();
    let request = Request::new(Role::Authorizer).with_body(Body::pushed(Some(0)));
    let handle = engine.submit(now, request, Tag(1)).expect("accepted");
    engine
        .finish_stdin(now, handle)
        .expect("it has all its bytes");
    let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
        panic!("no connection");
    };
    engine.handle_connected(now, connection);
    let sent: Vec<u8> = engine
        .transmit(connection)
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect();
    let params = decode(&sent)
        .0
        .into_iter()
        .filter(|record| record.kind == PARAMS);
    assert_eq!(
        params.map(|record| record.content).collect::<Vec<_>>(),
        [b""]
    );
}
