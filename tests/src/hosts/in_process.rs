//! The third host: driver, guest and a store in memory, linked into the test.
//!
//! Owns what a host does around a partition: choosing it by path, bounding bodies, leaving the
//! body out for `HEAD`, appending an export's pages, handing an import's body over. Refuses sockets
//! and files.

use std::collections::BTreeMap;

use foldlog_core::chain::sha256;
use foldlog_core::driver::senders::LOGGED;
use foldlog_core::driver::{
    CameTo, Config, Feed, MemoryStore, OwnedBody, OwnedRequest, Partition, Reply, Spawn, Step,
    Store, TestStamps, Trap, World, test_entropy,
};
use foldlog_core::guest::Guest;
use foldlog_core::http::is_import;
use foldlog_core::ids::is_partition;
use foldlog_core::limits::IMPORT_BYTES_MAX;
use foldlog_core::process::EMAIL;
use foldlog_core::protocol::{EffectCall, OpenSettings, Response};
use foldlog_core::registry::Registry;
use foldlog_core::settings::Secret;
use foldlog_core::time::Time;

use crate::client::{Answer, Request};
use crate::scratch::{built, root};

/// Turns of the system's own work after calls ended.
const TURNS_MAX: usize = 1_000;
/// What a body may have on all hosts.
pub const BODY_BYTES_MAX: usize = 256 << 10;

/// Linked guests that say they are build/guest.wasm, so that the log is the same byte for byte.
#[derive(Debug)]
struct Linked([u8; 32]);

impl Spawn for Linked {
    type Guest = Guest;

    fn spawn(&mut self) -> Result<Guest, Trap> {
        Ok(Guest::new(Registry::standard()))
    }

    fn digest(&self) -> [u8; 32] {
        self.0
    }
}

/// Stamps come from the log; what is left of the world stands still.
#[derive(Debug)]
struct Still;

impl World for Still {
    fn clock(&mut self) -> Time {
        Time(0)
    }
    fn entropy(&mut self) -> [u8; 16] {
        [7; 16]
    }
    fn micros(&mut self) -> u64 {
        0
    }
}

/// All partitions of this host.
#[derive(Debug)]
pub struct InProcess {
    seed: String,
    digest: [u8; 32],
    partitions: BTreeMap<String, Partition<Linked, MemoryStore, Still>>,
}

impl InProcess {
    /// An empty host.
    ///
    /// # Panics
    /// When build/guest.wasm is not built.
    pub fn new(seed: &str) -> Self {
        let module = std::fs::read(built(root().join("build/guest.wasm"), "guest"));
        let digest = sha256(&[&module.unwrap_or_else(|e| panic!("build/guest.wasm: {e}"))]);
        Self { seed: seed.into(), digest, partitions: BTreeMap::new() }
    }

    /// Names of the partitions that have begun.
    fn names(&mut self, after: &str, limit: usize) -> Vec<String> {
        let mut names = Vec::new();
        for (name, partition) in &mut self.partitions {
            let begun = partition.store().tail().is_ok_and(|tail| tail.genesis.is_some());
            if begun && name.as_str() > after && names.len() < limit {
                names.push(name.clone());
            }
        }
        names
    }

    /// Answers one request.
    pub fn send(&mut self, request: &Request) -> Answer {
        let name = partition_of(&request.target);
        let partition = self.partitions.entry(name.clone()).or_insert_with(|| {
            let config = config(&name, &self.seed);
            Partition::new(Linked(self.digest), MemoryStore::default(), Still, config)
        });
        let headers = request.headers.iter();
        let owned = OwnedRequest {
            method: request.method.clone(),
            target: request.target.clone(),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.as_bytes().to_vec()))
                .collect(),
            body: if is_import(&request.method, &request.target) && !request.body.is_empty() {
                let too_large = request.body.len() as u64 > IMPORT_BYTES_MAX;
                if too_large { OwnedBody::TooLarge } else { OwnedBody::Unread }
            } else if request.body.len() > BODY_BYTES_MAX {
                OwnedBody::TooLarge
            } else {
                OwnedBody::Whole(request.body.clone())
            },
        };
        let mut reply = partition.run(vec![owned]).remove(0);
        make_effects(partition);
        if let Some(token) = reply.import {
            reply = feed(partition, token, &request.body, 1 << 20);
        }
        let mut body = reply.response.body;
        if let Some(mut export) = reply.export {
            while let Some(last) = partition.page(export).ok().and_then(|lines| {
                lines.iter().for_each(|line| body.extend(format!("{line}\n").bytes()));
                foldlog_core::chain::position(lines.last()?)
            }) {
                export.after = last;
            }
        }
        if let Some(listing) = reply.listing.take() {
            let names = self.names(&listing.after, listing.wanted() as usize);
            let mut response =
                Response { status: reply.response.status, headers: Vec::new(), body: Vec::new() };
            listing.fill(&mut response, &names);
            reply.response.headers.extend(response.headers);
            body = response.body;
        }
        if request.method == "HEAD" {
            body.clear();
        }
        let headers = reply.response.headers;
        let headers = headers.into_iter().map(|(name, value)| (name.into_owned(), value));
        Answer { status: reply.response.status, headers: headers.collect(), body }
    }
}

/// Makes what effects and deliveries a test's wake asked for; consumers take everything.
fn make_effects(partition: &mut Partition<Linked, MemoryStore, Still>) {
    loop {
        let (due, deliveries) = (partition.take_effects(), partition.take_deliveries());
        if due.is_empty() && deliveries.is_empty() {
            return;
        }
        due.iter().for_each(|effect| ended(partition, effect));
        deliveries.iter().for_each(|call| partition.delivery_ended(call.id, CameTo::Accepted));
        for _ in 0..TURNS_MAX {
            if partition.work_due() != Some(0) {
                break;
            }
            partition.work();
        }
    }
}

/// Here a partition is listed already, and nothing sends emails.
fn ended(partition: &mut Partition<Linked, MemoryStore, Still>, effect: &EffectCall) {
    let detail = if effect.kind == EMAIL { LOGGED } else { "" };
    partition.effect_ended((effect.position, effect.n), Ok(detail));
}

/// Hands the body of an import over, in pieces of this size; returns the answer.
///
/// # Panics
/// When the partition wants what it got already.
pub fn feed<S: Spawn, T: Store, W: World>(
    partition: &mut Partition<S, T, W>,
    token: u64,
    body: &[u8],
    piece: usize,
) -> Reply {
    let mut pieces = body.chunks(piece.max(1)).map(|bytes| Feed::Bytes(bytes.to_vec()));
    let (mut next, mut ended) = (Feed::Nothing, false);
    loop {
        next = match partition.import(token, next) {
            Step::Done(reply) => return reply,
            Step::Turn => Feed::Nothing,
            Step::Body => {
                assert!(!ended, "the body had ended");
                pieces.next().unwrap_or_else(|| {
                    ended = true;
                    Feed::End
                })
            }
        };
    }
}

/// The partition that a target names once dots are resolved and escapes decoded; else `main`.
fn partition_of(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let mut segments: Vec<String> = Vec::new();
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        match segment.replace("%2e", ".").replace("%2E", ".").as_str() {
            "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(decoded(segment)),
        }
    }
    match segments.as_slice() {
        [p, name, ..] if p == "p" && is_partition(name) => name.clone(),
        _ => "main".into(),
    }
}

fn decoded(segment: &str) -> String {
    let mut out = String::new();
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let code = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        // Only plain characters can be part of a partition's name.
        out.push(code.filter(u8::is_ascii).map_or('%', char::from));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    out + rest
}

fn config(partition: &str, seed: &str) -> Config {
    Config {
        partition: partition.into(),
        incarnation: test_entropy(seed, 0),
        settings: OpenSettings {
            body_bytes_max: BODY_BYTES_MAX as u64,
            row_cache_max: 4 << 20,
            guest_memory_max: 24 << 20,
            ..OpenSettings::default()
        },
        host: "native",
        tail_events_max: 10_000,
        batch_commands_max: 100,
        effects_in_flight_max: 64,
        rejected_bytes_max: 1 << 20,
        secret: Secret::new(super::SECRET),
        test_stamps: Some(TestStamps { seed: seed.into(), offset_ms: 0 }),
    }
}
