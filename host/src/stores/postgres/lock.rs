//! The writer's guard of a database (law 5): an advisory lock, held by a session of its own.
//!
//! Owns taking it, and a thread that notices when the session is lost: nothing is written from then
//! on, until the lock is had again. It does not keep two hosts from forking a log, which is what each
//! partition's own lock and the asserted head are for; it keeps the second one from serving at all.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use foldlog_core::driver::SqlError;
use postgres::Client;
use sha2::{Digest, Sha256};

use super::statements::{TRY_LOCK, who_holds};
use super::values::failed;
use super::{Place, text};
use crate::cli::print;
use crate::log;

/// A session that ended a moment ago may still be shown.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the lock is tried, and its session asked whether it is there.
const PAUSE: Duration = Duration::from_millis(250);
/// So long the session may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The number of a partition's lock; of nothing, that of the whole database. 64 bits of a hash: two
/// partitions of one database do not meet.
pub fn key(partition: &str) -> i64 {
    let digest = Sha256::digest([b"foldlog ", partition.as_bytes()].concat());
    digest.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// Whether the session has the database's lock; else who has.
fn try_lock(client: &mut Client) -> Result<Result<(), String>, SqlError> {
    let key = key("");
    let row = client.query_one(TRY_LOCK, &[&key]).map_err(failed)?;
    if row.get(0) {
        return Ok(Ok(()));
    }
    let holders = client.query(who_holds().as_str(), &[&key]).map_err(failed)?;
    let holder = holders.first().and_then(|row| row.get::<_, Option<String>>(0));
    Ok(Err(holder.unwrap_or_else(|| "another foldlog".into())))
}

/// Takes the lock, or says who to stop; a standby waits until it is free.
pub fn take(client: &mut Client, shown: &str, standby: bool) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    let mut told = false;
    loop {
        match try_lock(client).map_err(|e| format!("{shown}: {}", text(e)))? {
            Ok(()) => return Ok(()),
            Err(holder) if standby && !told => {
                print(&format!("Foldlog waits: {holder} serves {shown}"));
                told = true;
            }
            Err(holder) if !standby && Instant::now() > until => {
                return Err(format!(
                    "{holder} serves {shown}: stop it, or wait for its end with --standby"
                ));
            }
            Err(_) => {}
        }
        std::thread::sleep(PAUSE);
    }
}

/// Holds the lock until it is told to stop; takes it again when it was lost.
pub fn keep(place: &Arc<Place>, client: Client, stop: &Receiver<()>) {
    let mut session = Some(client);
    let mut told = String::new();
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(PAUSE) {
        if let Some(client) = &mut session {
            if client.is_valid(ANSWER_MAX).is_ok() {
                continue;
            }
            place.set_held(Err("the connection that holds the lock is lost".into()));
            log::warn("the lock is lost").with("store", &place.shown).write();
            session = None;
        }
        match again(place) {
            Ok(client) => {
                session = Some(client);
                told.clear();
                log::info("the lock is taken again").with("store", &place.shown).write();
            }
            Err(detail) => {
                if detail != told {
                    log::error("the lock can not be taken").with("detail", &detail).write();
                }
                place.set_held(Err(detail.clone()));
                told = detail;
            }
        }
    }
    place.set_held(Err("the host is stopping".into()));
}

fn again(place: &Place) -> Result<Client, String> {
    let mut client = place.connect("").map_err(text)?;
    try_lock(&mut client).map_err(text)?.map_err(|holder| format!("{holder} serves it"))?;
    // Another host may have been here.
    place.look(&mut client)?;
    place.set_held(Ok(()));
    Ok(client)
}
