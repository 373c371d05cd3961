//! The program around the drivers `tokio` and `io_uring`: many jobs at once, each of them checked.
//!
//! [`Jobs`] is what an embedder has around the engine. It gives commands and takes events, and knows no socket.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mio_fcgi::UnknownLength;
use mio_fcgi::{
    Address, Config, Engine, Event, EventKind, Multiplex, RequestHandle, Tag, Timeouts,
};

// The application to use if the command line names none. Your program does not need it.
#[path = "../responder/app.rs"]
mod app;
#[path = "job.rs"]
mod job;

use job::{Answer, Job, Kind, Pattern};

/// A driver: moves bytes between an engine and its sockets until the engine is shut down.
pub(crate) type Drive = fn(&mut Engine, &mut Jobs) -> io::Result<Traffic>;

/// What a driver has asked of the system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Reads that brought bytes.
    pub(crate) reads: u64,
    /// Writes that took bytes.
    pub(crate) writes: u64,
}

/// Runs the jobs of the command line with a driver.
pub(crate) fn main(program: &str, drive: Drive) -> ExitCode {
    env_logger::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let run = match &arguments[..] {
        [] => run_demo(drive),
        [address, scripts @ ..] if !scripts.is_empty() => run_scripts(address, scripts, drive),
        _ => Err(format!("usage: {program} [ADDRESS SCRIPT...]").into()),
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Jobs of every kind for the demo application. Then the same again on connections that are not shared, to a listener
/// whose backlog is full at first.
fn run_demo(drive: Drive) -> Result<(), Box<dyn Error>> {
    let demo = app::spawn(app::Options::default())?;
    let jobs = || (0..JOBS).map(mixed).collect::<Vec<_>>();
    // The jobs come all at once: the last one waits for those before it, however long they take.
    let unlimited = |address| {
        Config::new(address)
            .with_timeouts(Timeouts::NONE)
            .with_preempt_idle_after(None)
    };
    let config = unlimited(demo.address().clone());
    run_jobs("shared connections", config, Jobs::new(jobs()), drive)?;
    #[cfg(target_os = "linux")]
    {
        let (address, listener) = full_listener()?;
        let mut jobs = Jobs::new(jobs());
        jobs.late = Some((Instant::now() + ACCEPTS_AFTER, listener));
        let config = unlimited(address)
            .with_multiplex(Multiplex::Off)
            .with_connect_timeout(Duration::MAX);
        let full = run_jobs("a full backlog", config, jobs, drive)?;
        if full == 0 {
            return Err("no connect found the backlog full".into());
        }
    }
    Ok(())
}

/// The scripts, in turns. All answers of one script have to be equal.
fn run_scripts(address: &str, scripts: &[String], drive: Drive) -> Result<(), Box<dyn Error>> {
    let servers = address.parse::<Address>()?.resolve()?;
    let script = |number| Job::new(Kind::Script(number % scripts.len()), 0);
    let mut jobs = Jobs::new((0..JOBS).map(script).collect());
    jobs.scripts = scripts.to_vec();
    jobs.answers = vec![None; scripts.len()];
    let config = Config::from_servers(servers.into_iter().take(1));
    run_jobs("scripts", config, jobs, drive).map(drop)
}

/// Runs jobs and prints a line of figures. Returns how many connects found the backlog full.
fn run_jobs(
    title: &str,
    config: Config,
    mut jobs: Jobs,
    drive: Drive,
) -> Result<u64, Box<dyn Error>> {
    let mut engine = Engine::new(config.with_unknown_length(UnknownLength::Stream))?;
    let start = Instant::now();
    jobs.submit(&mut engine, start);
    let traffic = drive(&mut engine, &mut jobs)?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(first) = jobs.faults.first() {
        let count = jobs.faults.len();
        return Err(format!("{title}: {count} jobs not as expected, the first: {first}").into());
    }
    let counters = engine.stats().counters;
    writeln!(
        io::stdout(),
        "{title}: {} jobs as expected, {} bytes sent and {} received in {seconds:.2} s, {} reads, {} writes, \
         {} connections, {} connects to a full backlog",
        jobs.jobs.len(),
        counters.bytes_sent,
        counters.bytes_received,
        traffic.reads,
        traffic.writes,
        counters.connected,
        counters.backlog_full,
    )?;
    Ok(counters.backlog_full)
}

/// A mixture of all kinds.
fn mixed(number: usize) -> Job {
    let len = 1024 * 1024 + 7919 * number as u64;
    match number % 10 {
        5 => Job::new(Kind::Upload { has_length: true }, len),
        6 => Job::new(Kind::Upload { has_length: false }, len),
        7 => Job::new(Kind::Paused, len),
        8 => Job::new(Kind::Aborted, 64 * len),
        9 => Job::new(Kind::TimeLimit, 0),
        _ => Job::new(Kind::Download, len),
    }
}

/// A listener with the shortest backlog. It has an abstract name, which Linux chooses for a socket without one.
#[cfg(target_os = "linux")]
fn full_listener() -> Result<(Address, app::Listener), Box<dyn Error>> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix("")?)?;
    socket.listen(1)?;
    let listener = app::Listener::from_unix(socket.into())?;
    Ok((listener.address().clone(), listener))
}

/// The embedder of an engine.
pub(crate) struct Jobs {
    jobs: Vec<Job>,
    /// The number of jobs that have not ended.
    left: usize,
    faults: Vec<String>,
    pattern: Pattern,
    /// Paused requests, and when to resume them: the earliest first, because all pauses are equally long.
    resumes: VecDeque<(Instant, RequestHandle)>,
    scripts: Vec<String>,
    /// The first answer of each script.
    answers: Vec<Option<Answer>>,
    /// An application that is still to be started, and when.
    late: Option<(Instant, app::Listener)>,
    started: Option<app::Running>,
}

impl Jobs {
    fn new(jobs: Vec<Job>) -> Self {
        Self {
            left: jobs.len(),
            jobs,
            faults: Vec::new(),
            pattern: Pattern::new(),
            resumes: VecDeque::new(),
            scripts: Vec::new(),
            answers: Vec::new(),
            late: None,
            started: None,
        }
    }

    fn submit(&mut self, engine: &mut Engine, now: Instant) {
        for number in 0..self.jobs.len() {
            let script = match self.jobs[number].kind {
                Kind::Script(script) => self.scripts[script].as_str(),
                _ => "",
            };
            let request = self.jobs[number].request(script);
            match engine.submit(now, request, Tag(number as u64)) {
                Ok(request) => self.write_stdin(engine, now, request, number),
                Err(refused) => self.end(engine, now, number, Err(refused.to_string())),
            }
        }
    }

    /// How long a driver may wait: until the engine or a job has something to do.
    pub(crate) fn due(&self, engine: &Engine, now: Instant) -> Option<Instant> {
        let late = self.late.as_ref().map(|(at, _)| *at);
        let resume = self.resumes.front().map(|(at, _)| *at);
        [engine.deadline(now), late, resume]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, engine: &mut Engine, now: Instant) {
        while let Some((at, request)) = self.resumes.front()
            && *at <= now
        {
            engine.resume(now, *request);
            self.resumes.pop_front();
        }
        if let Some((_, listener)) = self.late.take_if(|(at, _)| *at <= now) {
            match app::spawn_on(listener, app::Options::default()) {
                Ok(running) => self.started = Some(running),
                Err(error) => self.faults.push(error.to_string()),
            }
        }
    }

    /// Takes an event of the engine. Gives commands, as an embedder may while it holds an event.
    pub(crate) fn on_event(&mut self, engine: &mut Engine, now: Instant, event: Event<&[u8]>) {
        let number = event.tag.0 as usize;
        let job = &mut self.jobs[number];
        match event.kind {
            EventKind::Stdout(data) => {
                job.take(&self.pattern, data);
                match job.kind {
                    Kind::Aborted if job.received > 0 => engine.abort(now, event.request),
                    Kind::Paused if job.received >= (job.pauses + 1) * PAUSE_AFTER => {
                        job.pauses += 1;
                        engine.pause(now, event.request);
                        self.resumes.push_back((now + PAUSE, event.request));
                    }
                    _ => {}
                }
            }
            EventKind::StdinReady => self.write_stdin(engine, now, event.request, number),
            EventKind::End(outcome) => match job.finish(outcome) {
                Ok(answer) => {
                    let result = self.compare(number, answer);
                    self.end(engine, now, number, result);
                }
                Err(fault) => self.end(engine, now, number, Err(fault)),
            },
            _ => {}
        }
    }

    /// Pushes as much of a body as the engine takes.
    fn write_stdin(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        request: RequestHandle,
        number: usize,
    ) {
        let job = &mut self.jobs[number];
        if !matches!(job.kind, Kind::Upload { .. }) {
            return;
        }
        let result = loop {
            let piece = self.pattern.at(job.sent, job.len - job.sent);
            if piece.is_empty() {
                break engine.finish_stdin(now, request);
            }
            match engine.write_stdin(now, request, piece) {
                Ok(taken) => {
                    job.sent += taken as u64;
                    if taken < piece.len() {
                        break Ok(()); // it is full, and `StdinReady` follows
                    }
                }
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = result {
            job.note(error.to_string());
            engine.abort(now, request);
        }
    }

    /// Compares the answer of a script with its first one.
    fn compare(&mut self, number: usize, answer: Option<Answer>) -> Result<(), String> {
        if let (Kind::Script(script), Some(answer)) = (&self.jobs[number].kind, answer) {
            let first = *self.answers[*script].get_or_insert(answer);
            if first != answer {
                return Err(format!("answered {answer:?}, and before {first:?}"));
            }
        }
        Ok(())
    }

    /// Notes the end of a job. After the last one, the engine is shut down, which ends the driver.
    fn end(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        number: usize,
        result: Result<(), String>,
    ) {
        if let Err(fault) = result {
            let kind = match &self.jobs[number].kind {
                Kind::Script(script) => self.scripts[*script].clone(),
                kind => format!("{kind:?}"),
            };
            self.faults.push(format!("job {number}, {kind}: {fault}"));
        }
        self.left -= 1;
        if self.left == 0 {
            engine.shutdown(now, None);
        }
    }
}

const JOBS: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_AFTER: u64 = 256 * 1024;
#[cfg(target_os = "linux")]
const ACCEPTS_AFTER: Duration = Duration::from_millis(300);
