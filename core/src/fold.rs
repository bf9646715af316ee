//! Folding records with a function of one's own: a reducer over an export, without an engine.
//!
//! Owns the walk over lines. Refuses to check the chain: whoever reads a log from elsewhere does
//! that first, with [`crate::chain::Chain`].

use crate::read::{Stop, with_records};
use crate::record::Record;

/// What comes of `init` when `f` has seen every record of these lines, in order: `f` gets the
/// value so far and the record, and returns the next value. Genesis has no records.
///
/// ```
/// use foldlog_core::fold::fold;
///
/// let export = concat!(
///     r#"{"position":1,"time":"2026-01-01T00:00:01.000Z","events":[{"type":"MoneyDeposited","#,
///     r#""stream":"BankAccount:a","version":1,"data":{"amount":5}}],"hash":"00"}"#, "\n",
///     r#"{"position":2,"time":"2026-01-01T00:00:02.000Z","events":[{"type":"AccountClosed","#,
///     r#""stream":"BankAccount:a","version":2,"data":{}}],"hash":"00"}"#, "\n",
/// );
/// let deposits = fold(export.lines(), 0, |count, record| {
///     if record.event_type() == "MoneyDeposited" { count + 1 } else { count }
/// });
/// assert_eq!(deposits, Ok(1));
/// ```
pub fn fold<'l, S>(
    lines: impl IntoIterator<Item = &'l str>,
    init: S,
    mut f: impl FnMut(S, &Record<'_>) -> S,
) -> Result<S, Stop> {
    // Taken out for each call and put back: `f` owns the value meanwhile.
    let mut value = Some(init);
    for line in lines.into_iter().filter(|line| crate::chain::position(line) != Some(0)) {
        with_records(line, |record| {
            value = value.take().map(|value| f(value, record));
            Ok(())
        })?;
    }
    value.ok_or_else(|| Stop::Fault("the value was lost".into()))
}
