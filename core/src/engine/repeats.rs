//! What was done before: by the same idempotency key, or under the same event ids.
//!
//! Owns the two ways a caller makes a command safe to repeat, and the answers to a repetition.
//! Both look things up in rows and answer from the stored commit. Refuses to decide anything.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Engine;
use super::access::Access;
use super::keys::{KeyEntry, event_row, expired, key_row};
use super::propose::{Answered, AnsweredEvent, Attempt, CommandInput, Decided, answered};
use super::views::IDEMPOTENCY;
use crate::commit::Commit;
use crate::errors::{Code, Problem};
use crate::ids;
use crate::protocol::Stamp;
use crate::read::Stop;

fn unreadable() -> Stop {
    Stop::Fault("a stored commit can not be read".into())
}

/// Where an event with an id given by its caller is.
pub fn position_of(access: &mut Access<'_>, id: &str) -> Result<Option<u64>, Stop> {
    let Some(bytes) = access.row(IDEMPOTENCY, &event_row(id))? else { return Ok(None) };
    postcard::from_bytes(&bytes).map(Some).map_err(|e| Stop::Fault(e.to_string()))
}

/// Ids that callers gave to events, which start with `prefix`, beyond `after`; fewer than `limit`
/// means no more.
pub fn given_ids(
    access: &mut Access<'_>,
    prefix: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<String>, Stop> {
    let after = if after.is_empty() { Vec::new() } else { event_row(after) };
    let rows = access.range(IDEMPOTENCY, &event_row(prefix), &after, limit)?;
    // The first byte of the key says what kind of row it is.
    let ids = rows.iter().filter_map(|(key, _)| key.get(1..));
    Ok(ids.map(|id| String::from_utf8_lossy(id).into_owned()).collect())
}

/// Ids that only the log gives.
pub fn reserved(field: &str, id: &str) -> Option<Problem> {
    ids::is_reserved_event_id(id).then(|| {
        let detail = format!("event ids of the form evt-<number> are given by the log, not {id}");
        Problem::new(Code::ReservedId, detail).text("field", field)
    })
}

/// A caller that names events names each one that the command makes.
pub(super) fn miscounted(ids: &[impl Sized], events: usize) -> Option<Problem> {
    if ids.is_empty() || ids.len() == events {
        return None;
    }
    let detail = format!("`eventIds` names {} events, the command makes {events}", ids.len());
    let problem = Problem::new(Code::InvalidField, detail).text("field", "eventIds");
    Some(problem.number("limit", events as u64))
}

impl Engine {
    /// The earlier outcome of the same command, or why it can not be repeated.
    pub(crate) fn repeated(
        &self,
        access: &mut Access<'_>,
        input: &CommandInput<'_>,
    ) -> Attempt<Option<Decided>> {
        let by_key = self.by_key(access, input);
        // Tried before a miss is told, so that one round supplies both.
        let by_event_ids = self.by_event_ids(access, input);
        match by_key? {
            Some(decided) => Ok(Some(decided)),
            None => by_event_ids,
        }
    }

    fn by_key(
        &self,
        access: &mut Access<'_>,
        input: &CommandInput<'_>,
    ) -> Attempt<Option<Decided>> {
        Ok(match self.done_by_key(access, input.metadata.key.as_ref(), input.stamp)? {
            None => None,
            Some(Err(problem)) => Some(Decided::Rejected(problem)),
            Some(Ok(line)) => {
                let commit = Commit::parse(&line).map_err(|_| unreadable())?;
                Some(Decided::Replayed(answered(&commit)?))
            }
        })
    }

    /// The commit that was made for the same request under this key, or why it may not be used.
    pub(super) fn done_by_key(
        &self,
        access: &mut Access<'_>,
        key: Option<&(String, [u8; 32])>,
        stamp: &Stamp,
    ) -> Attempt<Option<Result<Rc<str>, Problem>>> {
        let Some((key, request)) = key else { return Ok(None) };
        let Some(bytes) = access.row(IDEMPOTENCY, &key_row(key))? else { return Ok(None) };
        let entry: KeyEntry =
            postcard::from_bytes(&bytes).map_err(|e| Stop::Fault(e.to_string()))?;
        if expired(entry.time, self.now(stamp), self.head().idempotency_days) {
            return Ok(None);
        }
        if entry.request != *request {
            let detail = "the idempotency key was used with another method, path or body";
            return Ok(Some(Err(Problem::new(Code::IdempotencyMismatch, detail))));
        }
        let line = access.commits(&[entry.position])?.into_iter().next();
        line.map(|line| Some(Ok(line))).ok_or_else(unreadable)
    }

    /// All ids known: the events that have them. Some known: a conflict. None: go on.
    fn by_event_ids(
        &self,
        access: &mut Access<'_>,
        input: &CommandInput<'_>,
    ) -> Attempt<Option<Decided>> {
        let wanted = &input.metadata.event_ids;
        if wanted.is_empty() {
            return Ok(None);
        }
        let refused = |problem: Problem| Ok(Some(Decided::Rejected(problem)));
        if let Some(problem) = wanted.iter().find_map(|id| reserved("eventIds", id)) {
            return refused(problem);
        }
        let of_topics: Vec<_> = wanted.iter().map(|id| self.of_topic(access, id)).collect();
        let positions: Vec<_> = wanted.iter().map(|id| position_of(access, id)).collect();
        for of_topic in of_topics {
            if let Some(problem) = of_topic? {
                return refused(problem);
            }
        }
        let positions = positions.into_iter().collect::<Result<Vec<_>, _>>()?;
        let known = wanted.iter().zip(&positions).find(|(_, position)| position.is_some());
        let Some((id, _)) = known else { return Ok(None) };
        let conflict = |detail: String| {
            Problem::new(Code::AlreadyExists, detail).text("field", "eventIds").text("eventId", id)
        };
        let Some(positions) = positions.into_iter().collect::<Option<Vec<u64>>>() else {
            let detail = format!("event {id} exists already, others of `eventIds` do not");
            return refused(conflict(detail));
        };
        Ok(Some(Decided::Known(all_of(access, positions)?)))
    }
}

impl Engine {
    /// Ids that only an existing topic gives.
    fn of_topic(&self, access: &mut Access<'_>, id: &str) -> Attempt<Option<Problem>> {
        let Some((topic, _)) = ids::published(id) else { return Ok(None) };
        let there = self.stream_version(access, ids::TOPIC_DEFINITION, topic)? > 0;
        Ok(there.then(|| {
            let detail =
                format!("event ids of the form {topic}-<number> are given by topic {topic}");
            let problem = Problem::new(Code::ReservedId, detail).text("field", "eventIds");
            problem.text("eventId", id)
        }))
    }
}

/// The events at these positions, whatever commits they are in; what else is told is that of the
/// newest of these.
fn all_of(access: &mut Access<'_>, mut positions: Vec<u64>) -> Result<Answered, Stop> {
    positions.sort_unstable();
    let mut newest: Option<Answered> = None;
    let mut events = Vec::new();
    // Mostly they are of one commit: read first, so that its line is not read once for each.
    let mut page = 1_usize;
    while !positions.is_empty() {
        let asked = positions.split_off(positions.len().saturating_sub(page));
        page = page.saturating_mul(8);
        let mut from = u64::MAX;
        for (line, position) in access.commits(&asked)?.iter().zip(&asked).rev() {
            if *position >= from {
                continue;
            }
            let commit = Commit::parse(line).map_err(|_| unreadable())?;
            from = commit.position;
            let mut told = answered(&commit)?;
            let of_this = |position: &u64| *position >= from && *position <= told.position;
            let here = asked.iter().chain(&positions).copied().filter(of_this);
            let here: Vec<u64> = here.collect();
            let own = told.events.drain(..).filter(|event| here.contains(&event.position));
            events.extend(own);
            newest.get_or_insert(told);
        }
        positions.retain(|position| *position < from);
    }
    events.sort_unstable_by_key(|event: &AnsweredEvent| event.position);
    let newest = newest.ok_or_else(unreadable)?;
    Ok(Answered { events, ..newest })
}
