//! The sockets to listen at, opened once for all loops, and the files of Unix sockets.
//!
//! A TCP port is shared: each loop has a socket of its own, and the system divides the clients among them. A Unix socket
//! and one that was handed over cannot be shared like that: each loop accepts from a duplicate.

use std::io;
use std::net::SocketAddr;

use super::net::listener::{Binding, Listener};
use super::site::listen::{Listen, Place};
use super::site::options::Options;
#[cfg(unix)]
use super::unix_socket;

/// The sockets of all loops.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// For each loop, one for each address.
    of_loops: Vec<Vec<Listener>>,
    #[cfg(unix)]
    files: Vec<unix_socket::File>,
}

impl Listeners {
    /// Opens all sockets.
    ///
    /// # Errors
    /// The system's error, with the address; what to do if an address is in use or was not handed over.
    pub(crate) fn open(options: &Options) -> io::Result<Self> {
        let mut all = Self {
            of_loops: (0..options.threads).map(|_| Vec::new()).collect(),
            #[cfg(unix)]
            files: Vec::new(),
        };
        #[cfg(target_os = "linux")]
        let mut handed_over = super::handed_over::HandedOver::take();
        for listen in &options.listen {
            match &listen.place {
                Place::Tcp(address) => {
                    all.add_tcp(*address, options, listen).map_err(|error| {
                        named(error, format_args!("cannot listen at {address}"))
                    })?;
                }
                #[cfg(unix)]
                Place::Unix { path, mode } => {
                    let opened = unix_socket::listen(path, *mode);
                    let (socket, file) = opened.map_err(|error| {
                        named(
                            error,
                            format_args!("cannot listen at unix:{}", path.display()),
                        )
                    })?;
                    all.files.push(file);
                    all.add(&socket, listen)?;
                }
                #[cfg(target_os = "linux")]
                Place::Systemd { name } => {
                    for socket in handed_over.named(name.as_deref())? {
                        all.add(&socket, listen)?;
                    }
                }
            }
        }
        #[cfg(target_os = "linux")]
        if handed_over.left() > 0 {
            eprintln!(
                "proxy: sockets of systemd that no --listen takes: {}; add --listen systemd",
                handed_over.left()
            );
        }
        Ok(all)
    }

    /// The sockets of each loop. The first loop's are in the order of the options.
    pub(crate) fn take(&mut self) -> Vec<Vec<Listener>> {
        std::mem::take(&mut self.of_loops)
    }

    fn add_tcp(
        &mut self,
        mut address: SocketAddr,
        options: &Options,
        listen: &Listen,
    ) -> io::Result<()> {
        let binding = Binding {
            is_shared: self.of_loops.len() > 1,
            only_ipv6: address.is_ipv6() && has_all_ipv4(options, address.port()),
        };
        if binding.is_shared {
            // Threads share the port, and a shared port could be shared with another proxy too.
            Listener::check(address, binding)?;
        }
        for of_loop in &mut self.of_loops {
            let listener = Listener::bind(address, binding)?;
            // The first socket picks the port if port 0 was asked for; the others get the same port.
            address = listener.address().unwrap_or(address);
            of_loop.push(listener.expecting_proxy_header(listen.expects_proxy_header));
        }
        Ok(())
    }

    #[cfg(unix)]
    fn add(&mut self, socket: &socket2::Socket, listen: &Listen) -> io::Result<()> {
        for of_loop in &mut self.of_loops {
            let listener = Listener::new(socket.try_clone()?)?;
            of_loop.push(listener.expecting_proxy_header(listen.expects_proxy_header));
        }
        Ok(())
    }
}

/// Whether `0.0.0.0` with this port is listened at too. `[::]` would include it otherwise, and one of the two would find
/// its port in use.
fn has_all_ipv4(options: &Options, port: u16) -> bool {
    let all = Place::Tcp(SocketAddr::from(([0, 0, 0, 0], port)));
    options.listen.iter().any(|listen| listen.place == all)
}

/// An error that says what failed.
fn named(error: io::Error, what: std::fmt::Arguments<'_>) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
