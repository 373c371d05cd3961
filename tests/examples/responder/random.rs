//! Records in any order: the application keeps running whatever they are.

use mio_fcgi::wire::{self, RecordType};
use proptest::prelude::*;

use super::peer::{Peer, open_request, params, request};
use super::start_with;
use crate::app::Options;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_order_of_records_ends_the_application(
        scripts in prop::collection::vec(prop::collection::vec(record(), 1..40), 8),
    ) {
        let application = start_with(Options {
            max_requests_per_connection: 3,
            output_limit: 2000,
            input_limit: 300,
            ..Options::default()
        });
        for script in scripts {
            let mut peer = Peer::connect(application.address());
            peer.send_or_lose(&script.concat());
            peer.shutdown_write();
            peer.drain();
        }
        let mut peer = Peer::connect(application.address());
        prop_assert_eq!(peer.ask("/bench", b"").body().len(), 16);
    }
}

/// Mostly records that belong to a request, sometimes other ones.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let id = 1..4_u16;
    let uri = prop::sample::select(vec![
        "/",
        "/bench",
        "/echo",
        "/form",
        "/upload",
        "/stream?n=50&ms=0",
        "/stream?n=3&ms=1",
        "/slow?ms=2",
        "/big?size=100000",
        "/tag?tag=x&delay=1&size=9000",
        "/early",
        "/stderr",
    ]);
    let begin = (id.clone(), any::<bool>(), 0..5_u16).prop_map(|(id, keep_conn, role)| {
        let flags = u8::from(keep_conn);
        content(
            RecordType::BeginRequest,
            id,
            &wire::BeginRequest { role, flags }.encode(),
        )
    });
    prop_oneof![
        3 => begin,
        6 => (id.clone(), uri.clone()).prop_map(|(id, uri)| open_request(id, true, uri, &[])),
        3 => (id.clone(), uri.clone()).prop_map(|(id, uri)| request(id, true, uri, b"a=b")),
        2 => (id.clone(), uri).prop_map(|(id, uri)| params(id, uri, &[])),
        6 => (id.clone(), 0..200_usize)
            .prop_map(|(id, len)| content(RecordType::Stdin, id, &vec![b'a'; len])),
        1 => (id.clone(), 0..200_usize)
            .prop_map(|(id, len)| content(RecordType::Data, id, &vec![b'a'; len])),
        2 => id.prop_map(|id| content(RecordType::AbortRequest, id, b"")),
        1 => (any::<u8>(), 0..4_u16, prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(number, id, bytes)| content(RecordType::from(number), id, &bytes)),
    ]
}

fn content(record_type: RecordType, id: u16, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::write_record(&mut out, record_type, id, bytes).expect("short");
    out
}
