//! `foldlog import`: a log into an empty partition of a data directory that no host serves.
//!
//! Owns finding the places and handing over. The import itself is the driver's, the same as
//! `POST /log/import`: all or nothing, folded, and held until it is adopted.

use std::process::ExitCode;
use std::sync::Arc;

use foldlog_core::driver::{
    Config, Feed, NOBODY, OwnedBody, OwnedRequest, Partition, Reply, SqlStore, Step,
};
use foldlog_core::ids::is_partition;
use serde::Deserialize;

use super::parts;
use crate::cli::{Import, print};
use crate::harness::finding::Head;
use crate::harness::fold;
use crate::harness::progress::Progress;
use crate::harness::replay::module;
use crate::harness::source::Source;
use crate::json::Object;
use crate::lock::Lock;
use crate::metrics::Metrics;
use crate::sqlite::Connection;
use crate::stores::make_directory;
use crate::wasm::Module;
use crate::world::Machine;

/// So much is handed over at a time.
const PIECE_BYTES: usize = 1 << 20;

type Target = Partition<Module, SqlStore<Connection>, Machine>;

/// What a part came to.
#[derive(Debug, Deserialize)]
pub struct Taken {
    /// Where the import stands.
    pub position: u64,
    /// The hash of the last line.
    pub hash: String,
}

/// Imports it and prints what came of it.
pub fn run(import: &Import) -> Result<ExitCode, String> {
    let source = Source::open(&import.file, "main")?;
    let genesis = parts::check(&source)?;
    if !is_partition(&import.partition) {
        return Err(format!(
            "`{}` is no name of a partition: [a-z0-9][a-z0-9-]{{0,62}}",
            import.partition
        ));
    }
    make_directory(&import.data)?;
    let _lock = Lock::take(&import.data)?;
    let path = import.data.join(format!("{}.sqlite", import.partition));
    let store = SqlStore::new(Connection::new(path.clone(), Arc::new(Metrics::new())));
    let partition = import.partition.clone();
    let config = Config { partition, incarnation: NOBODY, ..fold::config(&genesis)? };
    let module = module(import.guest.as_deref())?;
    let mut target = Partition::new(module, store, Machine::new(), config);
    let progress = Progress::new(source.head()?);
    let (mut after, mut taken) = (None, None);
    loop {
        let part = parts::part(&source, &genesis, after)?;
        let (last, complete) = (part.last, part.complete);
        let reply = hand_over(&mut target, after, complete, &part.bytes);
        let body = reply.response.body;
        if reply.response.status != 200 {
            let told = String::from_utf8_lossy(&body);
            return Err(format!("{}: {told}", path.display()));
        }
        taken = serde_json::from_slice(&body).ok().or(taken);
        if complete {
            break;
        }
        progress.at(last);
        after = Some(last);
    }
    progress.end();
    tell(import, &path.display().to_string(), taken)
}

fn tell(import: &Import, path: &str, taken: Option<Taken>) -> Result<ExitCode, String> {
    let Taken { position, hash } = taken.ok_or("the import was not answered")?;
    let head = format!("{position}:{hash}");
    // It came out as it went in, or this is a bug.
    head.parse::<Head>()?;
    if import.json {
        let object = Object::default().token("ok", true).text("file", path);
        print(&object.token("position", position).text("head", &head).end());
    } else {
        print(&format!("imported  {path}: {position} events, head {head}"));
        let (data, to) = (import.data.display(), &import.partition);
        print(&format!("held      until `foldlog adopt {data} --partition {to}`"));
    }
    Ok(ExitCode::SUCCESS)
}

/// One part, as a host hands it over.
fn hand_over(target: &mut Target, after: Option<u64>, complete: bool, bytes: &[u8]) -> Reply {
    let after = after.map_or_else(String::new, |after| format!("after={after}&"));
    let request = OwnedRequest {
        method: "POST".into(),
        target: format!("/log/import?{after}complete={complete}"),
        headers: vec![("content-type".into(), b"application/x-ndjson".to_vec())],
        body: OwnedBody::Unread,
    };
    let lost = || Reply::problem(foldlog_core::errors::Code::Internal, "the request was lost");
    let reply = target.run(vec![request]).pop().unwrap_or_else(lost);
    let Some(token) = reply.import else { return reply };
    let mut pieces = bytes.chunks(PIECE_BYTES);
    let mut next = Feed::Nothing;
    loop {
        next = match target.import(token, next) {
            Step::Done(reply) => return reply,
            Step::Turn => Feed::Nothing,
            Step::Body => pieces.next().map_or(Feed::End, |bytes| Feed::Bytes(bytes.to_vec())),
        };
    }
}
