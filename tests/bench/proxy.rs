//! An HTTP request through the example `proxy`, in instructions of its process.
//!
//! The application and the clients, each of which asks over one connection, run outside of valgrind.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::valgrind;

#[path = "../../examples/responder/app.rs"]
mod app;

/// What the proxy is asked for.
pub(crate) struct Load {
    /// The name by which it is chosen on the command line.
    pub(crate) name: &'static str,
    clients: usize,
    /// What each client sends.
    request: &'static [u8],
    arguments: &'static [&'static str],
    /// The requests of each client in the shorter run.
    rounds: usize,
}

pub(crate) const LOADS: [Load; 3] = [
    Load {
        name: "proxy, one request",
        clients: 1,
        // What curl sends, and a cookie.
        request: b"GET /bench HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\
            Cookie: session=0123456789abcdef\r\n\r\n",
        arguments: &["--fallback", "/x.php", "--max-conns", "1", "--no-access-log"],
        rounds: 1000,
    },
    Load {
        name: "proxy, 64 clients",
        clients: 64,
        request: SMALL_REQUEST,
        arguments: &["--extension=", "--max-conns", "64", "--max-idle", "64", "--no-access-log"],
        rounds: 40,
    },
    Load {
        name: "proxy, 64 clients, access log",
        clients: 64,
        request: SMALL_REQUEST,
        arguments: &["--extension=", "--max-conns", "64", "--max-idle", "64"],
        rounds: 40,
    },
];

const SMALL_REQUEST: &[u8] = b"GET /bench HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";

impl Load {
    /// Counts the instructions of one request.
    ///
    /// # Errors
    /// If the proxy cannot be built or does not answer, or valgrind is not installed or prints no count.
    pub(crate) fn instructions(&self) -> io::Result<f64> {
        let program = build()?;
        let application = app::spawn(app::Options::default())?;
        let upstream = application.address().to_string();
        let few = self.collected(&program, &upstream, self.rounds)?;
        let many = self.collected(&program, &upstream, 3 * self.rounds)?;
        Ok((many - few) as f64 / (2 * self.rounds * self.clients) as f64)
    }

    /// Runs the proxy for N requests of each client.
    fn collected(&self, program: &Path, upstream: &str, rounds: usize) -> io::Result<i64> {
        let mut command = valgrind::command();
        command.arg(program).args(["--upstream", upstream]);
        command.args(["--root", "/srv/www", "--remote", "--multiplex", "off"]);
        command
            .args(["--listen", "127.0.0.1:0"])
            .args(self.arguments);
        // A file, because nobody reads the access log while the proxy runs.
        let log = NamedTempFile::new()?;
        command.stdout(Stdio::piped()).stderr(log.reopen()?);
        let mut proxy = KilledAtLast(Some(command.spawn().map_err(valgrind::cannot_start)?));
        let child = proxy.0.as_mut().expect("it was just put there");
        self.ask(child, rounds)?;
        kill_process(Pid::from_child(child), Signal::TERM)?;
        let child = proxy.0.take().expect("it is still there");
        let ended = child.wait_with_output()?;
        let stderr = fs::read(log.path())?;
        valgrind::collected(&Output { stderr, ..ended })
    }

    /// Each client sends a request, then the answers are read, and so on.
    fn ask(&self, proxy: &mut Child, rounds: usize) -> io::Result<()> {
        let mut line = String::new();
        if let Some(stdout) = &mut proxy.stdout {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.ok_or_else(|| io::Error::other("the proxy does not start"))?;
        let clients = (0..self.clients).map(|_| TcpStream::connect(address));
        let mut clients = clients.collect::<io::Result<Vec<_>>>()?;
        for _ in 0..rounds {
            for client in &mut clients {
                client.write_all(self.request)?;
            }
            clients.iter_mut().try_for_each(read_answer)?;
        }
        Ok(())
    }
}

fn read_answer(client: &mut TcpStream) -> io::Result<()> {
    let mut answer = Vec::new();
    while !is_whole(&answer)? {
        let mut piece = [0; 4096];
        let len = client.read(&mut piece)?;
        if len == 0 {
            return Err(io::Error::other("the proxy closes"));
        }
        answer.extend_from_slice(&piece[..len]);
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
