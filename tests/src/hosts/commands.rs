//! How the two hosts are started: programs, arguments, environment.
//!
//! Owns command lines. Refuses to run them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Setup;
use crate::scratch::{built, root, target};

/// The native binary.
pub fn native_binary() -> PathBuf {
    built(target().join("host/foldlog"), "host")
}

/// Runs it, keeping compiled modules inside the checkout: tests write nowhere else.
pub fn native_command() -> Command {
    let mut command = Command::new(native_binary());
    command.env("XDG_CACHE_HOME", target().join("cache"));
    command
}

pub(super) fn native(setup: &Setup, dir: &Path, address: SocketAddr) -> Command {
    let mut command = native_command();
    command.arg("serve").args(&setup.place);
    if setup.place.is_empty() {
        command.arg("--data").arg(dir.join("data"));
    }
    command.arg("--listen").arg(address.to_string());
    if let Some(seed) = &setup.stamps {
        command.arg("--test-stamps").arg(seed);
    }
    if let Some(guest) = &setup.guest {
        command.arg("--guest").arg(guest);
    }
    for (flag, _, value) in setup.settings.iter().filter(|(flag, ..)| !flag.is_empty()) {
        command.arg(flag).arg(value);
    }
    command
}

pub(super) fn worker(setup: &Setup, dir: &Path, address: SocketAddr) -> Command {
    built(root().join("build/worker/index.js"), "worker");
    let mut config = root().join("tests/workerd.capnp");
    if let Some(guest) = &setup.guest {
        config = worker_with(guest, dir).unwrap_or_else(|error| panic!("{error}"));
    }
    let mut command = Command::new(built(root().join("build/tools/workerd"), "setup"));
    command.arg("serve").arg(config);
    command.arg(format!("--socket-addr=http={address}"));
    command.arg(format!("--directory-path=state={}", dir.join("data").display()));
    if let Some(seed) = &setup.stamps {
        command.env("TEST_STAMPS", seed);
    }
    for (_, variable, value) in setup.settings.iter().filter(|(_, name, _)| !name.is_empty()) {
        command.env(variable, value);
    }
    command
}

/// A copy of the built Worker with another guest in it, or of the Worker that was built around that
/// guest and lies beside it; returns its configuration.
fn worker_with(guest: &Path, dir: &Path) -> io::Result<PathBuf> {
    let (build, tests) = (dir.join("build/worker"), dir.join("tests"));
    fs::create_dir_all(&build)?;
    fs::create_dir_all(&tests)?;
    let own = guest.parent().filter(|parent| parent.join("entry.mjs").exists());
    for entry in fs::read_dir(own.map_or(root().join("build/worker"), Path::to_path_buf))? {
        let entry = entry?;
        fs::copy(entry.path(), build.join(entry.file_name()))?;
    }
    fs::copy(guest, build.join("guest.wasm"))?;
    let config = tests.join("workerd.capnp");
    fs::copy(root().join("tests/workerd.capnp"), &config)?;
    Ok(config)
}
