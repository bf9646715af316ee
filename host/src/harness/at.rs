//! `foldlog at`: a projection as of a position or a time, folded from the log.
//!
//! Owns the cut: whole commits up to there, their chain checked on the way. What is shown is what
//! `GET /projections` answered then. Refuses to write anywhere, and to do what was due then: to
//! the guest the log is another host's.

use std::collections::BTreeMap;
use std::process::ExitCode;

use foldlog_core::chain::{self, Chain, StoredBlock, hex};
use foldlog_core::commit::Commit;
use foldlog_core::driver::{Config, MemoryStore, NOBODY, OwnedBody, OwnedRequest, Partition};
use foldlog_core::time::Time;

use super::fold;
use super::replay::module;
use super::source::{self, Source};
use crate::cli::{At, print};
use crate::json::Object;
use crate::world::Machine;

/// The last commit that counts.
#[derive(Clone, Copy, Debug)]
enum Until {
    Position(u64),
    Time(Time),
}

/// Folds it and prints the answer.
pub fn run(at: &At) -> Result<ExitCode, String> {
    let until = match (&at.time, at.position) {
        (Some(text), _) => Until::Time(Time::parse_iso(text).ok_or_else(|| {
            format!("--time must be a UTC time such as 2026-01-31T12:00:00.000Z, not `{text}`")
        })?),
        (None, position) => Until::Position(position.unwrap_or(u64::MAX)),
    };
    let source = Source::open(&at.source.source, &at.source.partition)?;
    let genesis = source.genesis()?;
    let genesis = genesis.ok_or_else(|| format!("{}: the log is empty", source.path.display()))?;
    let (store, position, hash) = cut(&source, &genesis, until)?;
    let config = Config { incarnation: NOBODY, ..fold::config(&genesis)? };
    let module = module(at.source.guest.as_deref())?;
    let mut partition = Partition::new(module, store, Machine::new(), config);
    let reply = partition.run(vec![request(at)]).pop().ok_or("the request was lost")?;
    let body = String::from_utf8_lossy(&reply.response.body).into_owned();
    if reply.response.status != 200 {
        return Err(body);
    }
    if at.source.json {
        let object = Object::default().token("position", position).text("hash", &hex(&hash));
        let name = if at.projection.is_some() { "projection" } else { "projections" };
        print(&object.token(name, body).end());
    } else {
        print(&format!("as of     {position} {}", hex(&hash)));
        print(&body);
    }
    Ok(ExitCode::SUCCESS)
}

/// The log up to there, and its head.
fn cut(
    source: &Source,
    genesis: &str,
    until: Until,
) -> Result<(MemoryStore, u64, chain::Hash), String> {
    let failed = |e: rusqlite::Error| format!("{}: {e}", source.path.display());
    let mut chain = Chain::default();
    chain.take(genesis).map_err(|e| e.to_string())?;
    let body = format!("[{genesis}]");
    let mut log = BTreeMap::from([(0, StoredBlock { first: 0, last: 0, body })]);
    let mut head = 0;
    let sql = "SELECT first_position, last_position, body FROM log \
               WHERE first_position > 0 ORDER BY first_position";
    let mut statement = source.raw.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let block = source::block(row)?;
        let mut kept = Vec::new();
        let mut beyond = false;
        for line in chain::lines(&block.body) {
            let commit = Commit::parse(line).map_err(|e| format!("after {head}: {e}"))?;
            beyond = match until {
                Until::Position(position) => commit.last_position() > position,
                Until::Time(time) => Time::parse_iso(&commit.time).is_none_or(|at| at > time),
            };
            if beyond {
                break;
            }
            chain.take(line).map_err(|e| e.to_string())?;
            head = commit.last_position();
            kept.push((commit.position, head, line.to_string()));
        }
        log.extend(chain::pack(kept).into_iter().map(|block| (block.first, block)));
        if beyond {
            break;
        }
    }
    Ok((MemoryStore { log, ..MemoryStore::default() }, head, chain.hash))
}

fn request(at: &At) -> OwnedRequest {
    let mut target = String::from("/projections");
    if let Some(name) = &at.projection {
        target.push('/');
        escape(&mut target, name);
        target.push_str(&format!("?limit={}", at.limit));
        if let Some(after) = &at.after {
            target.push_str("&after=");
            escape(&mut target, after);
        }
    }
    let body = OwnedBody::Whole(Vec::new());
    OwnedRequest { method: "GET".into(), target, headers: Vec::new(), body }
}

/// Whatever it is, it stays one segment or value.
fn escape(target: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            target.push(char::from(byte));
        } else {
            target.push_str(&format!("%{byte:02X}"));
        }
    }
}
