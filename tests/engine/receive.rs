//! Records from the application, good and bad: what reaches whom (FIELD 3.1).

use crate::harness::Bench;
use crate::script::{Sent, done, out, records, request};

#[test]
fn a_response_comes_out_as_it_came_in() {
    let mut bench = Bench::plain();
    bench.submit(request());
    assert_eq!(bench.sent(0), Sent::whole(1));
    bench.feed(0, records().stdout(1, "hi").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
    bench.finish();
}
