//! Where to listen: the values of `--listen`.

use std::net::SocketAddr;
#[cfg(unix)]
use std::path::PathBuf;

use super::values::listen_address;

/// Where to listen, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) place: Place,
    /// Each connection begins with a header of the PROXY protocol.
    pub(crate) expects_proxy_header: bool,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    /// `mode`: the permissions of the socket's file. `None`: as the umask of the process has it.
    #[cfg(unix)]
    Unix {
        path: PathBuf,
        mode: Option<u32>,
    },
    /// The sockets that systemd has handed over; with a name, those of that name.
    #[cfg(target_os = "linux")]
    Systemd {
        name: Option<String>,
    },
}

/// Parses `PLACE[,mode=0660][,proxy-protocol]`.
///
/// # Errors
/// What is wrong.
pub(crate) fn listen(text: &str) -> Result<Listen, String> {
    let mut settings = text.split(',');
    let mut place = place(settings.next().unwrap_or_default())?;
    let mut expects_proxy_header = false;
    for setting in settings {
        match (setting, &mut place) {
            ("proxy-protocol", _) => expects_proxy_header = true,
            #[cfg(unix)]
            (_, Place::Unix { mode, .. }) if setting.starts_with("mode=") => {
                let digits = &setting["mode=".len()..];
                let bits = u32::from_str_radix(digits, 8).ok();
                *mode = bits.filter(|bits| *bits <= 0o777);
                if mode.is_none() {
                    return Err("expects a mode such as mode=0660".to_owned());
                }
            }
            _ => {
                return Err(format!(
                    "'{setting}' is neither proxy-protocol nor, with unix:/PATH, mode=0660"
                ));
            }
        }
    }
    Ok(Listen {
        place,
        expects_proxy_header,
    })
}

#[cfg(unix)]
fn place(text: &str) -> Result<Place, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        // The address of a socket has room for 108 bytes, with the NUL at its end.
        return match path.starts_with('/') && path.len() < 108 && !path.contains('\0') {
            true => Ok(Place::Unix {
                path: path.into(),
                mode: None,
            }),
            false => Err("expects unix:/PATH of at most 107 bytes".to_owned()),
        };
    }
    #[cfg(target_os = "linux")]
    match text.strip_prefix("systemd") {
        Some("") => return Ok(Place::Systemd { name: None }),
        Some(name) if name.len() > 1 && name.starts_with(':') => {
            let name = Some(name[1..].to_owned());
            return Ok(Place::Systemd { name });
        }
        _ => {}
    }
    listen_address(text).map(Place::Tcp)
}

#[cfg(not(unix))]
fn place(text: &str) -> Result<Place, String> {
    listen_address(text).map(Place::Tcp)
}
