//! Answers to `FCGI_GET_VALUES` that are there before the question.

use std::time::Duration;

use mio_fcgi::Multiplex;
use mio_fcgi::wire::RecordType;

use crate::harness::{Answer, Bench};
use crate::negotiation::shared_by;
use crate::script::{Seen, Sent, config, records, repeatable};

const SECOND: Duration = Duration::from_secs(1);

/// A question is framed, and the transport takes nothing of it yet.
fn framed() -> Bench {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(repeatable());
    bench.submit(repeatable());
    bench.sent(0);
    bench.peers[0].window = 0;
    bench.advance(SECOND);
    assert_eq!(bench.sent(0), []);
    bench
}

/// The question leaves.
fn ask(bench: &mut Bench) {
    bench.open_window(0, usize::MAX);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
}

#[test]
fn an_answer_that_comes_before_a_byte_of_the_question_has_left_is_not_believed() {
    let yes = || records().values(&[("FCGI_MPXS_CONNS", "1")]);
    let no = || records().values(&[("FCGI_MPXS_CONNS", "0")]);
    let unknown = || records().unknown_type(RecordType::GetValues.into());
    let cases = [
        (yes(), no(), 1),
        (no(), yes(), 3),
        (unknown(), yes(), 3),
        (records(), yes(), 3),
    ];
    for (early, answer, shared) in cases {
        let mut bench = framed();
        bench.feed(0, early);
        assert_eq!(bench.stats().requests.active, 1, "nothing is shared");
        ask(&mut bench);
        assert_eq!(bench.stats().requests.active, 1);
        bench.feed(0, answer);
        assert_eq!(shared_by(bench), shared);
    }
}

#[test]
fn an_answer_that_began_before_the_question_had_left_is_not_believed_as_a_whole() {
    let early = records().values(&[("FCGI_MPXS_CONNS", "1")]);
    let early: &[u8] = early.as_ref();
    for cut in 9..early.len() {
        let mut bench = framed();
        bench.feed(0, &early[..cut]);
        ask(&mut bench);
        bench.feed(0, &early[cut..]);
        assert_eq!(bench.stats().requests.active, 1, "cut at {cut}");
        bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "0")]));
        assert_eq!(shared_by(bench), 1);
    }
}

#[test]
fn the_embedders_question_is_not_answered_before_it_has_left_either() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.answers.push_back(Answer::Hang);
    bench.get_values(0);
    bench.peers[0].window = 0;
    bench.accept(0);
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    assert_eq!(bench.seen(), []);
    ask(&mut bench);
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "0")]));
    let seen = bench.seen();
    assert!(matches!(seen[..], [Seen::Values(1, values), _] if values.multiplexes == Some(false)));
    bench.finish();
}
