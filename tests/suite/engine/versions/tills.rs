//! A domain that changes: tills of a shop, as three modules in a row know them.
//!
//! The first records sums; the second calls them amounts and knows a currency; between the two was
//! one that only renamed, whose events nobody has any more. The third is the second, but can not
//! read a sum of 666. All else is the same on purpose.

use foldlog_core::decider::{Aggregate, AggregateSpec, CommandKind, CommandSpec, Decision};
use foldlog_core::errors::{Code, Problem, Rejection};
use foldlog_core::fields::{Field, FieldKind};
use foldlog_core::json::Json;
use foldlog_core::process::{Ordered, ProcessManager, ProcessSpec, Reaction, Sight};
use foldlog_core::projection::{Page, Projection, ProjectionSpec, Rendered};
use foldlog_core::read::{Reader, Rows, Stop};
use foldlog_core::record::Record;
use foldlog_core::registry::Registry;
use foldlog_core::time::Time;
use foldlog_core::upcast::Upcast;
use serde::{Deserialize, Serialize};

const ID: Field = Field { name: "tillId", kind: FieldKind::Id, optional: false, doc: "Which" };
const SUM: Field =
    Field { name: "sum", kind: FieldKind::Integer { min: 1 }, optional: false, doc: "How much" };
const AMOUNT: Field = Field { name: "amount", ..SUM };
const FROM: Field = Field { name: "from", optional: true, ..ID };

const fn ring(fields: &'static [Field], version: u32) -> CommandSpec {
    CommandSpec { version, creates: true, ..CommandSpec::new("Ring", "ring", "Rings", fields) }
}

const fn audit(version: u32) -> CommandSpec {
    let audit = CommandSpec::internal("Audit", "Audits");
    CommandSpec { version, kind: CommandKind::Internal, ..audit }
}

const fn spec(
    revision: u32,
    events: &'static [&'static str],
    commands: &'static [CommandSpec],
) -> AggregateSpec {
    AggregateSpec {
        aggregate_type: "Till",
        name: "till",
        id_field: "tillId",
        revision,
        snapshot_every: 4,
        events,
        commands,
        query_schema: "{}",
    }
}

/// An hour after it rang, a till is audited.
fn audited_later(
    record: &Record<'_>,
    command: Result<Ordered, Stop>,
) -> Result<Vec<Reaction>, Stop> {
    let key = record.aggregate_id.to_string();
    let due = Time(record.time.0 + 3_600_000);
    Ok(vec![Reaction::Timer { key, due, command: command? }])
}

const AUDITS: ProcessSpec = ProcessSpec { name: "Audits", reacts_to: &[("Till", "Rung")] };

/// The first module.
pub mod one {
    use super::*;

    pub struct Till;
    pub struct Takings;
    pub struct Audits;

    #[derive(Serialize, Deserialize)]
    pub enum TillCommand {
        Ring { sum: u64 },
        Audit {},
    }

    #[derive(Serialize, Deserialize)]
    pub enum TillEvent {
        Rung { sum: u64 },
        Audited {},
    }

    impl Aggregate for Till {
        const SPEC: AggregateSpec = spec(1, &["Rung", "Audited"], &[ring(&[ID, SUM], 1), audit(1)]);
        /// Total, and audits.
        type State = (u64, u64);
        type Command = TillCommand;
        type Event = TillEvent;

        fn decide(
            _: Option<&(u64, u64)>,
            command: &TillCommand,
            _: &mut Decision<'_>,
        ) -> Result<Vec<TillEvent>, Rejection> {
            Ok(vec![match command {
                TillCommand::Ring { sum } => TillEvent::Rung { sum: *sum },
                TillCommand::Audit {} => TillEvent::Audited {},
            }])
        }

        fn evolve(state: &mut (u64, u64), event: &TillEvent) {
            match event {
                TillEvent::Rung { sum } => state.0 += sum,
                TillEvent::Audited {} => state.1 += 1,
            }
        }

        fn show(
            _: &str,
            v: u64,
            state: &(u64, u64),
            _: &mut Reader<'_, '_>,
        ) -> Result<String, Stop> {
            Ok(format!(r#"{{"module":1,"version":{v},"total":{},"audits":{}}}"#, state.0, state.1))
        }
    }

    impl Projection for Takings {
        const SPEC: ProjectionSpec = ProjectionSpec { name: "Takings", revision: 1, schema: "{}" };

        fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
            let Some(TillEvent::Rung { sum }) = record.event_of::<Till>()? else { return Ok(()) };
            let total = rows.get::<u64>(b"total")?.unwrap_or_default();
            rows.put(b"total", &(total + sum))
        }

        fn page(reader: &mut Reader<'_, '_>, _: &Page) -> Result<Rendered, Stop> {
            let total = reader.get::<u64>(b"total")?.unwrap_or_default();
            Ok(Rendered { json: format!(r#"{{"module":1,"total":{total}}}"#), next: None })
        }
    }

    impl ProcessManager for Audits {
        const SPEC: ProcessSpec = AUDITS;

        fn react(record: &Record<'_>, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
            audited_later(record, Ordered::to::<Till>(record.aggregate_id, &TillCommand::Audit {}))
        }
    }
}

/// The second module.
pub mod two {
    use super::*;

    pub struct Till;
    pub struct Takings;
    pub struct Audits;

    #[derive(Serialize, Deserialize)]
    pub enum TillCommand {
        Ring {
            amount: u64,
        },
        /// Out of another till too; of one cent, without a look at that.
        Refund {
            amount: u64,
            #[serde(default)]
            from: Option<String>,
        },
        Audit {
            by: String,
        },
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub enum TillEvent {
        Rung {
            amount: u64,
            currency: String,
        },
        Audited {
            #[serde(default)]
            by: String,
        },
        Refunded {
            amount: u64,
        },
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct TillState {
        total: u64,
        auditors: String,
    }

    pub(super) fn renamed(mut data: Json) -> Result<Json, String> {
        if data.rename("sum", "amount") { Ok(data) } else { Err("there is no sum".into()) }
    }

    pub(super) fn in_euros(mut data: Json) -> Result<Json, String> {
        data.set("currency", Json::text("EUR"));
        Ok(data)
    }

    pub(super) fn by_nobody(mut data: Json) -> Result<Json, String> {
        data.set("by", Json::text("nobody"));
        Ok(data)
    }

    impl Aggregate for Till {
        const SPEC: AggregateSpec = spec(
            2,
            &["Rung", "Audited", "Refunded"],
            &[
                ring(&[ID, AMOUNT], 2),
                CommandSpec::new("Refund", "refund", "Refunds", &[ID, AMOUNT, FROM]),
                audit(2),
            ],
        );
        const UPCASTS: &'static [Upcast] = &[
            Upcast::event("Rung", 1, renamed),
            Upcast::event("Rung", 2, in_euros),
            Upcast::command("Ring", 1, renamed),
            Upcast::command("Audit", 1, by_nobody),
        ];
        type State = TillState;
        type Command = TillCommand;
        type Event = TillEvent;

        fn decide(
            _: Option<&TillState>,
            command: &TillCommand,
            decision: &mut Decision<'_>,
        ) -> Result<Vec<TillEvent>, Rejection> {
            Ok(vec![match command {
                TillCommand::Ring { amount } => {
                    TillEvent::Rung { amount: *amount, currency: "EUR".into() }
                }
                TillCommand::Refund { amount, from } => {
                    let refunded = || TillEvent::Refunded { amount: *amount };
                    if let Some(from) = from {
                        if *amount > 1 && decision.state::<Self>(from)?.is_none() {
                            return Err(Problem::new(Code::NotFound, format!("no till {from}")));
                        }
                        decision.append::<Self>(from, &refunded());
                    }
                    refunded()
                }
                TillCommand::Audit { by } => TillEvent::Audited { by: by.clone() },
            }])
        }

        fn evolve(state: &mut TillState, event: &TillEvent) {
            match event {
                TillEvent::Rung { amount, .. } => state.total += amount,
                TillEvent::Refunded { amount } => {
                    state.total = state.total.saturating_sub(*amount);
                }
                TillEvent::Audited { by } => state.auditors.push_str(&format!("{by};")),
            }
        }

        fn show(
            _: &str,
            v: u64,
            state: &TillState,
            _: &mut Reader<'_, '_>,
        ) -> Result<String, Stop> {
            let TillState { total, auditors } = state;
            Ok(format!(r#"{{"module":2,"version":{v},"total":{total},"auditors":"{auditors}"}}"#))
        }
    }

    impl Projection for Takings {
        const SPEC: ProjectionSpec = ProjectionSpec { name: "Takings", revision: 2, schema: "{}" };

        fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
            let (currency, change) = match record.event_of::<Till>()? {
                Some(TillEvent::Rung { amount, currency }) => (currency.as_str(), *amount as i64),
                Some(TillEvent::Refunded { amount }) => ("EUR", -(*amount as i64)),
                _ => return Ok(()),
            };
            let total = rows.get::<i64>(currency.as_bytes())?.unwrap_or_default();
            rows.put(currency.as_bytes(), &(total + change))
        }

        fn page(reader: &mut Reader<'_, '_>, _: &Page) -> Result<Rendered, Stop> {
            let total = reader.get::<i64>(b"EUR")?.unwrap_or_default();
            Ok(Rendered { json: format!(r#"{{"module":2,"EUR":{total}}}"#), next: None })
        }
    }

    impl ProcessManager for Audits {
        const SPEC: ProcessSpec = AUDITS;

        fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
            let id = record.aggregate_id;
            // Rows are as of the event: the till has at least what just rang.
            let total = sight.state::<Till>(id)?.map(|(_, state)| state.total);
            let by = format!("two at {}", total.unwrap_or_default());
            audited_later(record, Ordered::to::<Till>(id, &TillCommand::Audit { by }))
        }
    }
}

/// The third module: the second, with an upcaster that fails.
pub mod three {
    use super::two::{Audits, TillEvent, TillState, by_nobody, in_euros, renamed};
    use super::*;

    pub use super::two::TillCommand;

    pub struct Till;
    pub struct Takings;

    fn picky(data: Json) -> Result<Json, String> {
        match data.get("sum").and_then(Json::as_number) {
            Some(666) => Err("a sum of 666 is no sum".into()),
            _ => renamed(data),
        }
    }

    impl Aggregate for Till {
        const SPEC: AggregateSpec = AggregateSpec { revision: 3, ..super::two::Till::SPEC };
        const UPCASTS: &'static [Upcast] = &[
            Upcast::event("Rung", 1, picky),
            Upcast::event("Rung", 2, in_euros),
            Upcast::command("Ring", 1, renamed),
            Upcast::command("Audit", 1, by_nobody),
        ];
        type State = TillState;
        type Command = TillCommand;
        type Event = TillEvent;

        fn decide(
            state: Option<&TillState>,
            command: &TillCommand,
            decision: &mut Decision<'_>,
        ) -> Result<Vec<TillEvent>, Rejection> {
            super::two::Till::decide(state, command, decision)
        }

        fn evolve(state: &mut TillState, event: &TillEvent) {
            super::two::Till::evolve(state, event);
        }

        fn show(
            id: &str,
            version: u64,
            state: &TillState,
            reader: &mut Reader<'_, '_>,
        ) -> Result<String, Stop> {
            super::two::Till::show(id, version, state, reader)
        }
    }

    impl Projection for Takings {
        const SPEC: ProjectionSpec = ProjectionSpec { name: "Takings", revision: 3, schema: "{}" };

        fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
            let Some(TillEvent::Rung { amount, .. }) = record.event_of::<Till>()? else {
                return Ok(());
            };
            let total = rows.get::<i64>(b"EUR")?.unwrap_or_default();
            rows.put(b"EUR", &(total + *amount as i64))
        }

        fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
            super::two::Takings::page(reader, page)
        }
    }

    pub fn registry() -> Registry {
        Registry::new("3.0.0").aggregate::<Till>().projection::<Takings>().manager::<Audits>()
    }
}

/// The first module.
pub fn first() -> Registry {
    Registry::new("1.0.0")
        .aggregate::<one::Till>()
        .projection::<one::Takings>()
        .manager::<one::Audits>()
}

/// The second.
pub fn second() -> Registry {
    Registry::new("2.0.0")
        .aggregate::<two::Till>()
        .projection::<two::Takings>()
        .manager::<two::Audits>()
}
