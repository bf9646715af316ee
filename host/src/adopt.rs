//! `foldlog adopt`: makes a log that was copied, imported or restored this host's.
//!
//! Owns finding the file and what is told. The act itself is the driver's, the same as
//! `POST /effects/resume`: a commit with a new incarnation, then the owner.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use foldlog_core::driver::{Config, Partition, SqlStore, Store};
use foldlog_core::protocol::Standing;

use crate::cli::{Adopt, print};
use crate::harness::fold;
use crate::harness::replay::module;
use crate::harness::source::is_ndjson;
use crate::lock::Lock;
use crate::metrics::Metrics;
use crate::owner;
use crate::sqlite::Connection;
use crate::world::Machine;

/// Lies beside Durable Objects' files: whoever runs them acts for their logs.
const OBJECTS: &str = "metadata.sqlite";

/// Adopts it and prints the answer.
pub fn run(adopt: &Adopt) -> Result<ExitCode, String> {
    let source = &adopt.source;
    let (directory, path) = places(&source.source, &source.partition);
    let failed = |detail: String| format!("{}: {detail}", path.display());
    if !path.is_file() {
        return Err(failed("there is no such file".into()));
    }
    if is_ndjson(&path) {
        return Err(failed("it is NDJSON: import it, and adopt what comes of that".into()));
    }
    if directory.join(OBJECTS).is_file() {
        let detail = "it is a Durable Object's own: export it, or copy it, and adopt that";
        return Err(failed(detail.into()));
    }
    let _lock = Lock::take(&directory)?;
    let module = module(source.guest.as_deref())?;
    let incarnation = owner::of(&path);
    let connection = Connection::new(path.clone(), Arc::new(Metrics::new()));
    let mut store = SqlStore::new(connection);
    let tail = store.tail().map_err(|e| failed(e.to_string()))?;
    let genesis = tail.genesis.ok_or_else(|| failed("it holds no log".into()))?;
    let config = Config { incarnation, ..fold::config(&genesis)? };
    let mut partition = Partition::new(module, store, Machine::new(), config);
    partition.open().map_err(|e| failed(e.to_string()))?;
    let held = partition.standing() == Standing::Held;
    let reply = partition.adopt();
    let told = String::from_utf8_lossy(&reply.response.body).into_owned();
    if reply.response.status != 200 {
        return Err(failed(told));
    }
    partition.checkpoint().map_err(|e| failed(e.to_string()))?;
    if source.json {
        print(&told);
    } else if held {
        print(&format!("adopted   {}: {told}", path.display()));
    } else {
        print(&format!("unchanged {}: it is this host's already", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The directory to lock, and the file.
fn places(source: &Path, partition: &str) -> (PathBuf, PathBuf) {
    if source.is_dir() {
        return (source.to_path_buf(), source.join(format!("{partition}.sqlite")));
    }
    let directory = source.parent().filter(|parent| !parent.as_os_str().is_empty());
    (directory.unwrap_or(Path::new(".")).to_path_buf(), source.to_path_buf())
}
