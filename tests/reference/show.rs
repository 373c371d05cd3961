//! A world in words, for whoever has to find out why it differs.

use std::fmt::Write;

use mio_fcgi::EventKind;

use crate::driver::Run;
use crate::log::{Asked, Log};
use crate::reference::show;
use crate::wire::decode;

pub(crate) fn world(run: &Run) -> String {
    let mut text = format!("{:?}\n", run.world.config);
    run.world
        .requests
        .iter()
        .for_each(|asked| request(asked, &mut text));
    run.logs
        .iter()
        .enumerate()
        .for_each(|(index, log)| connection(index, log, &mut text));
    text
}

fn request(asked: &Asked, text: &mut String) {
    let Asked {
        tag,
        role,
        pairs,
        body,
        data,
        retry,
        refused,
        submitted,
        aborted,
        was_paused,
        ..
    } = asked;
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.len()))
        .collect();
    let content =
        |it: &crate::log::Content| format!("{:?} {} of {:?}", it.source, it.bytes.len(), it.len);
    let (body, data) = (content(body), content(data));
    let _ = writeln!(
        text,
        "request {tag}: role {role}, {retry:?}, body {body}, data {data}, pairs {pairs:?}"
    );
    let _ = writeln!(
        text,
        "    submitted at {submitted}: {refused:?}, aborted {aborted:?}, paused {was_paused}"
    );
    for (tick, event) in &asked.events {
        let _ = match event {
            EventKind::Stdout(data) => writeln!(text, "    {tick}: Stdout of {}", data.len()),
            EventKind::Stderr(data) => writeln!(text, "    {tick}: Stderr of {}", data.len()),
            other => writeln!(text, "    {tick}: {other:?}"),
        };
    }
}

fn connection(index: usize, log: &Log, text: &mut String) {
    let mut lines = Vec::new();
    let (sent, rest) = decode(&log.out);
    lines.extend(sent.iter().map(|it| {
        (
            log.sent(it.at).tick,
            format!("to the application: {}, {}", show(it), it.content.len()),
        )
    }));
    lines.push((
        u64::MAX,
        format!(
            "to the application at the end: {rest:?} of {}",
            log.out.len()
        ),
    ));
    let (received, rest) = decode(&log.input);
    lines.extend(received.iter().map(|it| {
        (
            log.received(it.content_at()),
            format!(
                "to the client: {}, {}, whole {:?}",
                show(it),
                it.content.len(),
                it.is_whole
                    .then(|| log.received(it.content_at() + it.content_len + it.padding_len))
            ),
        )
    }));
    lines.push((
        u64::MAX,
        format!("to the client at the end: {rest:?} of {}", log.input.len()),
    ));
    lines.extend(
        log.lost
            .map(|(tick, why, time)| (tick, format!("lost at {time:?}: {why:?}"))),
    );
    lines.extend(
        log.closed
            .map(|(tick, reason)| (tick, format!("closed: {reason:?}"))),
    );
    lines.sort();
    let _ = writeln!(text, "connection {index}");
    lines.iter().for_each(|(tick, line)| {
        let _ = writeln!(text, "    {tick}: {line}");
    });
}
