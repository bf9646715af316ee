//! Commits that tell something of a consumer: what a client asked for, or what the driver found.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{
    ADVANCED, Advanced, At, Consumer, REGISTERED, REMOVED, ROTATED, Registered, Rotated, consumer,
    signing,
};
use crate::decider::CommandSpec;
use crate::engine::access::Access;
use crate::engine::build::Made;
use crate::engine::propose::{CommandInput, Decided, Metadata, Preconditions, unmet};
use crate::engine::refold::Missing;
use crate::engine::settle::{NO_COMMAND, SYSTEM_STREAM};
use crate::engine::{Engine, Woken};
use crate::errors::{Code, Problem};
use crate::limits::{CONSUMER_KEYS_MAX, EFFECT_ERROR_CHARS_MAX};
use crate::process::SYSTEM;
use crate::protocol::Stamp;
use crate::protocol::consumers::Dispatch;
use crate::read::Stop;
use crate::sorted;

/// Registers a consumer.
pub static REGISTER: CommandSpec = told("RegisterConsumer", true);
/// Removes one.
pub static REMOVE: CommandSpec = told("RemoveConsumer", false);
/// Gives one another secret.
pub static ROTATE: CommandSpec = told("RotateConsumerSecret", false);

const fn told(name: &'static str, creates: bool) -> CommandSpec {
    CommandSpec { creates, ..CommandSpec::new(name, "", "", &[]) }
}

#[derive(Serialize, Deserialize)]
struct Removed {
    reason: String,
}

fn json<T: Serialize>(data: &T) -> Result<String, Stop> {
    serde_json::to_string(data).map_err(|e| Stop::Fault(format!("a consumer's event: {e}")))
}

/// A command to a consumer, as the engine takes it.
pub fn input<'a>(
    command: &'static CommandSpec,
    (id, data): (&'a str, &'a str),
    (metadata, preconditions): (&'a Metadata, &'a Preconditions),
    stamp: &'a Stamp,
) -> CommandInput<'a> {
    let aggregate = &SYSTEM_STREAM;
    CommandInput { aggregate, command, id, data, metadata, preconditions, stamp, cause: None }
}

/// What a commit records of a consumer.
#[derive(Clone, Debug)]
pub enum Told {
    /// It is there.
    Registered(Registered),
    /// It is gone, and why.
    Removed(String),
    /// It has another secret: of this generation.
    Rotated(u32),
    /// How far it has got.
    Advanced(BTreeMap<String, At>),
}

impl Told {
    fn event(self) -> Result<(String, String), Stop> {
        let (kind, data) = match self {
            Self::Registered(registered) => (REGISTERED, json(&registered)?),
            Self::Removed(reason) => (REMOVED, json(&Removed { reason })?),
            Self::Rotated(generation) => (ROTATED, json(&Rotated { generation })?),
            Self::Advanced(topics) => (ADVANCED, json(&Advanced { topics })?),
        };
        Ok((kind.to_string(), data))
    }
}

impl Engine {
    /// A commit that tells something of a consumer. `Err` names what is missing.
    pub fn propose_consumer(
        &self,
        mut access: Access<'_>,
        input: &CommandInput<'_>,
        told: Told,
    ) -> Result<Decided, Missing> {
        let fault = |what| Ok(Decided::Rejected(Problem::new(Code::Internal, what)));
        let version = match self.stream_version(&mut access, SYSTEM, input.id) {
            Ok(version) => version,
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => return fault(what),
        };
        if let Some(problem) = unmet(input, version) {
            return Ok(Decided::Rejected(problem));
        }
        let event = match told.event() {
            Ok(event) => event,
            Err(stop) => return fault(format!("{stop:?}")),
        };
        let (events, appended, published) = (vec![event], Vec::new(), Vec::new());
        let made = Made { events, appended, published, version, entropy: None, silent: false };
        self.proposed(access, input, made)
    }

    /// The next generation of a consumer's secret, or why it can not have one.
    pub fn next_generation(
        &self,
        consumer: &Consumer,
        id: &str,
        stamp: &Stamp,
    ) -> Result<u32, Problem> {
        if signing(consumer, self.now(stamp)).len() >= CONSUMER_KEYS_MAX {
            let detail = format!(
                "the secret of consumer {id} was rotated {CONSUMER_KEYS_MAX} times in 24 hours"
            );
            let problem = Problem::new(Code::LimitExceeded, detail);
            return Err(problem.number("limit", CONSUMER_KEYS_MAX as u64));
        }
        Ok(consumer.generation.saturating_add(1))
    }

    /// Stages what the driver tells of a consumer; of one that is gone there is nothing to tell.
    pub(crate) fn dispatch(
        &self,
        mut access: Access<'_>,
        stamp: &Stamp,
        dispatch: &Dispatch,
    ) -> Result<Woken, Missing> {
        let idle = Ok(Woken::Idle { next: None, effects: Vec::new() });
        let (id, told) = match dispatch {
            Dispatch::Remove { consumer, reason } => {
                let plain = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
                (consumer, Told::Removed(plain.take(EFFECT_ERROR_CHARS_MAX).collect()))
            }
            Dispatch::Advance { consumer, topics } => {
                let topics = topics.iter().cloned();
                let topics = topics.map(|(topic, place)| (topic, place.into()));
                (consumer, Told::Advanced(sorted::map(topics)))
            }
            Dispatch::List { .. } | Dispatch::Page { .. } => return idle,
        };
        match consumer(&mut access, id) {
            Ok(Some(_)) => {}
            Ok(None) => return idle,
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => return Ok(Woken::Broken(what)),
        }
        let (metadata, preconditions) = (Metadata::default(), Preconditions::default());
        let input = input(&NO_COMMAND, (id, "{}"), (&metadata, &preconditions), stamp);
        match self.propose_consumer(access, &input, told)? {
            Decided::Proposed(_, proposal) => Ok(Woken::Proposed(proposal)),
            Decided::Rejected(problem) => Ok(Woken::Broken(problem.detail)),
            Decided::Nothing(_) | Decided::Replayed(_) | Decided::Known(_) => idle,
        }
    }
}

/// The generation of a secret that a stored event of a consumer brought.
pub fn generation_of(event_type: &str, data: &str) -> Option<u32> {
    match event_type {
        REGISTERED => Some(1),
        ROTATED => serde_json::from_str::<Rotated>(data).ok().map(|rotated| rotated.generation),
        _ => None,
    }
}
