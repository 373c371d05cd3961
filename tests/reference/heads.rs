//! Random output of applications, read by `cgi` in pieces and by the reference as a whole.

use mio_fcgi::cgi::{
    Collector, Completeness, HeadError, HeadParser, HeadRules, Response, ResponseError,
    ResponseLimits, has_body,
};
use mio_fcgi::{
    Completion, ConnectionLostReason, Delivery, Failure, Outcome, Phase, Report, RequestError,
    TimeoutKind,
};

use crate::cgi::{Head, Output, read};
use crate::rng::Rng;
use crate::wire::Pair;

/// Reads one random output in both ways.
///
/// # Errors
/// The first difference.
pub(crate) fn compare(rng: &mut Rng) -> Result<(), String> {
    let mut rules = HeadRules::default().with_strict(rng.chance(30));
    if rng.chance(20) {
        rules = rules
            .with_max_len(rng.within(0, 120))
            .with_max_fields(rng.within(0, 6));
    }
    let output = output(rng);
    let pieces = pieces(&output, rng);
    let shown = || format!("{rules:?}, {}", output.escape_ascii());
    parse(&output, &pieces, rules).map_err(|it| format!("{it}: {}", shown()))?;
    collect(&output, &pieces, rules, rng).map_err(|it| format!("{it}: {}", shown()))
}

fn output(rng: &mut Rng) -> Vec<u8> {
    let mut output = Vec::new();
    for _ in 0..rng.one_of(&[1, 1, 1, 2, 3]) {
        if rng.chance(15) {
            output.extend(rng.one_of(&[
                &b"HTTP/1.1 404 Not Found"[..],
                b"HTTP/1.0 200",
                b"HTTP/1.1 103 Early Hints",
                b"HTTP/1.1 20 OK",
            ]));
            output.extend(end_of_line(rng));
        }
        for _ in 0..rng.below(6) {
            output.extend(line(rng));
            output.extend(end_of_line(rng));
        }
        output.extend(end_of_line(rng));
    }
    let len = rng.one_of(&[0, 1, 5, 5, 30]);
    output.extend(vec![b'x'; len]);
    if rng.chance(20) && !output.is_empty() {
        let at = rng.below(output.len());
        output[at] = rng.one_of(&[0, b'\r', b'\n', b' ', b':', 127, 200, b'\t']);
    }
    if rng.chance(10) {
        output.truncate(rng.within(0, output.len()));
    }
    output
}

fn end_of_line(rng: &mut Rng) -> Vec<u8> {
    rng.one_of(&[&b"\r\n"[..], b"\r\n", b"\n"]).to_vec()
}

fn line(rng: &mut Rng) -> Vec<u8> {
    let lines: [&[u8]; 36] = [
        b"Content-Type: text/html",
        b"content-type: text/plain",
        b"Content-Type: text/html",
        b"Status: 200 OK",
        b"Status: 404 Not Found",
        b"status:404",
        b"Status: 103 Early Hints",
        b"Status: 103",
        b"Status: 101 Switching Protocols",
        b"Status: 500\tOops  ",
        b"Status: 99",
        b"Status: 1000",
        b"Status: abc",
        b"Status: 200OK",
        b"Status: 204",
        b"Status: 304 Not Modified",
        b"Location: /local?a=b",
        b"Location: //elsewhere/",
        b"Location: http://example.org/",
        b"Location: /local#fragment",
        b"Content-Length: 5",
        b"Content-Length: 5",
        b"CONTENT-LENGTH:  5 ",
        b"Content-Length: 6",
        b"Content-Length: -1",
        b"Content-Length: 5,5",
        b"Content-Length: 9223372036854775808",
        b"Content-Length: 9223372036854775807",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
        b"X-Empty:",
        b" folded: line",
        b"No colon",
        b": no name",
        b"Blank : before",
        b"Latin: \xE9t\xE9",
    ];
    // Half of the lines are harmless, so that some heads are.
    let harmless = [
        b"X-A: 1".to_vec(),
        b"Content-Type: a/b".to_vec(),
        b"X-B:\t2".to_vec(),
    ];
    if rng.chance(50) {
        rng.one_of(&harmless)
    } else {
        rng.one_of(&lines).to_vec()
    }
}

fn pieces(output: &[u8], rng: &mut Rng) -> Vec<Vec<u8>> {
    let (mut pieces, mut rest) = (Vec::new(), output);
    let most = rng.one_of(&[1, 3, 10, 1_000]);
    while !rest.is_empty() {
        let (piece, next) = rest.split_at(rng.within(1, most).min(rest.len()));
        pieces.push(piece.to_vec());
        rest = next;
    }
    pieces
}

/// Compares the parser.
fn parse(output: &[u8], pieces: &[Vec<u8>], rules: HeadRules) -> Result<(), String> {
    let expected = read(output, rules);
    let differs = |actual: String| Err(format!("the parser says {actual}, expected {expected:?}"));
    let mut parser = HeadParser::new(rules);
    let mut interim = 0;
    let mut fed = 0;
    for piece in pieces {
        let mut rest = &piece[..];
        fed += piece.len();
        loop {
            let (head, after) = match (parser.push(rest), &expected) {
                (Ok(None), _) => break,
                (Ok(Some(parsed)), _) => parsed,
                (Err(error), Output::Invalid(reasons)) if reasons.contains(&error) => return Ok(()),
                // It cannot be completed any more.
                (Err(HeadError::TooLarge { limit }), Output::Incomplete)
                    if output.len() == limit =>
                {
                    return Ok(());
                }
                (Err(error), _) => return differs(format!("{error:?}")),
            };
            let Output::Whole {
                interim: interims,
                head: last,
                body_at,
            } = &expected
            else {
                // One that came before the error, or before the end.
                if head.is_interim() {
                    rest = after;
                    continue;
                }
                return differs(format!("{head:?}"));
            };
            let wanted = if head.is_interim() {
                interims.get(interim)
            } else {
                Some(last)
            };
            let is_same = |wanted: &Head| {
                let fields: Vec<Pair> = head
                    .fields()
                    .map(|(name, value)| (name.to_vec(), value.to_vec()))
                    .collect();
                head.status() == wanted.status
                    && head.reason() == wanted.reason
                    && fields == wanted.fields
                    && head.content_length() == wanted.content_length
                    && head.local_redirect() == wanted.local_redirect.as_deref()
            };
            if !wanted.is_some_and(is_same) {
                return differs(format!("{head:?}"));
            }
            if !head.is_interim() {
                return match interim == interims.len() && fed - after.len() == *body_at {
                    true => Ok(()),
                    false => differs(format!("a body at {}", fed - after.len())),
                };
            }
            interim += 1;
            rest = after;
        }
    }
    let end = match parser.end() {
        Err(HeadError::Missing) if output.is_empty() => return Ok(()),
        Err(HeadError::Truncated { len }) if len == output.len() && len > 0 => "incomplete",
        _ => "another end",
    };
    match (end, &expected) {
        ("incomplete", Output::Incomplete) => Ok(()),
        _ => differs(format!("{end}, {:?}", parser.end())),
    }
}

/// Compares the collector.
fn collect(
    output: &[u8],
    pieces: &[Vec<u8>],
    rules: HeadRules,
    rng: &mut Rng,
) -> Result<(), String> {
    let max_body = rng.one_of(&[4, 1_000, 1_000]);
    let method = rng.one_of(&["GET", "POST", "HEAD"]);
    let limits = ResponseLimits::default()
        .with_head(rules)
        .with_max_body(max_body);
    let mut collector = Collector::new(limits).with_method(method);
    for piece in pieces {
        let _ = collector.stdout(piece); // `finish` returns it again.
    }
    let is_ended = rng.chance(40);
    let excess = if is_ended && rng.chance(20) { 3 } else { 0 };
    if is_ended {
        collector.stdout_end();
        let _ = collector.stdout(&b"+++"[..excess]);
    }
    let outcome = outcome(rng);
    let actual = collector.finish(outcome.clone());
    let differs = |expected: String| {
        Err(format!(
            "the collector says {actual:?} of {method}, {outcome:?}, ended {is_ended}, max_body {max_body}, expected {expected}"
        ))
    };
    let is_error = |wanted: &dyn Fn(&ResponseError) -> bool| matches!(&actual, Err(incomplete) if wanted(&incomplete.error));
    let is_failed = |it: &ResponseError| matches!((it, &outcome), (ResponseError::Failed(failure), Err(given)) if failure == given);
    // What a failed request lacks is the fault of the failure.
    let lost = |it: &ResponseError| match &outcome {
        Err(failure) if matches!(failure.error, RequestError::ConnectionLost(_)) => {
            *it == ResponseError::Truncated || is_failed(it)
        }
        _ => is_failed(it),
    };
    match read(output, rules) {
        Output::Invalid(reasons) => {
            let is_one = |it: &ResponseError| matches!(it, ResponseError::Head(reason) if reasons.contains(reason));
            if is_error(&is_one) {
                Ok(())
            } else {
                differs(format!("{reasons:?}"))
            }
        }
        Output::Incomplete => {
            let is_one = |it: &ResponseError| match &outcome {
                Ok(_) if output.is_empty() => *it == ResponseError::Empty,
                Ok(_) => *it == ResponseError::Head(HeadError::Truncated { len: output.len() }),
                Err(_) => lost(it),
            };
            let is_full = |it: &ResponseError| {
                *it == ResponseError::Head(HeadError::TooLarge {
                    limit: output.len(),
                })
            };
            if is_error(&is_one) || is_error(&is_full) {
                Ok(())
            } else {
                differs("an incomplete head".to_owned())
            }
        }
        Output::Whole {
            interim,
            head,
            body_at,
        } => {
            let body = &output[body_at..];
            let is_without = !has_body(method, head.status);
            let declared = head.content_length.filter(|_| !is_without);
            let received = body.len() as u64;
            if !is_without
                && (body.len() > max_body || declared.is_some_and(|it| it > max_body as u64))
            {
                let is_large = |it: &ResponseError| matches!(it, ResponseError::BodyTooLarge { limit } if *limit == max_body);
                let is_long = |it: &ResponseError| {
                    declared.is_some_and(|it| it < received)
                        && matches!(it, ResponseError::LengthMismatch { .. })
                };
                return if is_error(&is_large) || is_error(&is_long) {
                    Ok(())
                } else {
                    differs("a body that is too large".to_owned())
                };
            }
            if let Some(declared) = declared.filter(|it| *it != received) {
                let is_long = |it: &ResponseError| matches!(it, ResponseError::LengthMismatch { declared: it, .. } if *it == declared);
                let is_short = |it: &ResponseError| {
                    is_long(it)
                        && matches!(it, ResponseError::LengthMismatch { received: it, .. } if *it == received)
                };
                let is_one = if declared < received {
                    is_error(&is_long)
                } else {
                    is_error(&|it| {
                        (outcome.is_ok() || is_ended) && is_short(it)
                            || outcome.is_err() && lost(it)
                    })
                };
                return if is_one {
                    Ok(())
                } else {
                    differs("another length".to_owned())
                };
            }
            let is_reached = is_without || declared.is_some();
            let is_late = |failure: &Failure| {
                matches!(
                    failure.error,
                    RequestError::ConnectionLost(_)
                        | RequestError::TimedOut(_)
                        | RequestError::ShutDown
                )
            };
            let is_whole = match &outcome {
                Ok(_) => true,
                Err(failure) => is_late(failure) && (is_reached || is_ended),
            };
            if !is_whole {
                return if is_error(&lost) {
                    Ok(())
                } else {
                    differs("a failure".to_owned())
                };
            }
            let discarded = excess + if is_without { body.len() } else { 0 };
            let wanted_body = if is_without { &b""[..] } else { body };
            let is_same = |it: &Response| {
                let reached = [
                    (is_reached, Completeness::LengthReached),
                    (is_ended, Completeness::StdoutEnded),
                ];
                let is_why = match &outcome {
                    Ok(_) => it.completeness == Completeness::Complete,
                    Err(_) => reached
                        .iter()
                        .any(|(may, why)| *may && it.completeness == *why),
                };
                let interims: Vec<_> = it
                    .interim
                    .iter()
                    .map(|one| (one.status, one.fields.clone()))
                    .collect();
                is_why
                    && (it.status, &it.reason, &it.fields)
                        == (head.status, &head.reason, &head.fields)
                    && it.content_length == head.content_length
                    && it.local_redirect == head.local_redirect
                    && interims
                        == interim
                            .iter()
                            .map(|one| (one.status, one.fields.clone()))
                            .collect::<Vec<_>>()
                    && it.body == wanted_body
                    && it.stdout_discarded == discarded as u64
                    && it.outcome == outcome
            };
            match &actual {
                Ok(response) if is_same(response) => Ok(()),
                Ok(_) | Err(_) => differs(format!("{head:?}, {} bytes of body", wanted_body.len())),
            }
        }
    }
}

fn outcome(rng: &mut Rng) -> Outcome {
    let errors = [
        RequestError::ConnectionLost(ConnectionLostReason::Closed),
        RequestError::TimedOut(TimeoutKind::BetweenBytes),
        RequestError::ShutDown,
        RequestError::Aborted,
        RequestError::UnknownRole,
    ];
    if rng.chance(50) {
        return Ok(Completion::new(0, Report::default()));
    }
    Err(Failure::new(
        rng.one_of(&errors),
        Phase::Receiving,
        Delivery::Responded,
        Report::default(),
    ))
}
