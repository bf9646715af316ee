//! Faults on purpose: a kind of stream whose commands trap, eat memory or never end, a read model
//! that fails on request, and managers that loop or order such commands. Only test builds
//! (`--features faults`) register it.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::decider::{self, Aggregate, AggregateSpec, CommandKind, CommandSpec, Decision};
use crate::errors::Rejection;
use crate::fields::{Field, FieldKind};
use crate::process::{
    self, Effect, Ordered, ProcessManager, ProcessSpec, Reaction, Refused, Sight,
};
use crate::projection::{self, Page, Projection, ProjectionSpec, Rendered};
use crate::read::{Reader, Rows, Stop};
use crate::record::Record;
use crate::registry::Registry;

/// Adds the faults to a registry.
pub fn register(registry: &mut Registry) {
    registry.aggregates.push(decider::erase::<Chaos>());
    registry.projections.push(projection::erase::<Fragile>());
    registry.managers.push(process::erase::<Echoes>());
    registry.managers.push(process::erase::<Orders>());
}

/// A kind of stream that misbehaves.
#[derive(Debug)]
pub struct Chaos;

/// What it can be asked.
#[derive(Debug, Serialize, Deserialize)]
pub enum ChaosCommand {
    /// Panics.
    Trap {},
    /// Allocates without end.
    EatMemory {},
    /// Never ends.
    Loop {},
    /// Makes an event on which the read model traps.
    BreakProjectionByTrap {},
    /// Makes an event on which the read model returns an error.
    BreakProjectionByError {},
    /// Makes an event on which the stream's state traps, in every other instance.
    BreakStream {},
    /// Makes a harmless event.
    Tick {},
    /// Makes an event to which a manager reacts with this very command.
    Echo {},
    /// Makes a harmless event, after reading the read model.
    Recall {},
    /// Makes an event for which the process manager orders `Trap`.
    OrderTrap {},
    /// The same with `Look`.
    OrderLook {},
    /// The same with `Tick`.
    OrderTick {},
    /// The same, a second and a half later.
    OrderLate {},
    /// Makes an event for which the process manager asks for an email.
    OrderEmail {},
    /// Decides by the read model: waits while that does not serve.
    Look {},
}

/// What can happen to it.
#[derive(Debug, Serialize, Deserialize)]
pub enum ChaosEvent {
    /// Nothing bad.
    Ticked {},
    /// The read model traps on it.
    TrapSet {},
    /// The read model fails on it.
    ErrorSet {},
    /// It is answered with a command that makes it again.
    Echoed {},
    /// The process manager orders `Trap`.
    TrapOrdered {},
    /// It orders `Look`.
    LookOrdered {},
    /// It orders `Tick`.
    TickOrdered {},
    /// It orders `Tick` for later.
    LateOrdered {},
    /// It asks for an email.
    EmailOrdered {},
    /// The state traps on it, but in the instance that made it.
    FuseSet {},
}

/// This instance set a fuse: evolving must not trap yet.
static FUSED: AtomicBool = AtomicBool::new(false);

const ID: Field = Field { name: "chaosId", kind: FieldKind::Id, optional: false, doc: "Which" };

const fn command(name: &'static str, path: &'static str) -> CommandSpec {
    CommandSpec {
        name,
        path,
        version: 1,
        summary: name,
        fields: &[ID],
        rejections: &[],
        creates: true,
        kind: CommandKind::Whole,
    }
}

impl Aggregate for Chaos {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Chaos",
        name: "chaos",
        id_field: "chaosId",
        revision: 1,
        snapshot_every: 100,
        events: &[
            "Ticked",
            "TrapSet",
            "ErrorSet",
            "Echoed",
            "TrapOrdered",
            "LookOrdered",
            "TickOrdered",
            "LateOrdered",
            "EmailOrdered",
            "FuseSet",
        ],
        commands: &[
            command("Trap", "trap"),
            command("EatMemory", "eat-memory"),
            command("Loop", "loop"),
            command("BreakProjectionByTrap", "break-projection-by-trap"),
            command("BreakProjectionByError", "break-projection-by-error"),
            command("BreakStream", "break-stream"),
            command("Tick", "tick"),
            command("Echo", "echo"),
            command("Recall", "recall"),
            command("OrderTrap", "order-trap"),
            command("OrderLook", "order-look"),
            command("OrderTick", "order-tick"),
            command("OrderLate", "order-late"),
            command("OrderEmail", "order-email"),
            CommandSpec { kind: CommandKind::Internal, ..command("Look", "") },
        ],
        query_schema: r#"{"type":"object"}"#,
    };
    type State = u64;
    type Command = ChaosCommand;
    type Event = ChaosEvent;

    #[expect(clippy::panic, reason = "this is what it is for")]
    fn decide(
        _: Option<&u64>,
        command: &ChaosCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<ChaosEvent>, Rejection> {
        match command {
            ChaosCommand::Trap {} => panic!("asked to"),
            ChaosCommand::EatMemory {} => {
                let mut eaten: Vec<Vec<u8>> = Vec::new();
                loop {
                    eaten.push(vec![core::hint::black_box(1); 1 << 20]);
                }
            }
            ChaosCommand::Loop {} => loop {
                core::hint::spin_loop();
            },
            ChaosCommand::BreakProjectionByTrap {} => Ok(vec![ChaosEvent::TrapSet {}]),
            ChaosCommand::BreakProjectionByError {} => Ok(vec![ChaosEvent::ErrorSet {}]),
            ChaosCommand::BreakStream {} => {
                FUSED.store(true, Ordering::Relaxed);
                Ok(vec![ChaosEvent::FuseSet {}])
            }
            ChaosCommand::Tick {} => Ok(vec![ChaosEvent::Ticked {}]),
            ChaosCommand::Echo {} => Ok(vec![ChaosEvent::Echoed {}]),
            ChaosCommand::OrderTrap {} => Ok(vec![ChaosEvent::TrapOrdered {}]),
            ChaosCommand::OrderLook {} => Ok(vec![ChaosEvent::LookOrdered {}]),
            ChaosCommand::OrderTick {} => Ok(vec![ChaosEvent::TickOrdered {}]),
            ChaosCommand::OrderLate {} => Ok(vec![ChaosEvent::LateOrdered {}]),
            ChaosCommand::OrderEmail {} => Ok(vec![ChaosEvent::EmailOrdered {}]),
            ChaosCommand::Recall {} | ChaosCommand::Look {} => {
                decision.row::<Fragile, u64>(b"count")?;
                Ok(vec![ChaosEvent::Ticked {}])
            }
        }
    }

    #[expect(clippy::panic, reason = "this is what it is for")]
    fn evolve(state: &mut u64, event: &ChaosEvent) {
        if matches!(event, ChaosEvent::FuseSet {}) && !FUSED.load(Ordering::Relaxed) {
            panic!("asked to");
        }
        *state = state.saturating_add(1);
    }

    fn show(_: &str, version: u64, _: &u64, _: &mut Reader<'_, '_>) -> Result<String, Stop> {
        Ok(alloc::format!("{{\"version\":{version}}}"))
    }
}

/// Orders what its events say, and traps when a command to the stream `deaf` is refused.
#[derive(Debug)]
pub struct Orders;

impl ProcessManager for Orders {
    const SPEC: ProcessSpec = ProcessSpec {
        name: "Orders",
        reacts_to: &[
            ("Chaos", "TrapOrdered"),
            ("Chaos", "LookOrdered"),
            ("Chaos", "TickOrdered"),
            ("Chaos", "LateOrdered"),
            ("Chaos", "EmailOrdered"),
        ],
    };

    fn react(record: &Record<'_>, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let command = match record.event_type() {
            "EmailOrdered" => return Ok(vec![email(record.aggregate_id)]),
            "TrapOrdered" => ChaosCommand::Trap {},
            "LookOrdered" => ChaosCommand::Look {},
            _ => ChaosCommand::Tick {},
        };
        let command = Ordered::to::<Chaos>(record.aggregate_id, &command)?;
        let (key, due) = (record.aggregate_id.into(), record.time.after_ms(1_500));
        Ok(vec![match record.event_type() {
            "LateOrdered" => Reaction::Timer { key, due, command },
            _ => Reaction::Command(command),
        }])
    }

    #[expect(clippy::panic, reason = "this is what it is for")]
    fn refused(refused: &Refused, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        match refused.aggregate_id.as_str() {
            "deaf" => panic!("asked to"),
            "dumb" => Err(Stop::Fault("asked to".into())),
            _ => Ok(Vec::new()),
        }
    }
}

/// An email to an address of this name, as the domains that send some ask for it.
fn email(name: &str) -> Reaction {
    let data = alloc::format!(
        "{{\"to\":\"{name}@example.com\",\"template\":\"order\",\"subject\":\"Ordered\",\"text\":\"As ordered.\"}}"
    );
    let target = alloc::format!("{name}@example.com");
    Reaction::Effect(Effect { kind: "email".into(), target, data, deadline: None })
}

/// A read model that fails on request; else it counts events.
#[derive(Debug)]
pub struct Fragile;

impl Projection for Fragile {
    const SPEC: ProjectionSpec =
        ProjectionSpec { name: "Fragile", revision: 1, schema: r#"{"type":"object"}"# };

    #[expect(clippy::panic, reason = "this is what it is for")]
    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let count = rows.get::<u64>(b"count")?.unwrap_or_default();
        rows.put(b"count", &count.saturating_add(1))?;
        match record.event_type() {
            "TrapSet" => panic!("asked to"),
            "ErrorSet" => Err(Stop::Fault("asked to".into())),
            _ => Ok(()),
        }
    }

    fn page(reader: &mut Reader<'_, '_>, _: &Page) -> Result<Rendered, Stop> {
        let count = reader.get::<u64>(b"count")?.unwrap_or_default();
        Ok(Rendered { json: alloc::format!("{{\"count\":{count}}}"), next: None })
    }
}

/// Answers each echo with another one.
#[derive(Debug)]
pub struct Echoes;

impl ProcessManager for Echoes {
    const SPEC: ProcessSpec = ProcessSpec { name: "Echoes", reacts_to: &[("Chaos", "Echoed")] };

    fn react(record: &Record<'_>, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let echo = Ordered::to::<Chaos>(record.aggregate_id, &ChaosCommand::Echo {})?;
        Ok(vec![Reaction::Command(echo)])
    }
}
