//! Process managers: what a domain wants to happen because something happened.
//!
//! Owns [`ProcessManager`], its erased face [`AnyProcessManager`], and [`Reaction`], what it asks
//! for. Refuses to know when it is run and how what it asks for is remembered.
//!
//! Invariant: a manager keeps no state of its own. It sees one record and the rows as of that
//! record, so the same commit always leads to the same reactions.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::decider::{Aggregate, Reads};
use crate::engine::typed_state;
use crate::errors::{Code, Problem};
use crate::ids;
use crate::projection::Projection;
use crate::read::Stop;
use crate::record::Record;
use crate::tagged;
use crate::time::Time;
use crate::upcast;

/// Type of the streams in which the system records what it did itself.
pub const SYSTEM: &str = "~System";
/// A system command was refused.
pub const REFUSED: &str = "Command.Refused";
/// A system command had nothing to do.
pub const SETTLED: &str = "Command.Settled";
/// Reactions led to reactions too many times, or a manager failed to take in what became of what it
/// asked for.
pub const STOPPED: &str = "ProcessManager.Stopped";
/// An effect was done.
pub const SUCCEEDED: &str = "Effect.Succeeded";
/// An attempt at an effect failed; another follows.
pub const FAILED: &str = "Effect.Failed";
/// The last attempt at an effect failed.
pub const DROPPED: &str = "Effect.Dropped";
/// An effect that is pending or was dropped is due at once, its attempts counted anew: a client
/// asked for that.
pub const RETRIED: &str = "Effect.Retried";
/// The kind of effects that are emails. Their data are `{"to","template","subject","text"}`, and
/// what else the manager wants to find there again.
pub const EMAIL: &str = "email";
/// What asks for effects on behalf of a partition as a whole; no manager has this name.
pub const PARTITION: &str = "partition";
/// Reactions lead to reactions at most this many times.
pub const DEPTH_MAX: u32 = 16;
/// A timer that is due so much later, or later than that, is a beginning: what it leads to is
/// counted anew.
pub const TIMER_COUNTS_ANEW_MS: u64 = 1_000;

/// What is said of a process manager once.
#[derive(Clone, Copy, Debug)]
pub struct ProcessSpec {
    /// Its name in causes and system streams.
    pub name: &'static str,
    /// The events it reacts to: type of the stream, type of the event. It is not run for others.
    pub reacts_to: &'static [(&'static str, &'static str)],
}

/// A command that the system gives, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ordered {
    /// Type of the stream that takes it.
    pub aggregate_type: String,
    /// Id of that stream.
    pub aggregate_id: String,
    /// Name of the command.
    pub command: String,
    /// Version of its payload.
    pub version: u32,
    /// Its payload, a JSON text.
    #[serde(skip)]
    pub data: String,
}

/// An outside call, as it is recorded. A host makes it after the commit is stored, and again until
/// it succeeds or is given up: at least once, always with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What sort of call; hosts know how to make it by this.
    pub kind: String,
    /// Whom it concerns, for people.
    pub target: String,
    /// What the call needs to know, a JSON text. No secrets: the log is for ever.
    pub data: String,
    /// Not attempted after this time, by the raw clock.
    pub deadline: Option<Time>,
}

/// What a process manager asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// A command, right after the commit.
    Command(Ordered),
    /// An outside call.
    Effect(Effect),
    /// A command at a time. Another timer of the same key takes its place.
    Timer {
        /// Names it among the manager's timers.
        key: String,
        /// When, by the raw clock.
        due: Time,
        /// What.
        command: Ordered,
    },
    /// The timer of this key is not wanted any more.
    Cancel {
        /// Its name among the manager's timers.
        key: String,
    },
}

impl Ordered {
    /// A command to a stream.
    pub fn to<A: Aggregate>(id: &str, command: &A::Command) -> Result<Self, Stop>
    where
        A::Command: Serialize,
    {
        let (name, data) =
            tagged::write(command).map_err(|e| Stop::Fault(format!("a system command: {e}")))?;
        Ok(Self {
            aggregate_type: A::SPEC.aggregate_type.to_string(),
            aggregate_id: id.to_string(),
            version: upcast::current(A::UPCASTS, upcast::Kind::Command, &name),
            command: name,
            data,
        })
    }
}

/// A command of a manager that was refused: the data of [`REFUSED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Who gave it.
    pub manager: String,
    /// First position of the commit that asked for it.
    pub position: u64,
    /// Which of that commit's reactions.
    pub n: u32,
    /// Type of the stream that refused it.
    pub aggregate_type: String,
    /// Id of that stream.
    pub aggregate_id: String,
    /// Name of the command.
    pub command: String,
    /// Why, for programs: the name of an error code.
    pub code: String,
    /// Why, for people.
    pub detail: String,
    /// Payload of the command, a JSON text: read from the commit that asked for it.
    #[serde(skip)]
    pub data: String,
    /// Version of the payload, from there too.
    #[serde(skip)]
    pub version: u32,
}

impl Refused {
    /// The command as of now, when a stream of this kind refused it.
    pub fn command<A: Aggregate>(&self) -> Option<A::Command> {
        if self.aggregate_type != A::SPEC.aggregate_type {
            return None;
        }
        let kind = upcast::Kind::Command;
        let data = upcast::lift(A::UPCASTS, kind, &self.command, self.version, &self.data).ok()?;
        tagged::read(&self.command, &data).ok()
    }
}

/// What came of an attempt at an effect: the data of [`SUCCEEDED`], [`FAILED`], [`DROPPED`] and
/// [`RETRIED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Who asked for it.
    pub manager: String,
    /// First position of the commit that asked for it.
    pub position: u64,
    /// Which of that commit's reactions.
    pub n: u32,
    /// What sort of call.
    pub kind: String,
    /// Whom it concerns.
    pub target: String,
    /// How many attempts were made; none when it was [`RETRIED`].
    pub attempt: u32,
    /// How it was done, when there are several ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why the last one failed; none when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the next attempt is made, ISO 8601; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<String>,
    /// What the call needed to know, a JSON text: read from the commit that asked for it.
    #[serde(skip)]
    pub data: String,
}

/// What a manager can read: the partition as of the record it reacts to.
pub struct Sight<'a> {
    reads: &'a mut dyn Reads,
    now: Time,
    depth: u32,
    /// Why something that was wanted can not be seen.
    pub(crate) unseen: Option<Problem>,
}

impl core::fmt::Debug for Sight<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sight")
    }
}

impl<'a> Sight<'a> {
    pub(crate) fn new(reads: &'a mut dyn Reads, now: Time, depth: u32) -> Self {
        Self { reads, now, depth, unseen: None }
    }

    /// The raw clock of the commit: timers go by it.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// How many more times reactions may lead to reactions from here. Who asks for a process of
    /// several steps with too little room asks by a timer: that counts anew.
    pub const fn room(&self) -> u32 {
        DEPTH_MAX.saturating_sub(self.depth)
    }

    /// Version and state of a stream. One that has events which this module can not read ends the
    /// reaction, and the commit that led to it is refused: guessing could lose money.
    pub fn state<A: Aggregate>(&mut self, id: &str) -> Result<Option<(u64, A::State)>, Stop> {
        let Some(row) = self.reads.state(A::SPEC.aggregate_type, id)? else { return Ok(None) };
        typed_state(&row)?.map(Some).map_err(|blocked| {
            let stream = ids::stream_name(A::SPEC.aggregate_type, id);
            self.unseen(blocked.problem(&stream))
        })
    }

    fn unseen(&mut self, problem: Problem) -> Stop {
        let stop = Stop::Fault(problem.detail.clone());
        self.unseen = Some(problem);
        stop
    }

    /// A row of a projection. One that is out of service ends the reaction, and the commit that
    /// led to it is refused for the time being.
    pub fn row<P: Projection, T: DeserializeOwned>(
        &mut self,
        key: &[u8],
    ) -> Result<Option<T>, Stop> {
        let name = P::SPEC.name;
        match self.reads.row(name, key)? {
            Some(row) => row.map(|bytes| stored(&bytes)).transpose(),
            None => {
                let detail =
                    format!("a process manager reads projection {name}, which is not live");
                Err(self.unseen(Problem::new(Code::Restarting, detail)))
            }
        }
    }
}

fn stored<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Stop> {
    postcard::from_bytes(bytes)
        .map_err(|e| Stop::Fault(format!("a stored row can not be read: {e}")))
}

/// Reacts to events with commands, effects and timers.
pub trait ProcessManager: 'static {
    /// Its name, and what it reacts to.
    const SPEC: ProcessSpec;

    /// What an event leads to.
    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop>;

    /// What the refusal of one of its commands leads to.
    fn refused(_refused: &Refused, _sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        Ok(Vec::new())
    }

    /// What the end of one of its effects leads to: it succeeded, or was given up.
    fn ended(_ended: &Ended, _sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        Ok(Vec::new())
    }

    /// What each attempt at one of its effects leads to, and that it is to be attempted anew; for
    /// managers that keep account of them. Others are told of the end alone.
    fn attempted(attempted: &Ended, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        match attempted.retry_at {
            None => Self::ended(attempted, sight),
            Some(_) => Ok(Vec::new()),
        }
    }
}

/// A [`ProcessManager`] with its type erased.
pub trait AnyProcessManager {
    /// Its name, and what it reacts to.
    fn spec(&self) -> &'static ProcessSpec;
    /// See [`ProcessManager::react`].
    fn react(&self, record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop>;
    /// See [`ProcessManager::refused`].
    fn refused(&self, refused: &Refused, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop>;
    /// See [`ProcessManager::attempted`].
    fn attempted(&self, attempted: &Ended, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop>;
}

/// Erases a process manager's type.
pub fn erase<M: ProcessManager>() -> Box<dyn AnyProcessManager> {
    Box::new(Erased::<M>(PhantomData))
}

struct Erased<M>(PhantomData<M>);

impl<M: ProcessManager> AnyProcessManager for Erased<M> {
    fn spec(&self) -> &'static ProcessSpec {
        const { &M::SPEC }
    }

    fn react(&self, record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        M::react(record, sight)
    }

    fn refused(&self, refused: &Refused, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        M::refused(refused, sight)
    }

    fn attempted(&self, attempted: &Ended, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        M::attempted(attempted, sight)
    }
}
