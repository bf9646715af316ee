//! What deciders and managers read of rows: as of the event, never of a view that is not live.
//!
//! Symptom to look for: a decision that goes by a row which is not the fold up to now. Owns a
//! domain that reads its own read model, in a decision and in two managers that react in one
//! commit.

use foldlog_core::decider::{Aggregate, AggregateSpec, CommandSpec, Decision};
use foldlog_core::driver::MemoryStore;
use foldlog_core::errors::{Code, Problem, Rejection};
use foldlog_core::fields::{Field, FieldKind};
use foldlog_core::process::{Ordered, ProcessManager, ProcessSpec, Reaction, Sight};
use foldlog_core::projection::{Page, Projection, ProjectionSpec, Rendered};
use foldlog_core::read::{Reader, Rows, Stop};
use foldlog_core::record::Record;
use foldlog_core::registry::Registry;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kit::{self, Bank, Setup, done, get, request};

/// A sum that is added to.
struct Tally;

#[derive(Serialize, Deserialize)]
enum TallyCommand {
    Add { n: u64 },
    AddTwice { n: u64 },
    AddWithin { n: u64 },
    Ask {},
    Spill {},
    Note { by: String, sum: u64 },
    NoteNow {},
}

#[derive(Serialize, Deserialize)]
enum TallyEvent {
    Added { n: u64 },
    Asked {},
    Spilled {},
    Noted { by: String, sum: u64 },
}

const ID: Field = Field { name: "tallyId", kind: FieldKind::Id, optional: false, doc: "Which" };
const N: Field =
    Field { name: "n", kind: FieldKind::Integer { min: 1 }, optional: false, doc: "How much" };

/// `AddWithin` keeps sums below this.
const WITHIN: u64 = 10;

impl Aggregate for Tally {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Tally",
        name: "tally",
        id_field: "tallyId",
        revision: 1,
        snapshot_every: 0,
        events: &["Added", "Asked", "Spilled", "Noted"],
        commands: &[
            CommandSpec::new("Add", "add", "", &[ID, N]).creating(),
            CommandSpec::new("AddTwice", "add-twice", "", &[ID, N]).creating(),
            CommandSpec::new("AddWithin", "add-within", "", &[ID, N]).creating(),
            CommandSpec::new("Ask", "ask", "", &[ID]).creating(),
            CommandSpec::new("Spill", "spill", "", &[ID]).creating(),
            CommandSpec::internal("Note", ""),
            CommandSpec::internal("NoteNow", ""),
        ],
        query_schema: "{}",
    };
    type State = u64;
    type Command = TallyCommand;
    type Event = TallyEvent;

    fn decide(
        _: Option<&u64>,
        command: &TallyCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<TallyEvent>, Rejection> {
        let id = decision.id();
        let added = |n: &u64| TallyEvent::Added { n: *n };
        Ok(match command {
            TallyCommand::Add { n } => vec![added(n)],
            TallyCommand::AddTwice { n } => vec![added(n), added(n)],
            TallyCommand::AddWithin { n } => {
                let sum = decision.row::<Sums<true>, u64>(id.as_bytes())?.unwrap_or_default();
                if sum + n >= WITHIN {
                    return Err(Problem::new(Code::LimitExceeded, format!("the sum is {sum}")));
                }
                vec![added(n)]
            }
            TallyCommand::Ask {} => vec![TallyEvent::Asked {}],
            TallyCommand::Spill {} => vec![TallyEvent::Spilled {}],
            TallyCommand::Note { by, sum } => {
                vec![TallyEvent::Noted { by: by.clone(), sum: *sum }]
            }
            TallyCommand::NoteNow {} => {
                let sum = decision.row::<Sums<true>, u64>(id.as_bytes())?.unwrap_or_default();
                vec![TallyEvent::Noted { by: "Asker".into(), sum }]
            }
        })
    }

    fn evolve(state: &mut u64, event: &TallyEvent) {
        if let TallyEvent::Added { n } = event {
            *state += n;
        }
    }

    fn show(_: &str, _: u64, state: &u64, _: &mut Reader<'_, '_>) -> Result<String, Stop> {
        Ok(format!("{{\"sum\":{state}}}"))
    }
}

/// The sum of each tally. Unless it is `SOUND`, it fails when 666 is added, or something spilled.
struct Sums<const SOUND: bool>;

impl<const SOUND: bool> Projection for Sums<SOUND> {
    const SPEC: ProjectionSpec = ProjectionSpec { name: "Sums", revision: 1, schema: "{}" };

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let key = record.aggregate_id.as_bytes();
        match record.event_of::<Tally>()? {
            Some(TallyEvent::Added { n: 666 }) if !SOUND => Err(Stop::Fault("no 666".into())),
            Some(TallyEvent::Spilled {}) if !SOUND => Err(Stop::Fault("it is wet".into())),
            Some(TallyEvent::Added { n }) => {
                let sum = rows.get::<u64>(key)?.unwrap_or_default();
                rows.put(key, &(sum + n))
            }
            _ => Ok(()),
        }
    }

    fn page(_: &mut Reader<'_, '_>, _: &Page) -> Result<Rendered, Stop> {
        Ok(Rendered { json: "{}".into(), next: None })
    }
}

/// Notes the sum after each addition: by the row, and by the state, which must agree.
fn noted(by: &str, record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
    let id = record.aggregate_id;
    let sum = sight.row::<Sums<true>, u64>(id.as_bytes())?.unwrap_or_default();
    let state = sight.state::<Tally>(id)?.map(|(_, sum)| sum);
    assert_eq!(Some(sum), state, "row and state are of one moment");
    let command = TallyCommand::Note { by: by.into(), sum };
    Ok(vec![Reaction::Command(Ordered::to::<Tally>(id, &command)?)])
}

struct First;

impl ProcessManager for First {
    const SPEC: ProcessSpec = ProcessSpec { name: "First", reacts_to: &[("Tally", "Added")] };
    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        noted("First", record, sight)
    }
}

struct Second;

impl ProcessManager for Second {
    const SPEC: ProcessSpec = ProcessSpec { name: "Second", reacts_to: &[("Tally", "Added")] };
    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        noted("Second", record, sight)
    }
}

/// Asks for a decision that reads a row.
struct Asker;

impl ProcessManager for Asker {
    const SPEC: ProcessSpec = ProcessSpec { name: "Asker", reacts_to: &[("Tally", "Asked")] };
    fn react(record: &Record<'_>, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let command = Ordered::to::<Tally>(record.aggregate_id, &TallyCommand::NoteNow {})?;
        Ok(vec![Reaction::Command(command)])
    }
}

fn tallies<const SOUND: bool>() -> Registry {
    Registry::new("test")
        .aggregate::<Tally>()
        .projection::<Sums<SOUND>>()
        .manager::<First>()
        .manager::<Second>()
        .manager::<Asker>()
}

fn setup(sound: bool) -> Setup {
    let registry = if sound { tallies::<true> } else { tallies::<false> };
    Setup { registry, ..Setup::default() }
}

fn ask(what: &str, n: u64) -> kit::OwnedRequest {
    let n = if n > 0 { format!(",\"n\":{n}") } else { String::new() };
    request("POST", &format!("/commands/{what}"), &format!(r#"{{"tallyId":"a"{n}}}"#), &[])
}

/// What was noted, in order: by whom, and which sum.
fn notes(bank: &mut Bank<MemoryStore>) -> Vec<(String, u64)> {
    let body = done(bank, get("/events/stream?type=Noted&limit=1000"));
    let events: Vec<Value> = serde_json::from_str(&body).expect("a list");
    let note = |event: &Value| {
        let by = event["data"]["by"].as_str().unwrap_or_default().to_string();
        (by, event["data"]["sum"].as_u64().unwrap_or_default())
    };
    events.iter().map(note).collect()
}

fn both(sums: &[u64]) -> Vec<(String, u64)> {
    let both = |sum: &u64| ["First", "Second"].map(|by| (by.to_string(), *sum));
    sums.iter().flat_map(both).collect()
}

#[test]
fn managers_see_rows_as_of_the_event_they_react_to() {
    // In a large cache, and in one so small that rows are read from the store.
    for row_cache_max in [64 << 20, 1 << 10] {
        let setup = Setup { row_cache_max, ..setup(false) };
        let mut bank = setup.open(MemoryStore::default());
        done(&mut bank, ask("add", 3));
        // Two events in one commit: rows as of the first are not those as of the second.
        done(&mut bank, ask("add-twice", 1));
        let batch = vec![ask("add", 10), ask("add", 20)];
        assert!(bank.run(batch).iter().all(|reply| reply.response.status == 200));
        let mut expected = both(&[3, 4, 5, 15, 35]);
        // Each event is shown to all managers before the next one is.
        assert_eq!(notes(&mut bank), expected);
        let mut bank = setup.open(bank.store().clone());
        done(&mut bank, ask("add", 1));
        expected.extend(both(&[36]));
        assert_eq!(notes(&mut bank), expected, "opened again");
        bank.checkpoint().expect("a checkpoint is stored");
        kit::assert_rows_are_the_fold(bank.store(), &setup, "after notes");
    }
}

#[test]
fn a_decision_reads_rows_as_of_the_last_commit() {
    let mut bank = setup(false).open(MemoryStore::default());
    let batch = vec![ask("add-within", 6), ask("add-within", 4), ask("add-within", 3)];
    let found: Vec<u16> = bank.run(batch).iter().map(|reply| reply.response.status).collect();
    assert_eq!(found, [201, 422, 200]);
    let (status, body) = kit::run(&mut bank, ask("add-within", 1));
    assert!(status == 422 && body.contains("the sum is 9"), "{status} {body}");
}

fn assert_restarting(bank: &mut Bank<MemoryStore>, request: kit::OwnedRequest) {
    let reply = bank.run(vec![request]).remove(0);
    let (status, body) = kit::shown(&reply);
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("urn:foldlog:restarting") && body.contains("Sums"), "{body}");
    assert_eq!(kit::header(&reply, "Retry-After"), Some("1"));
}

#[test]
fn rows_of_a_view_that_stopped_decide_nothing() {
    let mut bank = setup(false).open(MemoryStore::default());
    done(&mut bank, ask("add", 3));
    // It stops at a record of this very commit: its rows are not as of the event.
    assert_restarting(&mut bank, ask("add", 666));
    assert_eq!(notes(&mut bank), both(&[3]), "nothing of it was stored");
    done(&mut bank, ask("add", 4));
    done(&mut bank, ask("spill", 0));
    let stopped = done(&mut bank, get("/projections/Sums"));
    assert!(stopped.contains(r#""state":"faulted""#), "{stopped}");
    assert_restarting(&mut bank, ask("add", 1));
    assert_restarting(&mut bank, ask("add-within", 1));
    assert_eq!(notes(&mut bank), both(&[3, 7]));
}

#[test]
fn commands_of_the_system_wait_until_a_view_is_live() {
    let mut bank = setup(false).open(MemoryStore::default());
    done(&mut bank, ask("add", 3));
    done(&mut bank, ask("spill", 0));
    done(&mut bank, ask("ask", 0));
    bank.work();
    assert_eq!(notes(&mut bank), both(&[3]), "it waits");
    assert_eq!(bank.take_failures(), Vec::<String>::new(), "waiting is no failure");
    bank.checkpoint().expect("a checkpoint is stored");
    // With code that takes the record, and built anew, the view is live again.
    let sound = setup(true);
    let mut bank = sound.open(bank.store().clone());
    assert_eq!(notes(&mut bank), both(&[3]), "it still waits");
    done(&mut bank, request("POST", "/projections/rebuild", r#"{"name":"Sums"}"#, &[]));
    // With test stamps slices and waiting commands run when a test wakes them.
    done(&mut bank, request("POST", "/test/wake", r#"{"advanceMs":1}"#, &[]));
    let mut expected = both(&[3]);
    expected.push(("Asker".into(), 3));
    assert_eq!(notes(&mut bank), expected);
    bank.checkpoint().expect("a checkpoint is stored");
    let waiting = bank.store().rows.iter().filter(|(view, _)| view.name == "pending");
    assert_eq!(waiting.map(|(_, rows)| rows.len()).sum::<usize>(), 0);
}
