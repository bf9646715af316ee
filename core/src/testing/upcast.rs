//! Upcasters: given what an older module recorded, then what this one reads.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::marker::PhantomData;

use super::difference;
use crate::decider::Aggregate;
use crate::json::{self, Json};
use crate::tagged;
use crate::upcast::{self, Kind, Unreadable};

/// Something recorded, and what it is brought to.
#[derive(Debug)]
#[must_use = "an upcaster proves nothing until `to` looks at what it made"]
pub struct Upcasting<A> {
    kind: Kind,
    name: String,
    from: u32,
    data: String,
    aggregate: PhantomData<A>,
}

/// Data of an event of this type, recorded at this major version of its schema.
#[track_caller]
pub fn upcast<A: Aggregate>(event_type: &str, from: u32, data: &str) -> Upcasting<A> {
    assert!(A::SPEC.events.contains(&event_type), "there is no event `{event_type}`");
    recorded(Kind::Event, event_type, from, data)
}

/// Payload of a command, recorded at this version.
#[track_caller]
pub fn upcast_command<A: Aggregate>(command: &str, from: u32, data: &str) -> Upcasting<A> {
    let mut commands = A::SPEC.commands.iter();
    assert!(commands.any(|known| known.name == command), "there is no command `{command}`");
    recorded(Kind::Command, command, from, data)
}

#[track_caller]
fn recorded<A>(kind: Kind, name: &str, from: u32, data: &str) -> Upcasting<A> {
    Upcasting { kind, name: name.into(), from, data: minified(data), aggregate: PhantomData }
}

#[track_caller]
fn minified(text: &str) -> String {
    json::minify(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

impl<A: Aggregate> Upcasting<A> {
    /// It becomes this, member by member and token by token. What is current also has to be one of
    /// the aggregate's events or commands.
    #[track_caller]
    pub fn to(self, version: u32, expected: &str) {
        let found = self.lifted(version).unwrap_or_else(|why| panic!("{}: {why}", self.told()));
        let (wanted, got) = (lines(&minified(expected)), lines(&found));
        if wanted != got {
            panic!("{} became something else\n{}", self.told(), difference(&wanted, &got));
        }
        if version == upcast::current(A::UPCASTS, self.kind, &self.name) {
            let decoded = match self.kind {
                Kind::Event => tagged::read::<A::Event>(&self.name, &found).map(drop),
                Kind::Command => tagged::read::<A::Command>(&self.name, &found).map(drop),
            };
            decoded.unwrap_or_else(|e| panic!("{} does not fit: {e}\n{found}", self.told()));
        }
    }

    /// It can not be brought to the current version, for a reason that says this.
    #[track_caller]
    pub fn fails(self, why: &str) {
        let current = upcast::current(A::UPCASTS, self.kind, &self.name);
        match self.lifted(current) {
            Err(found) if found.contains(why) => {}
            Err(found) => panic!("{} fails otherwise\n  - {why}\n  + {found}", self.told()),
            Ok(found) => panic!("{} does not fail: {found}", self.told()),
        }
    }

    fn told(&self) -> String {
        format!("`{}` of version {}", self.name, self.from)
    }

    fn lifted(&self, to: u32) -> Result<String, String> {
        let current = upcast::current(A::UPCASTS, self.kind, &self.name);
        if to > current {
            return Err(format!("version {current} is the newest there is, not {to}"));
        }
        let lifted = upcast::lift_to(A::UPCASTS, self.kind, &self.name, self.from..to, &self.data);
        lifted.map_err(|why| match why {
            Unreadable::Failed(why) => why,
            why => format!("{why:?}"),
        })
    }
}

/// One line for each leaf, `path: token`, ordered by path.
fn lines(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    match Json::parse(text) {
        Some(json) => leaves(&json, "", &mut out),
        None => out.push(text.to_string()),
    }
    out.sort_unstable();
    out
}

fn leaves(json: &Json, path: &str, out: &mut Vec<String>) {
    match json {
        Json::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                leaves(value, &format!("{path}/{name}"), out);
            }
        }
        Json::Array(all) if !all.is_empty() => {
            for (index, value) in all.iter().enumerate() {
                leaves(value, &format!("{path}/{index}"), out);
            }
        }
        leaf => out.push(format!("{path}: {leaf}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::{AggregateSpec, CommandSpec, Decision};
    use crate::errors::Rejection;
    use crate::read::{Reader, Stop};
    use crate::upcast::Upcast;
    use serde::{Deserialize, Serialize};

    struct Bill;

    #[derive(Serialize, Deserialize)]
    enum BillEvent {
        Paid { amount: u64, currency: String },
    }

    #[derive(Deserialize)]
    enum BillCommand {
        Pay { amount: u64 },
    }

    fn renamed(mut json: Json) -> Result<Json, String> {
        if json.rename("sum", "amount") { Ok(json) } else { Err("there is no sum".into()) }
    }

    fn in_euros(mut json: Json) -> Result<Json, String> {
        json.set("currency", Json::text("EUR"));
        Ok(json)
    }

    const PAY: CommandSpec = CommandSpec::new("Pay", "pay", "Pays", &[]);

    impl Aggregate for Bill {
        const SPEC: AggregateSpec = AggregateSpec {
            aggregate_type: "Bill",
            name: "bill",
            id_field: "billId",
            revision: 1,
            snapshot_every: 0,
            events: &["Paid"],
            commands: &[CommandSpec { version: 2, ..PAY }],
            query_schema: "{}",
        };
        const UPCASTS: &'static [Upcast] = &[
            Upcast::event("Paid", 1, renamed),
            Upcast::event("Paid", 2, in_euros),
            Upcast::command("Pay", 1, renamed),
        ];
        type State = u64;
        type Command = BillCommand;
        type Event = BillEvent;

        fn decide(
            _: Option<&u64>,
            command: &BillCommand,
            _: &mut Decision<'_>,
        ) -> Result<Vec<BillEvent>, Rejection> {
            let BillCommand::Pay { amount } = *command;
            Ok(alloc::vec![BillEvent::Paid { amount, currency: "EUR".into() }])
        }

        fn evolve(state: &mut u64, event: &BillEvent) {
            let BillEvent::Paid { amount, .. } = event;
            *state = state.saturating_add(*amount);
        }

        fn show(_: &str, _: u64, state: &u64, _: &mut Reader<'_, '_>) -> Result<String, Stop> {
            Ok(state.to_string())
        }
    }

    #[test]
    fn each_step_and_all_of_them() {
        upcast::<Bill>("Paid", 1, r#"{"sum": 5, "rate": 1.50}"#)
            .to(2, r#"{"rate": 1.50, "amount": 5}"#);
        upcast::<Bill>("Paid", 1, r#"{"sum":5}"#).to(3, r#"{"amount":5,"currency":"EUR"}"#);
        upcast::<Bill>("Paid", 2, r#"{"amount":5}"#).to(3, r#"{"amount":5,"currency":"EUR"}"#);
        upcast::<Bill>("Paid", 1, "{}").fails("there is no sum");
        upcast_command::<Bill>("Pay", 1, r#"{"sum":5}"#).to(2, r#"{"amount":5}"#);
    }

    /// A number token that only looks the same is another one.
    #[test]
    #[should_panic = "`Paid` of version 1 became something else
  - /amount: 5.0
  + /amount: 5
    /currency: \"EUR\"
"]
    fn a_difference_is_shown_member_by_member() {
        upcast::<Bill>("Paid", 1, r#"{"sum":5}"#).to(3, r#"{"currency":"EUR","amount":5.0}"#);
    }

    #[test]
    #[should_panic = "does not fit: invalid type"]
    fn what_is_current_has_to_be_an_event() {
        upcast::<Bill>("Paid", 2, r#"{"amount":"5"}"#).to(3, r#"{"amount":"5","currency":"EUR"}"#);
    }

    #[test]
    #[should_panic = "there is no event `Sold`"]
    fn a_name_that_is_none_is_told() {
        upcast::<Bill>("Sold", 1, "{}").fails("");
    }
}
