//! The listening sockets that systemd hands over (sd_listen_fds(3)).

use std::io;

use socket2::{Socket, Type};

/// The sockets that were handed over and not taken yet.
#[derive(Debug)]
pub(crate) struct HandedOver {
    /// Names are the `FileDescriptorName=` of the socket unit.
    sockets: Vec<(Option<String>, Socket)>,
}

impl HandedOver {
    /// Takes the sockets, of which there are none unless systemd has started this process.
    pub(crate) fn take() -> Self {
        // Malformed variables in the environment are not systemd's.
        let all = sd_listen_fds::get().unwrap_or_default();
        let sockets = all
            .into_iter()
            .map(|(name, descriptor)| (name, Socket::from(descriptor.into_std())));
        Self {
            sockets: sockets.collect(),
        }
    }

    /// The number of sockets that were not taken.
    pub(crate) fn left(&self) -> usize {
        self.sockets.len()
    }

    /// The sockets with a name, or all.
    ///
    /// # Errors
    /// There is none; or one of them does not listen.
    pub(crate) fn named(&mut self, name: Option<&str>) -> io::Result<Vec<Socket>> {
        let option = match name {
            Some(name) => format!("--listen systemd:{name}"),
            None => "--listen systemd".to_owned(),
        };
        let is_wanted = |socket: &mut (Option<String>, Socket)| match name {
            Some(name) => socket.0.as_deref() == Some(name),
            None => true,
        };
        let found: Vec<Socket> = self
            .sockets
            .extract_if(.., is_wanted)
            .map(|socket| socket.1)
            .collect();
        if found.is_empty() {
            return Err(io::Error::other(format!(
                "{option}: systemd has handed over no such socket: start the socket unit, not this program, and check FileDescriptorName="
            )));
        }
        for socket in &found {
            let listens = socket.is_listener().unwrap_or(false);
            if !listens || socket.r#type().ok() != Some(Type::STREAM) {
                return Err(io::Error::other(format!(
                    "{option}: the socket does not listen for streams: the socket unit needs ListenStream= and Accept=no"
                )));
            }
        }
        Ok(found)
    }
}
