//! A domain of the simulation's own, beside the bank: bells that ring when their time has come and
//! that have somebody called, so that timers, cancels and effects happen too.
//!
//! Owns the bell, what reacts to it, and two read models. `CODE` marks what a release wrote,
//! `REVISION` is what it says of that: a guest that shows rows of another code than its own serves
//! what it must not.

use std::cell::Cell;

use foldlog_core::decider::{Aggregate, AggregateSpec, CommandSpec, Decision};
use foldlog_core::errors::{Code, Problem, Rejection};
use foldlog_core::fields::{Field, FieldKind};
use foldlog_core::process::{
    Effect, Ended, Ordered, ProcessManager, ProcessSpec, Reaction, SYSTEM, Sight,
};
use foldlog_core::projection::{Page, Projection, ProjectionSpec, Rendered};
use foldlog_core::read::{Reader, Rows, Stop};
use foldlog_core::record::Record;
use foldlog_core::time::Time;
use serde::{Deserialize, Serialize};

/// A bell as a kind of stream.
pub struct Bell<const CODE: u32, const REVISION: u32>;

/// What can be asked of a bell.
#[derive(Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum BellCommand {
    /// Has it ring after so long.
    Wind {
        after_ms: u64,
    },
    /// Has it not ring.
    Stop {},
    /// Lets it run down: its timer comes, and finds nothing to do.
    Loosen {},
    /// Has somebody called; by then or not at all, when a time is given.
    Call {
        #[serde(default)]
        within_ms: u64,
    },
    Ring {},
    Answer {},
    GiveUp {},
}

/// What can happen to a bell.
#[derive(Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum BellEvent {
    Wound { after_ms: u64 },
    Stopped {},
    Loosened {},
    Called { within_ms: u64 },
    Rung {},
    Answered {},
    GaveUp {},
}

#[derive(Default, Serialize, Deserialize)]
pub struct BellState {
    code: u32,
    wound: bool,
    rung: u64,
}

const ID: Field = Field { name: "bellId", kind: FieldKind::Id, optional: false, doc: "Which" };
const AFTER: Field = Field {
    name: "afterMs",
    kind: FieldKind::Integer { min: 1 },
    optional: false,
    doc: "When it rings",
};
const WITHIN: Field = Field {
    name: "withinMs",
    kind: FieldKind::Integer { min: 0 },
    optional: true,
    doc: "How long it is tried",
};

impl<const CODE: u32, const REVISION: u32> Aggregate for Bell<CODE, REVISION> {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Bell",
        name: "bell",
        id_field: "bellId",
        revision: REVISION,
        snapshot_every: 3,
        events: &["Wound", "Stopped", "Loosened", "Called", "Rung", "Answered", "GaveUp"],
        commands: &[
            CommandSpec::new("Wind", "wind", "Ring later", &[ID, AFTER]).creating(),
            CommandSpec::new("Stop", "stop", "Do not ring", &[ID]).refusing(&[Code::NotFound]),
            CommandSpec::new("Loosen", "loosen", "Run down", &[ID]).refusing(&[Code::NotFound]),
            CommandSpec::new("Call", "call", "Call somebody", &[ID, WITHIN]).creating(),
            CommandSpec::internal("Ring", "Its time has come"),
            CommandSpec::internal("Answer", "Somebody came"),
            CommandSpec::internal("GiveUp", "Nobody came"),
        ],
        query_schema: r#"{"type":"object"}"#,
    };
    type State = BellState;
    type Command = BellCommand;
    type Event = BellEvent;

    fn decide(
        state: Option<&BellState>,
        command: &BellCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<BellEvent>, Rejection> {
        let wound = state.is_some_and(|state| state.wound);
        Ok(match command {
            BellCommand::Wind { after_ms } => vec![BellEvent::Wound { after_ms: *after_ms }],
            BellCommand::Call { within_ms } => vec![BellEvent::Called { within_ms: *within_ms }],
            BellCommand::Stop {} | BellCommand::Loosen {} if state.is_none() => {
                let detail = format!("there is no bell {}", decision.id());
                return Err(Problem::new(Code::NotFound, detail));
            }
            BellCommand::Stop {} if wound => vec![BellEvent::Stopped {}],
            BellCommand::Loosen {} if wound => vec![BellEvent::Loosened {}],
            BellCommand::Ring {} if wound => vec![BellEvent::Rung {}],
            BellCommand::Stop {} | BellCommand::Loosen {} | BellCommand::Ring {} => Vec::new(),
            BellCommand::Answer {} => vec![BellEvent::Answered {}],
            BellCommand::GiveUp {} => vec![BellEvent::GaveUp {}],
        })
    }

    fn evolve(state: &mut BellState, event: &BellEvent) {
        state.code = CODE;
        match event {
            BellEvent::Wound { .. } => state.wound = true,
            BellEvent::Stopped {} | BellEvent::Loosened {} => state.wound = false,
            BellEvent::Rung {} => (state.wound, state.rung) = (false, state.rung + 1),
            _ => {}
        }
    }

    fn show(
        _: &str,
        version: u64,
        state: &BellState,
        _: &mut Reader<'_, '_>,
    ) -> Result<String, Stop> {
        let BellState { code, wound, rung } = state;
        Ok(format!(r#"{{"code":{code},"wound":{wound},"rung":{rung},"version":{version}}}"#))
    }
}

/// Sets and cancels the timers of bells, and asks for calls.
pub struct Bells;

impl ProcessManager for Bells {
    const SPEC: ProcessSpec = ProcessSpec {
        name: "Bells",
        reacts_to: &[("Bell", "Wound"), ("Bell", "Stopped"), ("Bell", "Called"), ("Bell", "Rung")],
    };

    fn react(record: &Record<'_>, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let (id, now) = (record.aggregate_id, record.time.0);
        let number = |name: &str| {
            let data: serde_json::Value = serde_json::from_str(record.data()).unwrap_or_default();
            data[name].as_u64().unwrap_or_default()
        };
        let effect = |kind: &str, deadline| {
            let data = format!(r#"{{"bell":"{id}"}}"#);
            Reaction::Effect(Effect { kind: kind.into(), target: id.into(), data, deadline })
        };
        Ok(vec![match record.event_type() {
            "Wound" => Reaction::Timer {
                key: id.into(),
                due: Time(now + number("afterMs")),
                command: Ordered::to::<Bell<1, 1>>(id, &BellCommand::Ring {})?,
            },
            "Stopped" => Reaction::Cancel { key: id.into() },
            "Called" => {
                let within = number("withinMs");
                effect("call", (within > 0).then(|| Time(now + within)))
            }
            _ => effect("ring", None),
        }])
    }

    fn ended(ended: &Ended, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        if ended.kind != "call" {
            return Ok(Vec::new());
        }
        let command =
            if ended.error.is_none() { BellCommand::Answer {} } else { BellCommand::GiveUp {} };
        Ok(vec![Reaction::Command(Ordered::to::<Bell<1, 1>>(&ended.target, &command)?)])
    }
}

/// How many events each stream has and where its last one is.
pub struct Book<const CODE: u32, const REVISION: u32>;

impl<const CODE: u32, const REVISION: u32> Projection for Book<CODE, REVISION> {
    const SPEC: ProjectionSpec =
        ProjectionSpec { name: "Book", revision: REVISION, schema: r#"{"type":"object"}"# };

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        if record.aggregate_type == SYSTEM {
            return Ok(());
        }
        let key = record.aggregate_id.as_bytes();
        let (_, count, _) = rows.get::<(u32, u64, u64)>(key)?.unwrap_or_default();
        rows.put(key, &(CODE, count + 1, record.position))
    }

    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        let after = page.after.as_deref().unwrap_or_default();
        let rows = reader.range::<(u32, u64, u64)>(b"", after.as_bytes(), page.limit)?;
        let shown = rows.iter().map(|(key, (code, count, last))| {
            format!(r#""{}":[{code},{count},{last}]"#, String::from_utf8_lossy(key))
        });
        let json = format!("{{{}}}", shown.collect::<Vec<_>>().join(","));
        Ok(Rendered { json, next: None })
    }
}

/// How many events there are of each type: only some guests have it.
pub struct Types;

impl Projection for Types {
    const SPEC: ProjectionSpec =
        ProjectionSpec { name: "Types", revision: 1, schema: r#"{"type":"object"}"# };

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let key = record.event_type().as_bytes();
        let count = rows.get::<u64>(key)?.unwrap_or_default();
        rows.put(key, &(count + 1))
    }

    fn page(reader: &mut Reader<'_, '_>, _: &Page) -> Result<Rendered, Stop> {
        let rows = reader.range::<u64>(b"", b"", 100)?;
        let shown = rows
            .iter()
            .map(|(key, count)| format!(r#""{}":{count}"#, String::from_utf8_lossy(key)));
        let json = format!("{{{}}}", shown.collect::<Vec<_>>().join(","));
        Ok(Rendered { json, next: None })
    }
}

/// Where a projection trapped: which of the registry's, at which position.
pub struct Trapped(pub u64, pub u64);

thread_local! {
    /// A projection of this thread traps when it has taken so many records in.
    static FUSE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Has a projection trap after so many records; or none at all.
pub fn set_fuse(records: Option<u64>) {
    FUSE.set(records);
}

/// The same read model, in this place of a registry, that traps when its fuse is down.
pub struct Fused<P, const INDEX: u64>(std::marker::PhantomData<P>);

impl<P: Projection, const INDEX: u64> Projection for Fused<P, INDEX> {
    const SPEC: ProjectionSpec = P::SPEC;

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        match FUSE.get() {
            // Not a panic: nothing is printed.
            Some(0) => std::panic::resume_unwind(Box::new(Trapped(INDEX, record.position))),
            Some(left) => FUSE.set(Some(left - 1)),
            None => {}
        }
        P::apply(record, rows)
    }

    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        P::page(reader, page)
    }
}
