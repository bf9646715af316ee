//! A domain for tests of effects: letters, and the postman who asks for them to be brought.
//!
//! Owns no expectation.

use foldlog_core::decider::{self, Aggregate, AggregateSpec, CommandSpec, Decision};
use foldlog_core::errors::Rejection;
use foldlog_core::fields::{Field, FieldKind};
use foldlog_core::process::{
    self, Effect, Ended, Ordered, ProcessManager, ProcessSpec, Reaction, Sight,
};
use foldlog_core::read::{Reader, Stop};
use foldlog_core::record::Record;
use foldlog_core::registry::Registry;
use foldlog_core::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A letter: posted, then delivered or lost by what became of its effect.
pub struct Letter;

#[derive(Debug, Serialize, Deserialize)]
pub enum LetterCommand {
    Post { within_ms: Option<u64> },
    Deliver { attempt: u32 },
    Lose {},
}

#[derive(Debug, Serialize, Deserialize)]
pub enum LetterEvent {
    Posted { within_ms: Option<u64> },
    Delivered { attempt: u32 },
    Lost {},
}

const LETTER_ID: Field =
    Field { name: "letterId", kind: FieldKind::Id, optional: false, doc: "Which" };
const FIELDS: &[Field] = &[
    LETTER_ID,
    Field { name: "within_ms", kind: FieldKind::Integer { min: 1 }, optional: true, doc: "Until" },
];

impl Aggregate for Letter {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Letter",
        name: "letter",
        id_field: "letterId",
        revision: 1,
        snapshot_every: 0,
        events: &["Posted", "Delivered", "Lost"],
        commands: &[
            CommandSpec::new("Post", "post", "Posts it", FIELDS).creating(),
            CommandSpec::internal("Deliver", "It arrived"),
            CommandSpec::internal("Lose", "It did not"),
        ],
        query_schema: "{}",
    };
    type State = String;
    type Command = LetterCommand;
    type Event = LetterEvent;

    fn decide(
        _: Option<&String>,
        command: &LetterCommand,
        _: &mut Decision<'_>,
    ) -> Result<Vec<LetterEvent>, Rejection> {
        Ok(vec![match command {
            LetterCommand::Post { within_ms } => LetterEvent::Posted { within_ms: *within_ms },
            LetterCommand::Deliver { attempt } => LetterEvent::Delivered { attempt: *attempt },
            LetterCommand::Lose {} => LetterEvent::Lost {},
        }])
    }

    fn evolve(state: &mut String, event: &LetterEvent) {
        *state = format!("{event:?}");
    }

    fn show(_: &str, _: u64, state: &String, _: &mut Reader<'_, '_>) -> Result<String, Stop> {
        Ok(json!({ "state": state }).to_string())
    }
}

pub struct Postman;

impl ProcessManager for Postman {
    const SPEC: ProcessSpec = ProcessSpec { name: "Postman", reacts_to: &[("Letter", "Posted")] };

    fn react(record: &Record<'_>, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let posted: Value = serde_json::from_str(record.data()).expect("data is JSON");
        let within = posted["within_ms"].as_u64();
        Ok(vec![Reaction::Effect(Effect {
            kind: "letter".into(),
            target: record.aggregate_id.into(),
            data: format!("{{\"to\":\"{}\"}}", record.aggregate_id),
            deadline: within.map(|ms| Time(record.time.0 + ms)),
        })])
    }

    fn ended(ended: &Ended, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let command = match ended.error {
            None => LetterCommand::Deliver { attempt: ended.attempt },
            Some(_) => LetterCommand::Lose {},
        };
        Ok(vec![Reaction::Command(Ordered::to::<Letter>(&ended.target, &command)?)])
    }
}

pub fn letters() -> Registry {
    let mut registry = Registry::new("1.0.0");
    registry.aggregates.push(decider::erase::<Letter>());
    registry.managers.push(process::erase::<Postman>());
    registry
}
