//! php-fpm 8.2 with a configuration of its own, serving the scripts of `tests/applications/php`.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::app::{source, temporary_directory};
use super::process::{Process, command, wait_until};
use super::{Listen, Port, Transport};

/// A running php-fpm. Status page `/status`, ping page `/ping`; no ini file and no extension that is not built in, unless
/// asked for.
#[derive(Debug)]
pub(crate) struct PhpFpm {
    // Dropped before the directory: the log must exist until the process is dropped.
    process: Process,
    listen: Listen,
    system_ini: bool,
    directory: TempDir,
    _port: Option<Port>,
}

/// The configuration of a [`PhpFpm`].
#[derive(Debug)]
pub(crate) struct Builder {
    transport: Transport,
    global: Vec<(String, String)>,
    pool: Vec<(String, String)>,
    system_ini: bool,
}

impl PhpFpm {
    /// One child on a Unix socket, if nothing else is asked for.
    pub(crate) fn builder() -> Builder {
        Builder {
            transport: Transport::Unix,
            global: Vec::new(),
            pool: Vec::new(),
            system_ini: false,
        }
        .max_children(1)
    }

    pub(crate) fn listen(&self) -> &Listen {
        &self.listen
    }

    /// The process id of the master.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The process ids of the children.
    pub(crate) fn workers(&self) -> Vec<u32> {
        self.process.children()
    }

    /// What master and children have logged since the last start or reload.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until master or children have logged `text`: the master logs what it did after doing it.
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        if let Err(why) = self.process.wait_for_log(text) {
            panic!("{why}");
        }
    }

    /// The path of a script, for `SCRIPT_FILENAME`.
    pub(crate) fn script(name: &str) -> String {
        source("php")
            .join(name)
            .to_str()
            .expect("the checkout's path is UTF-8")
            .to_owned()
    }

    /// Kills one child and returns its pid once the master has noticed. The master starts another in its place.
    pub(crate) fn kill_worker(&self) -> u32 {
        let worker = *self.workers().first().expect("a pool that has a child");
        let pid = i32::try_from(worker).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("/proc lists valid pids"), Signal::KILL)
            .expect("a child can be killed");
        assert!(
            wait_until(|| !self.workers().contains(&worker)),
            "the child {worker} outlives SIGKILL"
        );
        worker
    }

    /// Reloads the configuration (SIGUSR2): children end once idle or after `process_control_timeout`.
    ///
    /// Does not wait. php-fpm can lose a signal while it reloads: before [`stop`](Self::stop), wait until it has
    /// logged [`READY`] again.
    pub(crate) fn reload(&mut self) {
        self.process.forget_log();
        self.process.signal(Signal::USR2);
    }

    /// Ends php-fpm at once (SIGTERM), requests in progress included.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.end(Signal::TERM)
    }

    /// Tells php-fpm to end when its children have ended the requests that they serve (SIGQUIT): they have
    /// [`process_control_timeout`](Builder::process_control_timeout) for it.
    pub(crate) fn begin_quit(&mut self) {
        self.process.signal(Signal::QUIT);
        self.wait_for_log("Finishing ...");
    }

    /// Waits for its end.
    pub(crate) fn end_quit(&mut self) -> ExitStatus {
        self.process.wait_for_end()
    }

    /// Stops php-fpm if it runs and starts it again on the same address.
    pub(crate) fn restart(&mut self) {
        if !self.process.has_ended() {
            self.stop();
        }
        self.process = launch(&self.directory, self.system_ini)
            .unwrap_or_else(|why| panic!("php-fpm does not start again: {why}"));
    }
}

impl Builder {
    pub(crate) fn unix(mut self) -> Self {
        self.transport = Transport::Unix;
        self
    }

    pub(crate) fn tcp(mut self) -> Self {
        self.transport = Transport::Tcp;
        self
    }

    /// A fixed number of children (`pm = static`).
    pub(crate) fn max_children(self, count: u32) -> Self {
        self.pool("pm", "static").pool("pm.max_children", count)
    }

    /// One child at first, and at most this many (`pm = dynamic`).
    pub(crate) fn dynamic(self, max_children: u32) -> Self {
        self.pool("pm", "dynamic")
            .pool("pm.max_children", max_children)
            .pool("pm.start_servers", 1)
            .pool("pm.min_spare_servers", 1)
            .pool("pm.max_spare_servers", max_children)
    }

    /// A child ends after this many requests.
    pub(crate) fn max_requests(self, count: u32) -> Self {
        self.pool("pm.max_requests", count)
    }

    /// A request that takes longer than this many seconds costs its child. php-fpm looks about once a second.
    pub(crate) fn request_terminate_timeout(self, seconds: u32) -> Self {
        self.pool("request_terminate_timeout", format!("{seconds}s"))
    }

    /// The length of the listening socket's queue.
    pub(crate) fn backlog(self, length: u32) -> Self {
        self.pool("listen.backlog", length)
    }

    /// How long a reload waits for the children, in seconds.
    pub(crate) fn process_control_timeout(mut self, seconds: u32) -> Self {
        self.global
            .push(("process_control_timeout".into(), format!("{seconds}s")));
        self
    }

    /// A variable of the children's environment.
    pub(crate) fn env(self, name: &str, value: impl ToString) -> Self {
        self.pool(&format!("env[{name}]"), value)
    }

    /// A PHP setting.
    pub(crate) fn ini(self, name: &str, value: impl ToString) -> Self {
        self.pool(&format!("php_admin_value[{name}]"), value)
    }

    /// Reads the system's ini files, which load the installed extensions.
    pub(crate) fn system_ini(mut self) -> Self {
        self.system_ini = true;
        self
    }

    /// Any directive of the pool. The last value of a name wins.
    pub(crate) fn pool(mut self, name: &str, value: impl ToString) -> Self {
        self.pool.retain(|(known, _)| known != name);
        self.pool.push((name.into(), value.to_string()));
        self
    }

    /// Starts php-fpm and waits until it accepts connections.
    pub(crate) fn start(&self) -> PhpFpm {
        let directory = temporary_directory();
        let (listen, port) = match self.transport {
            Transport::Unix => (Listen::Unix(directory.path().join("fpm.sock")), None),
            Transport::Tcp => {
                let port = Port::reserve();
                (Listen::Tcp(port.address()), Some(port))
            }
        };
        fs::write(configuration(&directory), self.text(&listen))
            .expect("the temporary directory is ours");
        let process = launch(&directory, self.system_ini)
            .unwrap_or_else(|why| panic!("php-fpm does not start: {why}; run tests/run"));
        PhpFpm {
            process,
            listen,
            system_ini: self.system_ini,
            directory,
            _port: port,
        }
    }

    fn text(&self, listen: &Listen) -> String {
        let mut text = String::from(
            "[global]\ndaemonize = no\nerror_log = /proc/self/fd/2\nlog_limit = 8192\n",
        );
        let address = match listen {
            Listen::Unix(path) => path.display().to_string(),
            Listen::Tcp(address) => address.to_string(),
        };
        let line = |text: &mut String, name: &str, value: &str| {
            writeln!(text, "{name} = {value}").expect("a String takes every text");
        };
        for (name, value) in &self.global {
            line(&mut text, name, value);
        }
        text.push_str("[www]\n");
        line(&mut text, "listen", &address);
        if rustix::process::geteuid().is_root() {
            // Another user could not enter the temporary directory.
            line(&mut text, "user", "root");
            line(&mut text, "group", "root");
        }
        text.push_str(POOL);
        for (name, value) in &self.pool {
            line(&mut text, name, value);
        }
        text
    }
}

fn launch(directory: &TempDir, system_ini: bool) -> Result<Process, String> {
    let mut command = command("php-fpm8.2");
    // -F: in the foreground; -R: root may run the children too; -n: no ini file of the system.
    command.args(["-F", "-R"]);
    if !system_ini {
        command.arg("-n");
    }
    command.arg("-y").arg(configuration(directory));
    // Debian keeps it in sbin, which a user's search path may lack.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/usr/bin:/bin"));
    let mut process = Process::start(command, &directory.path().join("log"));
    process.wait_for_log(READY)?;
    Ok(process)
}

/// What the master logs when it has started or reloaded.
pub(crate) const READY: &str = "ready to handle connections";

fn configuration(directory: &TempDir) -> PathBuf {
    directory.path().join("fpm.conf")
}

/// PHP's own messages go to `FCGI_STDERR` (`error_log` is not set), never into the response.
const POOL: &str = "\
catch_workers_output = yes
decorate_workers_output = no
clear_env = no
pm.status_path = /status
ping.path = /ping
php_admin_value[display_errors] = 0
php_admin_value[log_errors] = 1
php_admin_value[html_errors] = 0
php_admin_value[post_max_size] = 0
";
