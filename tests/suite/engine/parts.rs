//! What tests of imports share: a log to take in, parts as requests, and what an empty partition
//! answers.

use foldlog_core::driver::{MemoryStore, OwnedBody, OwnedRequest, Partition, Spawn, Store, World};
use foldlog_tests::hosts::feed;
use serde_json::Value;

use super::kit::{self, Bank, Setup, deposit, get, open_account, request};

/// The request of a part, its body not read yet.
pub fn part(query: &str) -> OwnedRequest {
    let mut request = request("POST", &format!("/log/import{query}"), "", &[]);
    request.headers = vec![("content-type".into(), b"application/x-ndjson".to_vec())];
    request.body = OwnedBody::Unread;
    request
}

/// Sends a part in pieces of this size; returns status and body.
pub fn send<S: Spawn, T: Store, W: World>(
    bank: &mut Partition<S, T, W>,
    query: &str,
    body: &[u8],
    piece: usize,
) -> (u16, Value) {
    let reply = bank.run(vec![part(query)]).remove(0);
    let reply = match reply.import {
        Some(token) => feed(bank, token, body, piece),
        None => reply,
    };
    let (status, body) = kit::shown(&reply);
    (status, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}")))
}

/// Lines as an export gives them.
pub fn ndjson(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

/// A log of so many batches, and its lines.
pub fn made(batches: u64) -> (MemoryStore, Vec<String>) {
    let mut bank = Setup::default().open(MemoryStore::default());
    for n in 0..batches {
        let id = format!("acc-{}", n % 7);
        bank.run(vec![open_account(&id, n), deposit(&id, n + 1)]);
    }
    bank.checkpoint().expect("a checkpoint is stored");
    let store = bank.store().clone();
    let lines = kit::lines(&store);
    (store, lines)
}

pub fn code(answer: &Value) -> &str {
    let kind = answer["type"].as_str().unwrap_or_default();
    kind.strip_prefix("urn:foldlog:").unwrap_or(kind)
}

/// The partition reads as empty.
pub fn assert_empty<T: Store>(bank: &mut Bank<T>, context: &str) {
    for (target, expected) in [
        ("/log/head", "\"position\":0"),
        ("/events/stream", "[]"),
        ("/stats", "\"totalEvents\":0"),
        ("/projections/AccountBalances", "\"balances\":{}"),
    ] {
        let (status, body) = kit::run(bank, get(target));
        assert!(status == 200 && body.contains(expected), "{context}: {target}: {status} {body}");
    }
    assert_eq!(kit::run(bank, get("/queries/account/acc-1")).0, 404, "{context}");
    let export = bank.run(vec![get("/log/export")]).remove(0);
    assert!(export.response.body.is_empty(), "{context}: an empty log exports nothing");
    assert!(export.export.is_none_or(|export| export.to == 0), "{context}");
}
