//! Reacting: running process managers while a commit is being built.
//!
//! Owns which managers a record reaches and how deep reactions may go. Refuses to know what they
//! ask for. Nothing here runs when a stored commit is folded.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::access::Access;
use super::propose::EngineReads;
use super::{Engine, Fault, ViewId, pending, settle};
use crate::decider::Appended;
use crate::errors::Problem;
use crate::ids;
use crate::json::push_string;
use crate::limits::EFFECT_ERROR_CHARS_MAX;
use crate::process::{
    AnyProcessManager, DEPTH_MAX, DROPPED, Effect, Ended, FAILED, PARTITION, REFUSED, RETRIED,
    Reaction, Refused, STOPPED, SUCCEEDED, SYSTEM, Sight, TIMER_COUNTS_ANEW_MS,
};
use crate::read::Stop;
use crate::record::Record;
use crate::time::Time;

/// The kind of effect that lists a partition; its data are `{"partition"}`.
pub const LIST_PARTITION: &str = "list-partition";

/// What one commit's events lead to.
#[derive(Debug, Default)]
pub struct Reacting {
    on: bool,
    depth: u32,
    n: u32,
    text: String,
    /// Managers that went too deep.
    pub too_deep: Vec<&'static str>,
    /// Managers that are not run, since they would go too deep.
    without: Vec<&'static str>,
    /// Why one of them could not see what it wanted to read.
    pub unseen: Option<Problem>,
}

impl Reacting {
    /// `depth` is that of the reactions to come.
    pub fn new(depth: u32) -> Self {
        Self { on: true, depth, ..Self::default() }
    }

    /// The same again, without those that went too deep.
    pub fn without_those(&mut self) -> Self {
        Self { without: core::mem::take(&mut self.too_deep), ..Self::new(self.depth) }
    }

    /// Nothing reacts.
    pub fn off() -> Self {
        Self::default()
    }

    /// The commit's member, when anything was asked for.
    pub fn text(&mut self) -> Option<&str> {
        if self.text.is_empty() {
            return None;
        }
        self.text.push(']');
        Some(&self.text)
    }

    /// Asks for the partition to be listed where hosts look for partitions. Everybody knows the
    /// default one.
    pub fn list_partition(&mut self, name: &str) {
        if name == ids::DEFAULT_PARTITION {
            return;
        }
        let mut data = String::from("{\"partition\":");
        push_string(&mut data, name);
        data.push('}');
        let (kind, target) = (LIST_PARTITION.into(), "directory".into());
        let effect = Reaction::Effect(Effect { kind, target, data, deadline: None });
        pending::record(&mut self.text, PARTITION, (self.n, 1, 0), &effect);
        self.n = self.n.saturating_add(1);
    }

    /// Runs the managers that a record reaches, in the registry's order.
    pub fn react(
        &mut self,
        engine: &Engine,
        access: &mut Access<'_>,
        record: &Record<'_>,
        faults: &[(ViewId, Fault)],
    ) -> Result<(), Stop> {
        if !self.on {
            return Ok(());
        }
        for manager in &engine.registry.managers {
            if !self.without.contains(&manager.spec().name) {
                let mut reads = EngineReads { engine, access: &mut *access, faults };
                self.run(&mut reads, record, &**manager)?;
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        reads: &mut EngineReads<'_, '_>,
        record: &Record<'_>,
        manager: &dyn AnyProcessManager,
    ) -> Result<(), Stop> {
        let spec = manager.spec();
        let Some(reached) = reached(reads.access, record, manager)? else { return Ok(()) };
        let clock = record.commit.clock.as_deref().and_then(Time::parse_iso);
        let now = clock.unwrap_or(record.time);
        let mut sight = Sight::new(reads, now, self.depth.saturating_sub(1));
        let reactions = match &reached {
            Reached::Event => manager.react(record, &mut sight),
            Reached::Refused(refused) => manager.refused(refused, &mut sight),
            Reached::Attempted(attempted) => manager.attempted(attempted, &mut sight),
        };
        if let Some(problem) = sight.unseen.take() {
            self.unseen.get_or_insert(problem);
            return Ok(());
        }
        let reactions = reactions?;
        let depth_of = |reaction: &Reaction| match reaction {
            // It is no loop that keeps others from their turn: it counts anew.
            Reaction::Timer { due, .. } if *due >= now.after_ms(TIMER_COUNTS_ANEW_MS) => 1,
            Reaction::Cancel { .. } => 1,
            _ => self.depth,
        };
        if reactions.iter().any(|reaction| depth_of(reaction) > DEPTH_MAX) {
            if !self.too_deep.contains(&spec.name) {
                self.too_deep.push(spec.name);
            }
            return Ok(());
        }
        let depths: Vec<u32> = reactions.iter().map(depth_of).collect();
        let event = record.position.saturating_sub(record.commit.position);
        let event = u32::try_from(event).unwrap_or(u32::MAX);
        for (reaction, depth) in reactions.iter().zip(depths) {
            pending::record(&mut self.text, spec.name, (self.n, depth, event), reaction);
            self.n = self.n.saturating_add(1);
        }
        Ok(())
    }
}

/// Why a manager is run for a record.
enum Reached {
    Event,
    Refused(Box<Refused>),
    Attempted(Box<Ended>),
}

fn reached(
    access: &mut Access<'_>,
    record: &Record<'_>,
    manager: &dyn AnyProcessManager,
) -> Result<Option<Reached>, Stop> {
    let (spec, event_type) = (manager.spec(), record.event_type());
    if record.aggregate_type != SYSTEM {
        let wanted = (record.aggregate_type, event_type);
        return Ok(spec.reacts_to.contains(&wanted).then_some(Reached::Event));
    }
    if record.aggregate_id != spec.name {
        return Ok(None);
    }
    Ok(match event_type {
        REFUSED => Some(Reached::Refused(Box::new(read_refusal(access, record)?))),
        SUCCEEDED | FAILED | DROPPED | RETRIED => {
            Some(Reached::Attempted(Box::new(read_attempt(access, record)?)))
        }
        _ => None,
    })
}

/// A refusal, with the payload of the command that was refused.
fn read_refusal(access: &mut Access<'_>, record: &Record<'_>) -> Result<Refused, Stop> {
    let broken = |what: &str| Stop::Fault(format!("a refusal can not be read: {what}"));
    let mut refused: Refused =
        serde_json::from_str(record.data()).map_err(|e| broken(&format!("{e}")))?;
    let which = (refused.position, refused.n);
    let (command, _) = settle::asked(access, which, |reaction| reaction.command())?;
    (refused.data, refused.version) = (command.data, command.version);
    Ok(refused)
}

/// What came of an attempt, with the data of the effect.
fn read_attempt(access: &mut Access<'_>, record: &Record<'_>) -> Result<Ended, Stop> {
    let broken = |e| Stop::Fault(format!("an attempt at an effect can not be read: {e}"));
    let mut attempted: Ended = serde_json::from_str(record.data()).map_err(broken)?;
    let which = (attempted.position, attempted.n);
    let (effect, _) = settle::asked(access, which, |reaction| reaction.effect())?;
    attempted.data = effect.data;
    Ok(attempted)
}

/// The event that tells that a manager failed to take in what became of what it asked for.
pub fn unheard(manager: &str, why: &str) -> Appended {
    let mut data = String::from("{\"manager\":");
    push_string(&mut data, manager);
    data.push_str(",\"reason\":");
    let plain = why.chars().map(|c| if c.is_control() { ' ' } else { c });
    push_string(&mut data, &plain.take(EFFECT_ERROR_CHARS_MAX).collect::<String>());
    data.push('}');
    Appended { aggregate_type: SYSTEM, id: manager.into(), event_type: STOPPED.into(), data }
}

/// The event that tells of reactions that were dropped.
pub fn stopped(manager: &str, depth: u32) -> Appended {
    let mut data = String::from("{\"manager\":");
    push_string(&mut data, manager);
    data.push_str(&format!(",\"depth\":{depth}}}"));
    Appended { aggregate_type: SYSTEM, id: manager.into(), event_type: STOPPED.into(), data }
}
