//! The command line: what is asked of whom.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{self, Path};
use std::time::Duration;

use lexopt::prelude::*;
use mio_fcgi::cgi::{Env, EnvError};
use mio_fcgi::{Address, Body, Params};

use crate::script;

/// The command line, checked.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// `None`: the demo application of this program.
    pub(crate) connect: Option<Address>,
    script: Option<OsString>,
    uri: Option<String>,
    method: Option<String>,
    data: Option<Data>,
    params: Vec<(Vec<u8>, Vec<u8>)>,
    /// Show the head.
    pub(crate) include: bool,
    /// The body of an error status is not shown.
    pub(crate) fail: bool,
    /// Ask for the server's values instead of running a script.
    pub(crate) values: bool,
    pub(crate) timeout: Option<Duration>,
    /// How long a server that refuses is tried again.
    pub(crate) connect_retry: Duration,
}

impl Arguments {
    /// Reads the command line; `None` when it asks for help.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub(crate) fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut arguments = Self {
            connect: None,
            script: None,
            uri: None,
            method: None,
            data: None,
            params: Vec::new(),
            include: false,
            fail: false,
            values: false,
            timeout: None,
            connect_retry: Duration::ZERO,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("connect") => {
                    let address = parser.value()?.parse_with(str::parse::<Address>)?;
                    arguments.connect = Some(address);
                }
                Long("script") => arguments.script = Some(parser.value()?),
                Long("uri") => arguments.uri = Some(parser.value()?.parse_with(uri)?),
                Long("method") => arguments.method = Some(parser.value()?.string()?),
                Long("data") => arguments.data = Some(Data::from_argument(parser.value()?)?),
                Long("param") => arguments.params.push(parser.value()?.parse_with(pair)?),
                Long("timeout") => {
                    arguments.timeout = Some(parser.value()?.parse_with(seconds)?);
                }
                Long("connect-retry") => {
                    arguments.connect_retry = parser.value()?.parse_with(seconds)?;
                }
                Short('i') | Long("include") => arguments.include = true,
                Short('f') | Long("fail") => arguments.fail = true,
                Long("values") => arguments.values = true,
                Short('h') | Long("help") => return Ok(None),
                Value(ref value) => {
                    let value = value.to_string_lossy();
                    let hint = "what to ask for goes behind --script or --uri";
                    return Err(format!("'{value}' stands alone: {hint}").into());
                }
                _ => return Err(argument.unexpected()),
            }
        }
        let is_nothing = arguments.script.is_none() && arguments.uri.is_none();
        if arguments.connect.is_some() && is_nothing && !arguments.values {
            return Err(
                "--connect needs --script, the path of a file as the application sees it or /status for \
                 php-fpm's status page, or --uri for an application without scripts"
                    .into(),
            );
        }
        Ok(Some(arguments))
    }

    /// The method: as given, else POST with data and GET without.
    pub(crate) fn method(&self) -> &str {
        match &self.method {
            Some(method) => method,
            None if self.data.is_some() => "POST",
            None => "GET",
        }
    }

    /// The script as it is sent: a relative path counts from the current directory.
    pub(crate) fn script_filename(&self) -> Vec<u8> {
        let Some(script) = &self.script else {
            return Vec::new();
        };
        match path::absolute(script) {
            Ok(path) => path.into_os_string().into_encoded_bytes(),
            Err(_) => script.as_encoded_bytes().to_vec(),
        }
    }

    /// Writes the parameters; those of `--param` win over what is derived.
    ///
    /// # Errors
    /// What could not be sent safely, such as a blank in the URI.
    pub(crate) fn write_params(&self, params: &mut Params) -> Result<(), EnvError> {
        for (name, value) in &self.params {
            params.push(name, value);
        }
        let filename = self.script_filename();
        let is_whole_path = self
            .script
            .as_ref()
            .is_some_and(|it| Path::new(it).is_absolute());
        let default = script::default_uri(&filename, is_whole_path);
        let uri = self.uri.as_deref().unwrap_or(&default).as_bytes();
        let script = script::locate(&filename, uri);

        let fields = [
            (&b"Host"[..], &b"localhost"[..]),
            // What a form sends, and what curl says of its data.
            (b"Content-Type", b"application/x-www-form-urlencoded"),
        ];
        let fields = &fields[..if self.data.is_some() { 2 } else { 1 }];
        Env::new(
            self.method().as_bytes(),
            uri,
            fields.iter().copied(),
            &script,
        )
        .with_remote(([127, 0, 0, 1], 0).into())
        .write_to(params)
    }

    /// Opens what is to be sent.
    ///
    /// # Errors
    /// The system's, when a file cannot be opened.
    pub(crate) fn open_body(&self) -> io::Result<Body> {
        match &self.data {
            None => Ok(Body::empty()),
            Some(Data::Text(octets)) => Ok(Body::bytes(octets.as_slice())),
            Some(Data::Stdin) => Ok(Body::reader(io::stdin(), None)),
            Some(Data::File(path)) => {
                open(path).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
            }
        }
    }
}

/// Where the request's body comes from.
#[derive(Debug)]
enum Data {
    Text(Vec<u8>),
    Stdin,
    File(String),
}

impl Data {
    fn from_argument(argument: OsString) -> Result<Self, &'static str> {
        if argument == "-" {
            return Ok(Self::Stdin);
        }
        match argument.to_str().map(|text| text.strip_prefix('@')) {
            Some(Some("")) => Err("--data @ names no file"),
            Some(Some(path)) => Ok(Self::File(path.to_owned())),
            None if argument.as_encoded_bytes().starts_with(b"@") => {
                Err("the name of a file behind @ has to be UTF-8")
            }
            Some(None) | None => Ok(Self::Text(argument.into_encoded_bytes())),
        }
    }
}

fn open(path: &str) -> io::Result<Body> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(if metadata.is_file() {
        Body::seekable(file, Some(metadata.len()))
    } else {
        // A pipe or a device: its length is known at its end.
        Body::reader(file, None)
    })
}

fn uri(text: &str) -> Result<String, &'static str> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err("a URI begins with a slash, such as /x.php?a=b")
    }
}

fn pair(text: &str) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("a parameter is written NAME=VALUE"),
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    text.parse()
        .ok()
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or("a time is a number of seconds above zero, such as 2 or 0.5")
}

pub(crate) const HELP: &str = "\
get: sends one request to a FastCGI application, as curl does to an HTTP server

  get --connect unix:/run/php/php8.2-fpm.sock --script /var/www/hello.php
  get --connect 127.0.0.1:9000 --script /var/www/form.php --data 'name=world' -i
  get --connect 127.0.0.1:9000 --script /fpm/ping
  get --connect 127.0.0.1:9000 --uri '/app?a=b'
  get --connect 127.0.0.1:9000 --values
  get --uri /stream        asks a demo application that is part of this program

The body goes to stdout as it comes, the application's own stderr to stderr. Its stderr has
control characters escaped, such as \\x1b, and so has the body on a terminal; one that is not
text (it holds a NUL) is not written to a terminal. A file or a pipe gets the body as it is.

Of a name with several addresses, the first that can be connected to is asked: after a
refusal the next one is tried at once, after 250 ms without a connection the next as well.

  --connect ADDR   unix:/path, unix:@abstract-name, host:port or [v6]:port;
                   without it, the demo application is asked
  --script PATH    the file to run, as the application sees it (SCRIPT_FILENAME);
                   a relative path counts from the current directory. Not for
                   applications without scripts, such as Go's: --uri is enough there
  --uri URI        what a browser would have asked for, query included; by default the
                   file's own name, or the whole of an absolute path without an extension,
                   such as /fpm/ping, which is a page of php-fpm's. Without --script, the
                   path is PATH_INFO, and SCRIPT_NAME is empty
  --method M       GET by default, POST with --data
  --data DATA      the request's body: the text itself, @FILE for a file's content,
                   - for stdin, which is read to its end first (64 MiB at most)
  --param K=V      one more parameter, or another value for one; as often as needed
  -i, --include    show the response's head before its body
  -f, --fail       do not show the body of an error status (400 and above)
  --timeout S      give up after so many seconds, whatever they were needed for; by default
                   the connect may take 3 s, the first byte 60 s, and so may each silence
                   after it
  --connect-retry S
                   keep trying to connect for so many seconds while the application
                   refuses or its socket does not exist: it may be starting
  --values         run no script, ask the application for its FCGI_* values (a health check);
                   by default this may take 10 s in all
  -h, --help       this text

exit status
   0  the response is complete, and has no error status
   1  something went wrong on this machine
   2  the command line is wrong
   6  the host's name cannot be resolved
   7  no connection: nobody listens, no such socket, no permission
   8  what answered does not speak FastCGI, or sent no valid head
   9  the application refused the request (overloaded, unknown role)
  18  the response was cut short
  22  the response is complete, with an error status (400 and above)
  23  stdout cannot be written, or is a terminal and the response no text; nothing is said
      when its reader has gone
  26  --data cannot be read
  28  the time is up
  52  the connection was closed, or the request ended, without any response";
