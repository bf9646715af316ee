//! The messages of staging: one input, and what became of it.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Query;
use super::consumers::{Dispatch, Dispatched, SecretHole};
use crate::time::Time;

/// Time and entropy of one input, made by the host in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Wall clock, as read.
    pub clock: Time,
    /// 16 random bytes.
    pub entropy: [u8; 16],
}

/// One input to decide or answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input<'a> {
    /// When, and with what entropy.
    pub stamp: Stamp,
    /// What.
    #[serde(borrow)]
    pub what: What<'a>,
    /// What only the process knows, for the routes that tell it.
    pub process: Process,
}

/// Who asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What<'a> {
    /// A client.
    #[serde(borrow)]
    Request(Request<'a>),
    /// The system itself: the first of its commands that is due.
    Wake(Wake),
    /// The host, that attempted an effect.
    Result(EffectResult),
    /// The driver, that delivers events to consumers.
    Dispatch(Dispatch),
}

/// Do the system command that is due first, if one is; else tell which effects are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wake {
    /// Timers and effects too whose time has come, not only what is due at once.
    pub timers: bool,
    /// Commands up to this one wait for a view: the first one after it is looked at.
    pub after: Option<Due>,
    /// This one trapped twice, by position and number: refuse it without deciding.
    pub trapped: Option<(u64, u32)>,
    /// Refusing it trapped too: run no process manager.
    pub silent: bool,
    /// Effects that the host attempts already, by [`EffectCall::position`] and [`EffectCall::n`].
    pub running: Vec<(u64, u32)>,
    /// How many more it would start.
    pub room: u32,
}

/// Where a command of the system stands in the order in which they fall due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Due {
    /// When, by the raw clock; 0 is at once.
    pub at: Time,
    /// First position of the commit that asked for it.
    pub position: u64,
    /// Which of that commit's reactions.
    pub n: u32,
}

/// An effect for the host to attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectCall {
    /// First position of the commit that asked for it.
    pub position: u64,
    /// Which of that commit's reactions.
    pub n: u32,
    /// The same for every attempt, for whoever is called to tell repetitions by.
    pub id: String,
    /// What sort of call.
    pub kind: String,
    /// Whom it concerns.
    pub target: String,
    /// What the call needs to know, a JSON text.
    pub data: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectResult {
    /// See [`EffectCall::position`].
    pub position: u64,
    /// See [`EffectCall::n`].
    pub n: u32,
    /// Why it failed; nothing when it succeeded.
    pub error: Option<String>,
    /// How it was done, when there are several ways.
    pub detail: Option<String>,
    /// Settling it trapped twice: run no process manager.
    pub trapped: bool,
}

/// An HTTP request as the host received it. Bytes are checked by the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Method, as received.
    pub method: &'a str,
    /// Path and query, as received: `/p/x/queries/account/a?limit=3`.
    pub target: &'a str,
    /// Headers, names in lower case, in the order received.
    #[serde(borrow)]
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// The body, or why there is none.
    #[serde(borrow)]
    pub body: Body<'a>,
    /// SHA-256 of the method, the path and the body, made when an `Idempotency-Key` was given.
    pub fingerprint: Option<[u8; 32]>,
}

/// A request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body<'a> {
    /// All bytes of it; empty when there was none. serde would write them one by one.
    Whole(#[serde(borrow, serialize_with = "super::bytes::serialize")] &'a [u8]),
    /// It is longer than `body_bytes_max` and was not read to its end.
    TooLarge,
    /// There is one that the host reads when the answer asks for it.
    Unread,
}

/// What the process knows and the log does not. Zeros where a host can not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// `native` or `worker`.
    pub host: String,
    /// Seconds since the partition was opened.
    pub uptime_seconds: u64,
    /// Commands committed since then.
    pub commands_processed: u64,
    /// Commands rejected since then.
    pub commands_rejected: u64,
    /// Median microseconds to stage one input.
    pub p50_micros: u64,
    /// 99th percentile of the same.
    pub p99_micros: u64,
    /// Position of the stored checkpoint.
    pub checkpoint: u64,
    /// Whose the log is.
    pub standing: Standing,
    /// Effects that are being attempted.
    pub running: Vec<(u64, u32)>,
    /// Failures that cost the partition an instance or a wait, since the process began.
    pub restarts: u64,
    /// What does not work although the guest does, for `GET /health`.
    pub trouble: Option<String>,
    /// Topics of which events are being delivered, or are about to be.
    pub dispatchers: Vec<String>,
    /// Consumers that did not take a delivery and are tried again.
    pub retrying: Vec<String>,
}

/// What a host may do with a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// All: it is this host's, or there is none yet.
    #[default]
    Owned,
    /// Read it: its newest incarnation is not the one that this host may act for.
    Held,
    /// Go on with the import that is not complete yet; until then there is no log.
    Importing,
}

/// What the host does about whose log it is, with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ownership {
    /// Act for this incarnation as soon as the commit is stored that tells of it.
    Adopt([u8; 16]),
}

/// What became of a staged input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageStep {
    /// Reads missed: answer all of them, in order, with [`Op::Supply`].
    Need(Vec<Query>),
    /// Settled, but for [`Op::Commit`] or [`Op::Rollback`] when it proposes something.
    Done(Box<Outcome>),
}

/// The answer to a staged input, and what it proposes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The HTTP answer; leaves only after the proposal is stored.
    pub response: Response,
    /// Where in the answer the host writes hashes.
    pub holes: Vec<Hole>,
    /// What kind of input it was, for counting.
    pub kind: Kind,
    /// Position of the last event it proposes, the head's when it proposes rows alone; `None` when
    /// it proposes nothing.
    pub proposed: Option<u64>,
    /// Changed rows fill their share of the cache, or are promised: store a checkpoint with this
    /// batch.
    pub checkpoint_due: bool,
    /// Slices have something to do.
    pub behind: bool,
    /// Stage a wake next: once this is taken in, a system command may be due, or timers changed.
    pub wake: bool,
    /// Of a wake: when the next timer or effect falls due, by the raw clock.
    pub wake_at: Option<Time>,
    /// Of a wake: this command waits for a view; a wake after it finds what comes next.
    pub passed: Option<Due>,
    /// Of a wake: to be attempted once the batch is stored.
    pub effects: Vec<EffectCall>,
    /// The body is followed by stored commits, a line each.
    pub export: Option<ExportFrom>,
    /// Whose log it is changes.
    pub ownership: Option<Ownership>,
    /// The body is a list of the host's partitions.
    pub listing: Option<Listing>,
    /// The body is a part of a log: the answer is the driver's, once it has taken that in.
    pub import: Option<ImportPart>,
    /// The body is followed by events, those to come as well.
    pub live: Option<Live>,
    /// Where in the body the host writes a consumer's secret.
    pub secret: Option<SecretHole>,
    /// What the driver asked of consumers.
    pub dispatched: Option<Dispatched>,
    /// Consumers come, go or change by what it proposes.
    pub consumers: bool,
    /// Topics that get events by what it proposes, as far as consumers could want to know.
    pub topics: Vec<String>,
}

/// How an answer goes on that follows the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// What to ask for to get what comes next, but for the position it comes after, which is put
    /// behind it. The same for all that see the same events.
    pub target: String,
    /// Texts that all stored lines have which hold an event that is shown: where one of them is
    /// missing, there is nothing to ask for. None when a line does not tell.
    pub marks: Vec<String>,
    /// Up to this position nothing is left to be shown.
    pub after: u64,
    /// The last position there was when this was said.
    pub head: u64,
    /// It goes on over a WebSocket.
    pub socket: bool,
}

/// Which partitions are to be listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Only names after this one.
    pub after: String,
    /// At most so many.
    pub limit: u32,
    /// Where the next page is, but for the name after which it starts.
    pub link: String,
}

/// A part of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportPart {
    /// It continues behind this position; from the start where there is none.
    pub after: Option<u64>,
    /// It is the last one.
    pub complete: bool,
}

/// Where an export starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportFrom {
    /// With the genesis line.
    Genesis,
    /// With the first commit after this position.
    After(u64),
}

/// What an input turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A command that commits, or repeats an earlier answer.
    Command,
    /// A command that was refused.
    Rejected,
    /// Anything else that a client asked for.
    Read,
    /// A wake: nobody waits for the answer.
    System,
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers in the order they are sent; names in their usual spelling.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body's bytes.
    #[serde(with = "super::bytes")]
    pub body: Vec<u8>,
}

/// 64 zeros in an answer that the host replaces by a commit's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// Header the hole is in (its value is the hole), or `None` for the body.
    pub header: Option<u32>,
    /// Offset of the zeros in the body; 0 for a header.
    pub offset: u64,
    /// A position within the commit whose hash it is; 0 is genesis.
    pub position: u64,
}
