//! A log of elsewhere that is served as it is: `serve --source`.
//!
//! Owns the copy that the host runs on, and the refusal of whatever would change something. Refuses
//! to touch the source: it stays as it is until `foldlog adopt` makes it this host's.
//!
//! The copy is of the moment of the start, and is gone with the process. It has no owner, so the
//! driver holds it as well (law 7); what the driver would do to a held log on request, adopting it
//! or beginning another one beside it, would be lost with the copy, and is refused here.

use std::path::Path;

use foldlog_core::driver::Reply;
use foldlog_core::errors::Code;
use foldlog_core::ids::is_partition;
use hyper::Method;
use tempfile::TempDir;

use crate::harness::source::Source;

/// A data directory with a copy of the source's log in it.
pub fn copy(source: &Path, partition: &str) -> Result<TempDir, String> {
    if !is_partition(partition) {
        return Err(format!("`{partition}` is no name of a partition: [a-z0-9][a-z0-9-]{{0,62}}"));
    }
    let source = Source::open(source, partition)?;
    let failed = |detail: String| format!("{}: {detail}", source.path.display());
    if let Some(broken) = &source.broken {
        return Err(failed(broken.detail.clone()));
    }
    if source.genesis()?.is_none() {
        return Err(failed("there is no log in it".into()));
    }
    let directory = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
    let path = directory.path().join(format!("{partition}.sqlite"));
    // A statement of its own: it can not be part of the transaction that the source is read in.
    let copied = source
        .raw
        .execute_batch("COMMIT")
        .and_then(|()| source.raw.execute("VACUUM INTO ?1", [path.to_string_lossy()]));
    copied.map_err(|e| failed(format!("it can not be copied to {}: {e}", path.display())))?;
    Ok(directory)
}

/// The answer to whatever is no read.
pub fn refusal(method: &Method) -> Option<Reply> {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS];
    let detail = "this host shows a log of elsewhere, and changes nothing; `foldlog adopt` on its \
        source makes it a host's own";
    (!reads.contains(method)).then(|| Reply::problem(Code::Held, detail))
}
