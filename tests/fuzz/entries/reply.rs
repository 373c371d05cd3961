//! Responses as a client gets them: two HTTP parsers read the same, wherever the output is cut.

use mio_fcgi::cgi::{Reply, ReplyTo, Verdict};
use mio_fcgi::{
    Completion, ConnectionLostReason, Delivery, Failure, Outcome, Phase, Report, RequestError,
};

use super::choices::Choices;
use http_clients::parsed;

#[path = "../../cgi/http_clients.rs"]
mod http_clients;

/// Five bytes choose the request and the end of the output, three the cuts; then the application's output.
pub fn reply(input: &[u8]) {
    let mut choices = Choices::new(input);
    let to = ReplyTo::new()
        .with_head_only(choices.of(&[false, false, false, true]))
        .with_http11(choices.of(&[true, true, false]))
        .with_keep_alive(choices.is_even());
    let (ends_output, completes) = (choices.is_even(), choices.is_even());
    let outcome = if completes {
        Ok(Completion::new(0, Report::default()))
    } else {
        let error = RequestError::ConnectionLost(ConnectionLostReason::Closed);
        let (phase, delivery) = (Phase::Receiving, Delivery::Responded);
        Err(Failure::new(error, phase, delivery, Report::default()))
    };
    let cuts = choices.cuts();
    let output = choices.rest();
    let last = (ends_output, &outcome);
    let (mut whole, mut sent, verdict) = serve(to, [output].into_iter(), last);
    let (pieces, sent_in_pieces, verdict_of_pieces) = serve(to, cuts.pieces(output), last);
    assert_eq!(verdict, verdict_of_pieces);
    assert_eq!(whole.error(), pieces.error());
    assert_eq!(whole.discarded() > 0, pieces.discarded() > 0);
    let read = parsed(to, &sent, verdict);
    assert_eq!(read, parsed(to, &sent_in_pieces, verdict));
    assert_eq!(read.body.len() as u64, whole.body_len());
    if let Verdict::NothingSent { status } = verdict {
        let verdict = whole.answer(status, &[("X", "y")], b"error", &mut sent);
        assert_eq!(parsed(to, &sent, verdict).status, status);
    }
}

fn serve<'p>(
    to: ReplyTo,
    pieces: impl Iterator<Item = &'p [u8]>,
    (ends_output, outcome): (bool, &Outcome),
) -> (Reply, Vec<u8>, Verdict) {
    let (mut out, mut reply) = (Vec::new(), Reply::new(to));
    for piece in pieces {
        reply.stdout(piece, &mut out);
    }
    if ends_output {
        reply.stdout_end(&mut out);
    }
    reply.end(outcome, &mut out);
    let verdict = reply.verdict().expect("the request has ended");
    (reply, out, verdict)
}
