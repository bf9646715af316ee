//! Upcasters: how this module reads what older modules recorded.
//!
//! Owns the steps from one major version of a payload to the next, and how they are chained: what
//! was recorded at 1 passes 1 → 2 → 3 before it is decoded. Steps are pure functions on JSON values,
//! so they need no type of an older version. Refuses to know where payloads are kept: what is
//! stored is never rewritten, only read anew.
//!
//! Invariant: what is at the current version is handed on as it is, without a look at it.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::decider::{AggregateSpec, AnyAggregate, CommandSpec};
use crate::json::Json;

/// What a step takes: the data of an event type, or the payload of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event's data.
    Event,
    /// A command's payload.
    Command,
}

/// One step: a payload of one major version becomes one of the next. `Err` says why it can not,
/// for people.
pub type Step = fn(Json) -> Result<Json, String>;

/// A step, and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Upcast {
    kind: Kind,
    name: &'static str,
    from: u32,
    step: Step,
}

/// Why recorded data can not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unreadable {
    /// No event or command of this name is known here.
    Unknown,
    /// It has a version that is not known here: a newer module recorded it.
    Newer,
    /// A step failed, or what came of it does not fit.
    Failed(String),
}

impl Upcast {
    /// A step for the data of an event type, from major `from` to the next.
    pub const fn event(event_type: &'static str, from: u32, step: Step) -> Self {
        Self { kind: Kind::Event, name: event_type, from, step }
    }

    /// A step for the payload of a command, from version `from` to the next.
    pub const fn command(command: &'static str, from: u32, step: Step) -> Self {
        Self { kind: Kind::Command, name: command, from, step }
    }

    fn is_for(&self, kind: Kind, name: &str) -> bool {
        self.kind == kind && self.name == name
    }
}

/// The version that is current: one beyond the last step.
pub fn current(steps: &[Upcast], kind: Kind, name: &str) -> u32 {
    let own = steps.iter().filter(|step| step.is_for(kind, name));
    own.map(|step| step.from.saturating_add(1)).max().unwrap_or(1)
}

/// The major of a schema version: `2` of `2.1.0`.
pub fn major(schema_version: &str) -> Option<u32> {
    schema_version.split('.').next()?.parse().ok()
}

/// The schema version that a new event states: none while it is the first.
pub fn stated(steps: &[Upcast], event_type: &str) -> Option<String> {
    if steps.is_empty() {
        return None;
    }
    let major = current(steps, Kind::Event, event_type);
    (major > 1).then(|| format!("{major}.0.0"))
}

/// Data of a version as data of the current one; borrowed when it is.
pub fn lift<'d>(
    steps: &[Upcast],
    kind: Kind,
    name: &str,
    version: u32,
    data: &'d str,
) -> Result<Cow<'d, str>, Unreadable> {
    let current = current(steps, kind, name);
    match version {
        _ if version == current => Ok(Cow::Borrowed(data)),
        _ if version > current => Err(Unreadable::Newer),
        _ => lift_to(steps, kind, name, version..current, data).map(Cow::Owned),
    }
}

/// The same from the start of a range of versions to its end.
pub(crate) fn lift_to(
    steps: &[Upcast],
    kind: Kind,
    name: &str,
    versions: core::ops::Range<u32>,
    data: &str,
) -> Result<String, Unreadable> {
    let failed = |from: u32, why: &str| {
        Unreadable::Failed(format!("from version {from} to {}: {why}", from.saturating_add(1)))
    };
    let start = versions.start;
    let mut json = Json::parse(data).ok_or_else(|| failed(start, "it is no JSON value"))?;
    for from in versions {
        let mut own = steps.iter().filter(|step| step.is_for(kind, name));
        let step = own.find(|step| step.from == from);
        let step = step.ok_or_else(|| failed(from, "there is no upcaster"))?;
        json = (step.step)(json).map_err(|why| failed(from, &why))?;
    }
    Ok(json.to_string())
}

/// A command that was recorded with this version: its
/// specification, and its payload as of now. For commands of the system that wait, and for deciding recorded commands again.
pub fn command<'d>(
    aggregate: &dyn AnyAggregate,
    name: &str,
    version: u32,
    data: &'d str,
) -> Result<(&'static CommandSpec, Cow<'d, str>), Unreadable> {
    let mut commands = aggregate.spec().commands.iter();
    let spec = commands.find(|found| found.name == name).ok_or(Unreadable::Unknown)?;
    let data = lift(aggregate.upcasts(), Kind::Command, name, version, data)?;
    Ok((spec, data))
}

/// Says what is wrong with an aggregate's steps: a name that is not its own, a gap, a command
/// whose stated version is another.
pub fn check(spec: &AggregateSpec, steps: &[Upcast]) -> Result<(), String> {
    let of = spec.aggregate_type;
    for step in steps {
        let (what, known) = match step.kind {
            Kind::Event => ("event", spec.events.contains(&step.name)),
            Kind::Command => {
                ("command", spec.commands.iter().any(|command| command.name == step.name))
            }
        };
        let (name, from) = (step.name, step.from);
        if !known {
            return Err(format!(
                "{of}: an upcaster is for the {what} `{name}`, which is not there"
            ));
        }
        let same = steps.iter().filter(|other| other.is_for(step.kind, name));
        let count = |from: u32| same.clone().filter(|other| other.from == from).count();
        if from == 0 || count(from) > 1 || (from > 1 && count(from.saturating_sub(1)) == 0) {
            return Err(format!(
                "{of}: the upcasters of {what} `{name}` must lead from 1 on, one for each version; \
                 from {from} is one too many or follows none"
            ));
        }
    }
    for command in spec.commands {
        let current = current(steps, Kind::Command, command.name);
        if command.version != current {
            let (name, version) = (command.name, command.version);
            return Err(format!(
                "{of}: the command `{name}` has version {version}, its upcasters lead to {current}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::vec::Vec;

    fn renamed(mut json: Json) -> Result<Json, String> {
        if json.rename("sum", "amount") { Ok(json) } else { Err("there is no sum".to_owned()) }
    }

    fn with_currency(mut json: Json) -> Result<Json, String> {
        json.set("currency", Json::text("EUR"));
        Ok(json)
    }

    const STEPS: &[Upcast] = &[
        Upcast::event("Paid", 2, with_currency),
        Upcast::event("Paid", 1, renamed),
        Upcast::command("Pay", 1, renamed),
    ];

    fn paid(version: u32, data: &str) -> Result<Cow<'_, str>, Unreadable> {
        lift(STEPS, Kind::Event, "Paid", version, data)
    }

    #[test]
    fn steps_are_chained_and_keep_tokens() {
        let lifted = paid(1, r#"{"sum":9007199254740991,"rate":1.50}"#).expect("lifts");
        assert_eq!(lifted, r#"{"amount":9007199254740991,"rate":1.50,"currency":"EUR"}"#);
        assert_eq!(paid(2, "{}").expect("lifts"), r#"{"currency":"EUR"}"#);
        // What is current is not even parsed.
        assert!(matches!(paid(3, "not JSON"), Ok(Cow::Borrowed("not JSON"))));
        assert_eq!(paid(4, "{}"), Err(Unreadable::Newer));
        assert_eq!(lift(STEPS, Kind::Command, "Paid", 1, "x"), Ok(Cow::Borrowed("x")));
        let failed = "from version 1 to 2: there is no sum".to_owned();
        assert_eq!(paid(1, "{}"), Err(Unreadable::Failed(failed)));
        assert!(matches!(paid(1, "{"), Err(Unreadable::Failed(_))));
        assert!(matches!(paid(0, "{}"), Err(Unreadable::Failed(_))), "there is no version 0");
    }

    #[test]
    fn majors_are_read_and_written() {
        for (text, expected) in
            [("1.0.0", Some(1)), ("2.7.1", Some(2)), ("3", Some(3)), ("", None), ("x.0.0", None)]
        {
            assert_eq!(major(text), expected, "{text}");
        }
        assert_eq!(stated(STEPS, "Paid").as_deref(), Some("3.0.0"));
        assert_eq!(stated(STEPS, "Pay"), None, "a command's steps are not an event's");
        assert_eq!(stated(&[], "Paid"), None);
    }

    fn spec(version: u32) -> AggregateSpec {
        let command = CommandSpec { version, ..CommandSpec::new("Pay", "pay", "Pays", &[]) };
        AggregateSpec {
            aggregate_type: "Bill",
            name: "bill",
            id_field: "billId",
            revision: 1,
            snapshot_every: 0,
            events: &["Paid"],
            commands: Vec::leak(Vec::from([command])),
            query_schema: "{}",
        }
    }

    #[test]
    fn steps_lead_from_the_first_version_to_the_stated_one() {
        assert_eq!(check(&spec(2), STEPS), Ok(()));
        assert_eq!(check(&spec(1), &[]), Ok(()));
        for (version, steps, says) in [
            (1, STEPS, "`Pay` has version 1, its upcasters lead to 2"),
            (2, &[] as &[Upcast], "`Pay` has version 2, its upcasters lead to 1"),
            (1, &[Upcast::event("Sold", 1, renamed)], "the event `Sold`, which is not there"),
            (1, &[Upcast::command("Sell", 1, renamed)], "the command `Sell`, which is not there"),
            (1, &[Upcast::event("Paid", 2, renamed)], "event `Paid` must lead from 1 on"),
            (1, &[Upcast::event("Paid", 0, renamed)], "event `Paid` must lead from 1 on"),
            (1, &[Upcast::event("Paid", 1, renamed); 2], "event `Paid` must lead from 1 on"),
        ] {
            let said = check(&spec(version), steps).expect_err(says);
            assert!(said.contains(says) && said.starts_with("Bill: "), "{said}");
        }
    }
}
