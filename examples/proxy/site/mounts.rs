//! All parts of the site, and the applications that serve them.

use mio_fcgi::Address;

use super::mount::{Mount, Scripts, Serves};
use super::options::Options;
use super::prefix::Prefix;

/// The mounts of a command line, that of the options for one site first. They are consistent once they are
/// [checked](check).
pub(crate) fn mounts(options: &Options) -> Vec<Mount> {
    let is_alone = options.mounts.is_empty();
    let main = (is_alone || !options.upstreams.is_empty()).then(|| Mount {
        named: "--".to_owned(),
        prefix: Prefix::root(),
        upstreams: options.upstreams.clone(),
        serves: match &options.root {
            None => Serves::Application { files: None },
            Some(root) => Serves::Scripts(Scripts {
                root: root.clone(),
                script_root: options.script_root.clone(),
                is_remote: options.remote,
                is_real: options.realpath,
                fallback: options.fallback.clone(),
                ..Scripts::default()
            }),
        },
    });
    main.into_iter()
        .chain(options.mounts.iter().cloned())
        .collect()
}

/// The lists of upstreams, each once: the applications. Mounts with the same upstreams share them, their connections and
/// their queue.
pub(crate) fn applications(mounts: &[Mount]) -> Vec<&[Address]> {
    let mut lists: Vec<&[Address]> = Vec::new();
    for mount in mounts {
        if !lists.contains(&&mount.upstreams[..]) {
            lists.push(&mount.upstreams);
        }
    }
    lists
}

/// Checks the mounts of a command line.
///
/// # Errors
/// What is wrong, and what to do.
pub(crate) fn check(options: &Options) -> Result<(), String> {
    check_presence(options)?;
    let mounts = mounts(options);
    let own = mounts.len() - options.mounts.len();
    for (index, mount) in mounts.iter().enumerate() {
        let prefix = &mount.prefix;
        let mut earlier = mounts[..index].iter();
        match earlier.position(|it| it.prefix.path() == prefix.path()) {
            None => {}
            Some(first) if first < own => {
                return Err(format!(
                    "--upstream and --mount {prefix} are for the same paths"
                ));
            }
            Some(first) => {
                let first = &mounts[first].prefix;
                return Err(format!(
                    "--mount {first} and --mount {prefix} are for the same paths"
                ));
            }
        }
        mount.check()?;
    }
    Ok(())
}

/// Checks the options for one site, which go together.
fn check_presence(options: &Options) -> Result<(), String> {
    if !options.upstreams.is_empty() {
        return match &options.root {
            None => Err(
                "--upstream needs --root DIR, the directory of the scripts; for an application without scripts: --mount /=ADDR"
                    .to_owned(),
            ),
            Some(_) => Ok(()),
        };
    }
    let needs_upstream = [
        ("--root", options.root.is_some()),
        ("--script-root", options.script_root.is_some()),
        ("--realpath", options.realpath),
        ("--remote", options.remote),
        ("--fallback", options.fallback.is_some()),
    ];
    let needs_scripts = [
        (
            "--allow-symlinks-into",
            !options.allow_symlinks_into.is_empty(),
        ),
        ("--extension", options.extension.is_some()),
        ("--no-exec", !options.no_exec.is_empty()),
    ];
    let needs_scripts =
        &needs_scripts[..needs_scripts.len() * usize::from(options.mounts.is_empty())];
    let mut given = needs_upstream.iter().chain(needs_scripts);
    match given.find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((option, _)) => Err(format!(
            "{option} needs --upstream; without it and --mount, the demo application answers every path"
        )),
    }
}
