//! One HTTP request through the example `proxy`, in instructions of its process.
//!
//! The application and the one client, which asks over one connection, run outside of valgrind.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::valgrind;

#[path = "../../examples/responder/app.rs"]
mod app;

/// The name by which it is chosen on the command line.
pub(crate) const NAME: &str = "proxy, one request";

/// Counts the instructions of one request.
///
/// # Errors
/// If the proxy cannot be built or does not answer, or valgrind is not installed or prints no count.
pub(crate) fn instructions() -> io::Result<f64> {
    let program = build()?;
    let application = app::spawn(app::Options::default())?;
    let upstream = application.address().to_string();
    let more =
        collected(&program, &upstream, 3 * REQUESTS)? - collected(&program, &upstream, REQUESTS)?;
    Ok(more as f64 / (2 * REQUESTS) as f64)
}

/// Runs the proxy for N requests.
fn collected(program: &PathBuf, upstream: &str, requests: usize) -> io::Result<i64> {
    let mut command = valgrind::command();
    command.arg(program).args(["--upstream", upstream]);
    command.args(["--root", "/srv/www", "--remote", "--fallback", "/x.php"]);
    command.args(["--multiplex", "off", "--max-conns", "1"]);
    command.args(["--listen", "127.0.0.1:0", "--no-access-log"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut proxy = KilledAtLast(Some(command.spawn().map_err(valgrind::cannot_start)?));
    let child = proxy.0.as_mut().expect("it was just put there");
    ask(child, requests)?;
    kill_process(Pid::from_child(child), Signal::TERM)?;
    let child = proxy.0.take().expect("it is still there");
    valgrind::collected(&child.wait_with_output()?)
}

/// Sends requests, each when the one before it is answered.
fn ask(proxy: &mut Child, requests: usize) -> io::Result<()> {
    let mut line = String::new();
    if let Some(stdout) = &mut proxy.stdout {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let address = line.trim().strip_prefix("listening on http://");
    let address = address.ok_or_else(|| io::Error::other("the proxy does not start"))?;
    let mut client = TcpStream::connect(address)?;
    let mut answer = Vec::new();
    for _ in 0..requests {
        client.write_all(REQUEST)?;
        answer.clear();
        while !is_whole(&answer)? {
            let mut piece = [0; 4096];
            let len = client.read(&mut piece)?;
            if len == 0 {
                return Err(io::Error::other("the proxy closes"));
            }
            answer.extend_from_slice(&piece[..len]);
        }
    }
    Ok(())
}

/// # Errors
/// If the answer is not the application's.
fn is_whole(answer: &[u8]) -> io::Result<bool> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Ok(false);
    };
    let body_len = app::Options::default().bench_body_len;
    if !head.starts_with("HTTP/1.1 200 ") || body.len() > body_len {
        return Err(io::Error::other(format!("the proxy answers '{text}'")));
    }
    Ok(body.len() == body_len)
}

/// Builds the proxy from the present sources, since `cargo bench` does not build it.
fn build() -> io::Result<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--release", "--example", "proxy"]);
    if !build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?
        .success()
    {
        return Err(io::Error::other("the proxy is not built"));
    }
    // target/release/deps/bench-0123456789abcdef
    let own = std::env::current_exe()?;
    let profile = own.ancestors().nth(2);
    let profile = profile.ok_or_else(|| io::Error::other("the bench is not in deps/"))?;
    Ok(profile.join("examples/proxy"))
}

/// A program that is killed when the benchmark fails.
struct KilledAtLast(Option<Child>);

impl Drop for KilledAtLast {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What curl sends, and a cookie.
const REQUEST: &[u8] =
    b"GET /bench HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\
    Cookie: session=0123456789abcdef\r\n\r\n";

/// The requests of the shorter run.
const REQUESTS: usize = 1000;
