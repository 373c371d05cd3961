//! The shortest ways to faults that were found, or planted: each is a list of inputs that a search has printed.

use crate::input::Input::*;
use crate::search::keeps_promises;

#[test]
fn a_connection_that_closes_unused_is_not_handed_out() {
    let inputs = [
        Submit,
        Abort(0),
        Connected(0),
        Close(0),
        Announce(0),
        Submit,
    ];
    assert_eq!(keeps_promises("plain", &inputs), Ok(()));
}
