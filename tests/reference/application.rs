//! An application on one connection, which follows a random script for each request, and the rules as far as the world is
//! tame.

use std::collections::VecDeque;

use crate::log::Log;
use crate::reference::TAG;
use crate::rng::Rng;
use crate::wire::{self, Record, decode, decode_pairs, encode, encode_pair};
use crate::world::{Values, World};

#[derive(Default)]
pub(crate) struct Application {
    /// How much of what it was sent it has read.
    read: usize,
    requests: Vec<Served>,
    /// How it ends the connection, once it has sent everything.
    pub(crate) ends: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Close,
    Reset,
}

/// A request as the application sees it.
struct Served {
    id: u16,
    keeps: bool,
    params: Vec<u8>,
    params_ended: bool,
    stdin_ended: bool,
    data_ended: bool,
    aborted: bool,
    script: Option<VecDeque<Step>>,
}

enum Step {
    AwaitParams,
    AwaitBody,
    Send(u8, Vec<u8>, u8),
    Wild,
    End,
}

impl Application {
    /// Does something, if it can. Returns the bytes that it sends.
    pub(crate) fn act(&mut self, log: &Log, world: &World, rng: &mut Rng) -> Vec<u8> {
        let mut out = Vec::new();
        self.read(log, world, rng, &mut out);
        if rng.chance(world.wildness) && rng.chance(20) {
            self.wild(None, rng, &mut out);
        }
        for _ in 0..rng.within(1, 4) {
            let ready: Vec<usize> = (0..self.requests.len())
                .filter(|at| self.requests[*at].is_ready())
                .collect();
            if ready.is_empty() || self.ends.is_some() {
                break;
            }
            self.step(rng.one_of(&ready), world, rng, &mut out);
        }
        if !self.requests.is_empty() && self.ends.is_none() && rng.chance(world.losses) {
            self.ends = Some(rng.one_of(&[End::Close, End::Reset]));
            let kept = rng.within(0, out.len());
            out.truncate(kept);
        }
        out
    }

    fn read(&mut self, log: &Log, world: &World, rng: &mut Rng, out: &mut Vec<u8>) {
        let (records, _) = decode(&log.out[self.read..]);
        for record in records.into_iter().filter(|record| record.is_whole) {
            self.read += 8 + record.content_len + record.padding_len;
            match record.kind {
                wire::BEGIN => self.requests.push(Served::new(&record)),
                wire::GET_VALUES => self.values(world.values, rng, out),
                _ => {
                    if let Some(request) = self.requests.iter_mut().rfind(|it| it.id == record.id) {
                        request.read(&record, world, rng);
                    }
                }
            }
        }
    }

    fn values(&mut self, values: Values, rng: &mut Rng, out: &mut Vec<u8>) {
        let mpxs = |value: &[u8]| encode_pair(b"FCGI_MPXS_CONNS", value);
        let result = |content: &[u8]| encode(wire::GET_VALUES_RESULT, 0, content, 3);
        match values {
            Values::Multiplexes => out.extend(result(&mpxs(b"1"))),
            Values::Plain => out.extend(result(&mpxs(b"0"))),
            Values::Empty => out.extend(result(b"")),
            Values::UnknownType => out.extend(encode(
                wire::UNKNOWN_TYPE,
                0,
                &[wire::GET_VALUES, 0, 0, 0, 0, 0, 0, 0],
                0,
            )),
            Values::Silence => {}
            Values::Close => self.ends = Some(rng.one_of(&[End::Close, End::Reset])),
        }
    }

    fn step(&mut self, at: usize, world: &World, rng: &mut Rng, out: &mut Vec<u8>) {
        let request = &mut self.requests[at];
        let id = request.id;
        let Some(step) = request.script.as_mut().and_then(VecDeque::pop_front) else {
            return;
        };
        match step {
            Step::AwaitParams | Step::AwaitBody => {}
            Step::Send(kind, content, padding) => out.extend(encode(kind, id, &content, padding)),
            Step::Wild => self.wild(Some(id), rng, out),
            Step::End => {
                out.extend(end(id, world, rng));
                if !request.keeps && rng.chance(50) {
                    self.ends = Some(End::Close);
                }
            }
        }
    }

    /// Sends what an application must not send, or need not.
    fn wild(&self, live: Option<u16>, rng: &mut Rng, out: &mut Vec<u8>) {
        let answers = [wire::STDOUT, wire::STDERR, wire::END];
        let kind = rng.one_of(&answers);
        let last = self.requests.last().map_or(0, |it| it.id);
        let some = live.unwrap_or_else(|| self.requests.first().map_or(1, |it| it.id));
        let (len, padding) = (rng.within(0, 20), rng.below(256) as u8);
        let junk = rng.bytes(len);
        let content = if kind == wire::END {
            vec![0; 8]
        } else {
            junk.clone()
        };
        match rng.below(16) {
            0 => out.extend(encode(rng.one_of(&[12, 77, 255]), 0, &junk, padding)),
            1 => out.extend(encode(
                wire::UNKNOWN_TYPE,
                0,
                &[44, 0, 0, 0, 0, 0, 0, 0],
                padding,
            )),
            2 => out.extend(encode(
                wire::GET_VALUES_RESULT,
                0,
                &encode_pair(b"FCGI_MPXS_CONNS", b"1"),
                padding,
            )),
            3 if live.is_some() => {
                out.extend(encode(rng.one_of(&[0, 12, 200]), some, &junk, padding))
            }
            4 => {
                let version = rng.one_of(&[0, 2, b'H', 255]);
                out.extend([version, wire::STDOUT, 0, 1, 0, 0, 0, 0]);
            }
            5 => out.extend(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            6 => {
                let kind = rng.one_of(&[
                    wire::BEGIN,
                    wire::ABORT,
                    wire::PARAMS,
                    wire::STDIN,
                    wire::DATA,
                    wire::GET_VALUES,
                ]);
                out.extend(encode(kind, rng.one_of(&[0, some]), &junk, padding));
            }
            7 => out.extend(encode(kind, 0, &content, padding)),
            8 => out.extend(encode(
                kind,
                rng.within(30_000, 65_535) as u16,
                &content,
                padding,
            )),
            9 => out.extend(encode(kind, last.wrapping_add(1).max(1), &content, padding)),
            10 | 11 if !self.requests.is_empty() => {
                let over: Vec<u16> = self
                    .requests
                    .iter()
                    .filter(|it| it.is_over())
                    .map(|it| it.id)
                    .collect();
                if let Some(id) = over.get(rng.below(over.len().max(1))) {
                    out.extend(encode(kind, *id, &content, padding));
                }
            }
            12 if live.is_some() => {
                let short = rng.below(8);
                out.extend(encode(wire::END, some, &vec![0; short], padding));
            }
            13 => out.extend(&junk),
            14 if live.is_some() => out.extend(encode(wire::STDERR, some, b"", padding)),
            _ => {
                let len = rng.below(8);
                out.extend(encode(wire::UNKNOWN_TYPE, 0, &vec![0; len], padding));
            }
        }
    }
}

impl Served {
    fn new(begin: &Record) -> Self {
        Self {
            id: begin.id,
            keeps: begin.content[2] == 1,
            params: Vec::new(),
            params_ended: false,
            stdin_ended: false,
            data_ended: begin.content[1] != 3,
            aborted: false,
            script: None,
        }
    }

    fn read(&mut self, record: &Record, world: &World, rng: &mut Rng) {
        match record.kind {
            wire::PARAMS if record.content_len == 0 => self.params_ended = true,
            wire::PARAMS => self.params.extend(&record.content),
            wire::STDIN if record.content_len == 0 => self.stdin_ended = true,
            wire::DATA if record.content_len == 0 => self.data_ended = true,
            wire::ABORT => self.aborted = true,
            _ => {}
        }
        let (pairs, _) = decode_pairs(&self.params);
        let is_known = self.params_ended || pairs.first().is_some_and(|pair| pair.0 == TAG);
        if self.script.is_none() && is_known {
            self.script = Some(script(world, rng));
        }
        if self.aborted && rng.chance(50) && !self.is_over() {
            self.script = Some(VecDeque::from([Step::End])); // 5.4: as soon as possible.
        }
    }

    fn is_over(&self) -> bool {
        self.script.as_ref().is_some_and(VecDeque::is_empty)
    }

    fn is_ready(&self) -> bool {
        match self.script.as_ref().and_then(VecDeque::front) {
            None => false,
            Some(Step::AwaitParams) => self.params_ended,
            Some(Step::AwaitBody) => (self.stdin_ended && self.data_ended) || self.aborted,
            Some(_) => true,
        }
    }
}

/// What an application does for a request.
fn script(world: &World, rng: &mut Rng) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    if !rng.chance(world.wildness) {
        steps.push_back(Step::AwaitParams);
    }
    let is_early = rng.chance(15);
    if !is_early {
        steps.push_back(Step::AwaitBody);
    }
    let scale = rng.one_of(&[1, 10, 10, 100, 100, 1_000]);
    let scale = if world.piece > 5_000 && rng.chance(5) {
        65_535
    } else {
        scale
    };
    for _ in 0..rng.one_of(&[0, 1, 1, 2, 4, 9]) {
        let kind = rng.one_of(&[wire::STDOUT, wire::STDOUT, wire::STDOUT, wire::STDERR]);
        let len = rng.within(1, scale);
        let padding = rng.one_of(&[0, 0, 7, 255]);
        steps.push_back(Step::Send(kind, rng.bytes(len), padding));
        if rng.chance(world.wildness) {
            steps.push_back(Step::Wild);
        }
    }
    if rng.chance(50) {
        steps.push_back(Step::Send(wire::STDOUT, Vec::new(), rng.one_of(&[0, 8])));
        if rng.chance(30) {
            steps.push_back(Step::Send(wire::STDERR, rng.bytes(5), 3));
        }
        if rng.chance(world.wildness) {
            steps.push_back(Step::Send(wire::STDOUT, rng.bytes(3), 0)); // After its end.
        }
    }
    if is_early && rng.chance(30) {
        steps.push_back(Step::AwaitBody);
    }
    if !rng.chance(5) {
        steps.push_back(Step::End);
    }
    steps
}

fn end(id: u16, world: &World, rng: &mut Rng) -> Vec<u8> {
    let app_status = if rng.chance(70) {
        0
    } else {
        rng.below(1 << 32) as u32
    };
    let refusals = [
        wire::CANT_MPX_CONN,
        wire::OVERLOADED,
        wire::UNKNOWN_ROLE,
        4,
        255,
    ];
    let is_refused = rng.chance(3 + world.wildness);
    let status = if is_refused {
        rng.one_of(&refusals)
    } else {
        wire::REQUEST_COMPLETE
    };
    let mut body = app_status.to_be_bytes().to_vec();
    body.push(status);
    let (reserved, excess) = (rng.one_of(&[3, 3, 3, 8]), rng.one_of(&[0, 0, 1, 255]));
    body.extend(rng.bytes(reserved));
    encode(wire::END, id, &body, excess)
}
