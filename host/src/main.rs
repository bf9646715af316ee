//! The native host of Foldlog: the driver's ports, filled by wasmtime, SQLite and this machine.
//!
//! ```text
//!   serve ─ http ─ body, import         sockets to requests
//!             │
//!   waker ─ partitions ─ actor, job     one thread per open partition
//!             │ closed   supervise
//!             │          beside, gate   and one for its long reads
//!           live                        and who follows what is stored
//!           driver (core)               stage, batch, hash, store, recover
//!          ╱     │      ╲
//!     wasm   stores      world          guest, store, clock and entropy
//!   wasm_cache  sqlite, owner
//! ```
//!
//! `harness` reads a log, folds it and touches nothing; `carry` takes logs from one place to another,
//! over `remote` to and from other hosts; `lock` keeps a second writer out. `adopt` makes a log of
//! elsewhere this host's, `shown` serves one without that.
//!
//! What is absent: domains, routes, decisions, hashing. Those are the guest's or core's.

mod actor;
mod adopt;
mod attempts;
mod bench;
mod beside;
mod blank;
mod body;
mod carry;
mod cli;
mod clock;
mod closed;
mod deliveries;
mod directory;
mod ended;
mod gate;
mod guarded;
mod harness;
mod http;
mod job;
mod listen;
mod import;
mod live;
mod lock;
mod log;
mod metrics;
mod notes;
mod open;
mod outgoing;
mod owner;
mod partitions;
mod plain;
mod remote;
mod secret;
mod serve;
mod shown;
mod sqlite;
mod stores;
mod supervise;
mod trust;
mod streams;
mod json;
mod wasm;
mod wasm_cache;
mod waker;
mod wire;
mod world;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Verb};
use harness::{
    at, describe, diff, events, head, pages, redecide, rejected, replay, selftest, stats, trace,
    verify,
};

/// It could not be told whether something is wrong.
const COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let ended = match Cli::parse().verb {
        Verb::Serve(serve) => serve::run(&serve).map(|()| ExitCode::SUCCESS),
        Verb::Replay(replay) => replay::run(&replay),
        Verb::Verify(verify) => verify::run(&verify),
        Verb::Redecide(redecide) => redecide::run(&redecide),
        Verb::Gate(gate) => harness::gate::run(&gate),
        Verb::At(at) => at::run(&at),
        Verb::Diff(diff) => diff::run(&diff),
        Verb::Head(head) => head::run(&head),
        Verb::Stats(stats) => stats::run(&stats),
        Verb::Rejected(rejected) => rejected::run(&rejected),
        Verb::Log(log) => events::run(&log),
        Verb::Trace(trace) => trace::run(&trace),
        Verb::Guest(guest) => describe::run(&guest),
        Verb::Selftest(selftest) => selftest::run(&selftest),
        Verb::Export(export) => carry::export(&export),
        Verb::Import(import) => carry::import(&import),
        Verb::Pull(pull) => carry::pull(&pull),
        Verb::Push(push) => carry::push(&push),
        Verb::Truncate(truncate) => carry::truncate(&truncate),
        Verb::Adopt(adopt) => adopt::run(&adopt),
        Verb::Listen(listen) => listen::run(&listen),
        Verb::Bench(bench) => bench::run(&bench).map(|()| ExitCode::SUCCESS),
        Verb::Completions(completions) => pages::completions(&completions),
        Verb::Man(man) => pages::man(&man),
    };
    ended.unwrap_or_else(|message| {
        eprintln!("foldlog: {message}");
        ExitCode::from(COULD_NOT_RUN)
    })
}
