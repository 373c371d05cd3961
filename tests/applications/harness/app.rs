//! Applications that serve the listening socket they inherit as file descriptor 0 (FastCGI 1.0, 2.2): all but php-fpm.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{Process, command};
use super::{Listen, Port, Transport};

/// Which application to start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Program {
    /// `go/main.go`
    Go,
    /// `c/app.c` with N worker processes
    LibFcgi { workers: u32 },
    /// `perl/app.pl`
    Perl,
    /// `flup/app.py`, one request at a time on a connection
    Flup,
    /// `flup/app.py` with `multiplexed=True`
    FlupMultiplexed,
    /// `suites/plack.pl`
    Plack,
    /// `suites/rack.rb`
    Rack,
    /// An application of `suites/wsgi.py`, with `multiplexed` several requests at a time on a connection
    Wsgi {
        name: &'static str,
        multiplexed: bool,
    },
    /// fcgiwrap with N worker processes; requests need [`cgi_script`] as `SCRIPT_FILENAME`
    Fcgiwrap { workers: u32 },
}

/// A running application.
///
/// The socket listens before the program runs, with a backlog of 128, so a connect is never too early.
#[derive(Debug)]
pub(crate) struct App {
    // Dropped before the directory: the log must exist until the process is dropped.
    process: Process,
    listen: Listen,
    program: Program,
    directory: TempDir,
    _port: Option<Port>,
}

impl App {
    /// Starts `program` and waits until it says that it is ready.
    pub(crate) fn start(program: Program, transport: Transport) -> Self {
        let directory = temporary_directory();
        let (listen, port) = match transport {
            Transport::Unix => (Listen::Unix(directory.path().join("app.sock")), None),
            Transport::Tcp => {
                let port = Port::reserve();
                (Listen::Tcp(port.address()), Some(port))
            }
        };
        let process = launch(program, listen_on(&listen), directory.path());
        Self {
            process,
            listen,
            program,
            directory,
            _port: port,
        }
    }

    pub(crate) fn listen(&self) -> &Listen {
        &self.listen
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What the application has printed since its last start.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Kills the application, so that a connect is refused. Its address stays its own for [`restart`](Self::restart).
    pub(crate) fn kill(&mut self) {
        self.process.end(Signal::KILL);
    }

    /// Kills the application if it runs, and starts it again on the same address.
    pub(crate) fn restart(&mut self) {
        if !self.process.has_ended() {
            self.kill();
        }
        if let Listen::Unix(path) = &self.listen {
            fs::remove_file(path).expect("the old socket's file is there");
        }
        let socket = listen_on(&self.listen);
        self.process = launch(self.program, socket, self.directory.path());
    }
}

/// The script that [`Program::Fcgiwrap`] is to run.
pub(crate) fn cgi_script() -> String {
    source("cgi/app.sh")
        .to_str()
        .expect("the checkout's path is UTF-8")
        .to_owned()
}

/// A file under `tests/applications`.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/applications")
        .join(name)
}

pub(crate) fn temporary_directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("mio-fcgi-")
        .tempdir()
        .expect("a temporary directory can be made")
}

fn listen_on(address: &Listen) -> OwnedFd {
    match address {
        Listen::Unix(path) => {
            let listener = UnixListener::bind(path);
            listener.expect("the temporary directory is ours").into()
        }
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address);
            listener.expect("the port is reserved").into()
        }
    }
}

fn launch(program: Program, socket: OwnedFd, directory: &Path) -> Process {
    let mut command = match program {
        Program::Go => command(go()),
        Program::LibFcgi { workers } => {
            let mut command = command(libfcgi());
            command.arg(workers.to_string());
            command
        }
        Program::Perl => {
            let mut command = command("perl");
            command.arg(source("perl/app.pl"));
            command
        }
        Program::Flup | Program::FlupMultiplexed => {
            let mut command = command(python());
            let mode = flup_mode(program == Program::FlupMultiplexed);
            command.arg(source("flup/app.py")).arg(mode);
            command
        }
        Program::Plack => {
            let mut command = command("perl");
            command.arg(source("suites/plack.pl")).arg("serve");
            command
        }
        Program::Rack => {
            let mut command = command("ruby");
            command.arg(source("suites/rack.rb"));
            command
        }
        Program::Wsgi { name, multiplexed } => {
            let mut command = command(suites().join("bin/python"));
            command.arg(source("suites/wsgi.py"));
            command.args([name, flup_mode(multiplexed)]);
            command
        }
        Program::Fcgiwrap { workers } => {
            let mut command = command("fcgiwrap");
            command.args(["-f", "-c"]).arg(workers.to_string());
            command
        }
    };
    command.stdin(Stdio::from(socket)).current_dir(directory);
    let mut process = Process::start(command, &directory.join("log"));
    // fcgiwrap does not report when it is ready; a connection waits in the backlog until then.
    if !matches!(program, Program::Fcgiwrap { .. })
        && let Err(why) = process.wait_for_log("ready\n")
    {
        panic!("{program:?} does not start: {why}; run tests/run");
    }
    process
}

fn flup_mode(multiplexed: bool) -> &'static str {
    if multiplexed { "multiplexed" } else { "plain" }
}

/// Where `tests/run` installs Python with what the suites need, and the sources that have tests.
pub(crate) fn suites() -> PathBuf {
    build_directory().join("suites")
}

/// Python with the packages that `tests/run` installs.
pub(super) fn python() -> PathBuf {
    build_directory().join("venv/bin/python")
}

/// Where `tests/run` and this harness keep what they build for the applications: `apps` in Cargo's target directory.
fn build_directory() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary
        .parent()
        .expect("Cargo's directory for tests lies in the target directory")
        .join("apps")
}

fn go() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        build("go/main.go", "go-app", |source, program| {
            let mut command = Command::new("go");
            // Without cgo the resolver of the C library is not needed, nor a C compiler.
            command
                .env("CGO_ENABLED", "0")
                .env("GOCACHE", build_directory().join("go-cache"))
                .env("GOPATH", build_directory().join("go-path"))
                .env("GOFLAGS", "")
                .args(["build", "-o"])
                .arg(program)
                .arg(source);
            command
        })
    })
}

fn libfcgi() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        build("c/app.c", "libfcgi-app", |source, program| {
            let mut command = Command::new("gcc");
            command
                .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
                .arg(program)
                .arg(source)
                .arg("-lfcgi");
            command
        })
    })
}

/// Builds a program, unless it is already newer than its source.
fn build(source_name: &str, program: &str, compiler: impl Fn(&Path, &Path) -> Command) -> PathBuf {
    let source = source(source_name);
    let program = build_directory().join(program);
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    let source_changed = changed(&source).unwrap_or_else(|error| panic!("{source_name}: {error}"));
    match changed(&program) {
        Ok(built) if built > source_changed => return program,
        Err(error) if error.kind() != ErrorKind::NotFound => {
            panic!("{}: {error}", program.display())
        }
        Ok(_) | Err(_) => {}
    }
    fs::create_dir_all(build_directory()).expect("the target directory can be written");
    // Another test process may build the same program: each renames a whole one into place.
    let unfinished = program.with_extension(std::process::id().to_string());
    let mut command = compiler(&source, &unfinished);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}; run tests/run"));
    assert!(
        output.status.success(),
        "{command:?} fails; run tests/run\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&unfinished, &program).expect("the program was just built");
    program
}
