//! Compiled modules on disk: starting takes milliseconds instead of seconds.
//!
//! Owns the cache directory, its permissions, and the one unsafe call of this host. Refuses to
//! trust: a compiled module is native code, so directory and file must belong to this user and be
//! closed to all others, and the file must be what was written. Anything else is ignored, and the
//! module compiled.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use foldlog_core::chain::{hex, sha256};
use sha2::{Digest, Sha256};
use wasmtime::{Engine, Module};

use crate::log;

/// The module, from the cache when that has it.
pub fn compile(engine: &Engine, bytes: &[u8], digest: &[u8; 32]) -> Result<Module, String> {
    let path = directory().map(|directory| directory.join(file_name(engine, digest)));
    if let Some(module) = path.as_deref().and_then(|path| load(engine, path)) {
        return Ok(module);
    }
    let module = Module::new(engine, bytes)
        .map_err(|e| format!("the guest is not a module that can be run: {e:?}"))?;
    if let Some(path) = path
        && let Err(error) = store(&module, &path)
    {
        // Costs the next start a second or two, nothing else.
        log::warn("compiled guest not cached")
            .with("path", path.display())
            .with("detail", error)
            .write();
    }
    Ok(module)
}

/// Names module, wasmtime version, configuration and processor at once.
fn file_name(engine: &Engine, digest: &[u8; 32]) -> String {
    struct Feed(Sha256);
    impl Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut feed = Feed(Sha256::new());
    feed.write(digest);
    engine.precompile_compatibility_hash().hash(&mut feed);
    let name: [u8; 32] = feed.0.finalize().into();
    format!("{}.cwasm", hex(&name))
}

/// The cache directory of this user, private; `None` when there is none to be had.
#[cfg(unix)]
fn directory() -> Option<PathBuf> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    let directory = base.join("foldlog").join("modules");
    let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    let metadata = std::fs::symlink_metadata(&directory).ok()?;
    if !metadata.is_dir() || !private(&metadata) {
        let mode = format!("{:o}", metadata.mode() & 0o7777);
        log::warn("cache directory ignored: it must be a directory of this user with mode 700")
            .with("path", directory.display())
            .with("mode", mode)
            .write();
        return None;
    }
    Some(directory)
}

#[cfg(not(unix))]
fn directory() -> Option<PathBuf> {
    // Ownership can not be told here, and nothing unverified is run.
    None
}

#[cfg(unix)]
fn private(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 == 0
}

#[cfg(not(unix))]
fn private(_metadata: &std::fs::Metadata) -> bool {
    false
}

fn load(engine: &Engine, path: &Path) -> Option<Module> {
    use std::io::Read;
    let mut file = std::fs::File::open(path).ok()?;
    // Of the opened file, so that what is checked is what is read.
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || !private(&metadata) {
        log::warn("compiled guest ignored: not this user's alone")
            .with("path", path.display())
            .write();
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.read_to_end(&mut bytes).ok()?;
    let (sum, compiled) = bytes.split_first_chunk::<32>()?;
    // After a power cut a file may be shorter than it was, or zeros.
    if sha256(&[compiled]) != *sum {
        return None;
    }
    deserialize(engine, compiled)
}

#[expect(unsafe_code, reason = "wasmtime takes native code on trust; see the safety comment")]
fn deserialize(engine: &Engine, compiled: &[u8]) -> Option<Module> {
    // SAFETY: the bytes were made by `Module::serialize` and are unchanged since (their SHA-256
    // was just compared), by this user, in a file and directory that no other user can write; the
    // file's name covers module, wasmtime version, configuration and processor, and wasmtime
    // checks the last three again.
    unsafe { Module::deserialize(engine, compiled) }.ok()
}

/// Written beside and renamed: another process sees all of it or nothing.
fn store(module: &Module, path: &Path) -> Result<(), String> {
    use std::io::Write;
    let compiled = module.serialize().map_err(|e| e.to_string())?;
    let directory = path.parent().ok_or("no directory")?;
    // `tempfile` creates with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(|e| e.to_string())?;
    let written = file.write_all(&sha256(&[&compiled])).and_then(|()| file.write_all(&compiled));
    written.map_err(|e| e.to_string())?;
    file.persist(path).map(drop).map_err(|e| e.to_string())
}
