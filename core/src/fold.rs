//! Folding records with a function of one's own: a reducer over a log, without an engine.
//!
//! Owns the walk over records, and reading them from export lines. Refuses to check the chain:
//! whoever reads a log from elsewhere does that first, with [`crate::chain::Chain`].

use alloc::format;
use alloc::vec::Vec;

use crate::commit::Commit;
use crate::read::{Stop, with_records};
use crate::record::{Decoded, Record};
use crate::time::Time;

/// What comes of `init` when `f` has seen every record, in order: `f` gets the value so far and
/// the record, and returns the next value.
///
/// The state of one execution, from an export, as a reducer of one's own sees it:
///
/// ```
/// use foldlog_core::fold::{Records, fold};
///
/// #[derive(Debug, Default, PartialEq)]
/// struct Execution {
///     status: String,
///     transition_count: u64,
///     state_history: Vec<(String, String, u64)>,
/// }
///
/// #[derive(serde::Deserialize)]
/// struct StateChanged {
///     from: String,
///     to: String,
/// }
///
/// let export = concat!(
///     r#"{"position":1,"time":"2026-01-01T00:00:01.000Z","events":[{"type":"execution.created","#,
///     r#""stream":"Execution:x-1","version":1,"data":{"executionId":"x-1"}}],"hash":"00"}"#, "\n",
///     r#"{"position":2,"time":"2026-01-01T00:00:02.000Z","actor":"user-123","events":[{"#,
///     r#""type":"execution.state.changed","stream":"Execution:x-1","version":2,"data":{"from":"PENDING","#,
///     r#""to":"RUNNING","event":"execute","reason":"Starting"}}],"hash":"00"}"#, "\n",
///     r#"{"position":3,"time":"2026-01-01T00:00:03.000Z","events":[{"type":"execution.created","#,
///     r#""stream":"Execution:x-2","version":1,"data":{"executionId":"x-2"}}],"hash":"00"}"#, "\n",
///     r#"{"position":4,"time":"2026-01-01T00:00:04.000Z","events":[{"#,
///     r#""type":"execution.state.changed","stream":"Execution:x-1","version":3,"data":{"#,
///     r#""from":"RUNNING","to":"SUCCEEDED","event":"succeed"}}],"hash":"00"}"#, "\n",
/// );
/// let records = Records::read(export.lines())?;
/// let of_one = records.iter().filter(|record| record.event.stream == "Execution:x-1");
/// let to_sequence = |version: u64| of_one.clone().filter(move |r| r.event.version <= version);
///
/// let reducer = |mut execution: Execution, record: foldlog_core::record::Record<'_>| {
///     match record.event_type() {
///         "execution.created" => execution.status = "PENDING".into(),
///         "execution.state.changed" => {
///             let changed: StateChanged = serde_json::from_str(record.data()).expect("its data");
///             execution.status.clone_from(&changed.to);
///             execution.transition_count += 1;
///             execution.state_history.push((changed.from, changed.to, record.event.version));
///         }
///         _ => {}
///     }
///     execution
/// };
/// let execution = fold(of_one.clone(), Execution::default(), reducer);
/// assert_eq!((execution.status.as_str(), execution.transition_count), ("SUCCEEDED", 2));
/// assert_eq!(execution.state_history[1], ("RUNNING".into(), "SUCCEEDED".into(), 3));
///
/// let then = fold(to_sequence(2), Execution::default(), reducer);
/// assert_eq!((then.status.as_str(), then.transition_count), ("RUNNING", 1));
/// # Ok::<(), foldlog_core::read::Stop>(())
/// ```
pub fn fold<'r, S>(
    records: impl IntoIterator<Item = Record<'r>>,
    init: S,
    f: impl FnMut(S, Record<'r>) -> S,
) -> S {
    records.into_iter().fold(init, f)
}

/// The same over export lines, one at a time: for logs that do not fit in memory.
///
/// ```
/// use foldlog_core::fold::fold_lines;
///
/// let export = concat!(
///     r#"{"position":1,"time":"2026-01-01T00:00:01.000Z","events":[{"type":"MoneyDeposited","#,
///     r#""stream":"BankAccount:a","version":1,"data":{"amount":5}}],"hash":"00"}"#, "\n",
/// );
/// assert_eq!(fold_lines(export.lines(), 0, |count, _| count + 1), Ok(1));
/// ```
pub fn fold_lines<'l, S>(
    lines: impl IntoIterator<Item = &'l str>,
    init: S,
    mut f: impl FnMut(S, &Record<'_>) -> S,
) -> Result<S, Stop> {
    // Taken out for each call and put back: `f` owns the value meanwhile.
    let mut value = Some(init);
    for line in lines.into_iter().filter(|line| has_records(line)) {
        with_records(line, |record| {
            value = value.take().map(|value| f(value, record));
            Ok(())
        })?;
    }
    value.ok_or_else(|| Stop::Fault("the value was lost".into()))
}

/// Genesis has none.
fn has_records(line: &str) -> bool {
    crate::chain::position(line) != Some(0)
}

/// The records of export lines, all of them in memory.
#[derive(Debug)]
pub struct Records<'l> {
    commits: Vec<(Commit<'l>, Time, Decoded)>,
}

impl<'l> Records<'l> {
    /// Reads them. A genesis line is passed over; one that is no commit is a fault.
    pub fn read(lines: impl IntoIterator<Item = &'l str>) -> Result<Self, Stop> {
        let read = |line: &'l str| {
            let broken = |what: &dyn core::fmt::Display| {
                Stop::Fault(format!("a commit can not be read: {what}"))
            };
            let commit = Commit::parse(line).map_err(|e| broken(&e))?;
            let time = Time::parse_iso(&commit.time).ok_or_else(|| broken(&"its time"))?;
            let room = Decoded::room(&commit);
            Ok((commit, time, room))
        };
        let lines = lines.into_iter().filter(|line| has_records(line));
        Ok(Self { commits: lines.map(read).collect::<Result<_, Stop>>()? })
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> + Clone {
        self.commits.iter().flat_map(|(commit, time, room)| Record::all(commit, *time, room))
    }
}
