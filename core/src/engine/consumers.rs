//! Consumers: who is called about the events of which topics, and from where on.
//!
//! Owns their rows, the events that change them, and (`told`) the commits that record these. Refuses
//! to know what a topic is, whether a callback may be called, and how far deliveries are beyond what
//! the log tells: the driver keeps that in rows of its own, which are read here and never written.
//!
//! Rows: `consumers`: id → [`Consumer`]. `~cursors`, the driver's: id, 0, topic → [`Cursor`]. They are
//! read by ranges alone, which look at the store each time: no row of them is kept in memory.
//!
//! Invariant: losing cursors costs deliveries made again, from the place in the consumer's own row.

mod told;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::access::Access;
use super::apply::Folded;
use super::pending::{broken, decoded};
use super::views::{self, CONSUMERS, CURSORS};
use crate::ids;
use crate::limits::LIST_LIMIT_MAX;
use crate::process::SYSTEM;
use crate::protocol::View;
use crate::protocol::consumers::{self, Cursor, OnFailure, Place};
use crate::read::Stop;
use crate::record::Record;
use crate::sorted;
use crate::time::Time;
pub use told::{REGISTER, REMOVE, ROTATE, Told, generation_of, input};

/// A consumer is there from now on.
pub const REGISTERED: &str = "Consumer.Registered";
/// It is gone.
pub const REMOVED: &str = "Consumer.Removed";
/// It has another secret.
pub const ROTATED: &str = "Consumer.Rotated";
/// It has taken all up to there.
pub const ADVANCED: &str = "Consumer.Advanced";

/// The view of the driver's rows, as the store names it: it has one generation.
pub fn cursors_view() -> View {
    View { name: views::name(CURSORS).into(), generation: views::generation(CURSORS) }
}

/// So long an earlier secret goes on to sign.
const ROTATION_MS: u64 = 86_400_000;

/// What is kept of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    /// Whom to call.
    pub callback: String,
    /// By topic: all up to there has been delivered, as far as the log tells.
    pub topics: BTreeMap<String, Place>,
    /// What becomes of it when it does not take a delivery.
    pub on_failure: OnFailure,
    /// Generation of its secret, from 1.
    pub generation: u32,
    /// Earlier ones that sign too, and until when.
    pub older: Vec<(u32, Time)>,
    /// When it was registered.
    pub registered_at: Time,
}

/// The data of [`REGISTERED`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// Its id.
    pub consumer_id: String,
    /// Whom to call.
    pub callback: String,
    /// From where on, by topic.
    pub topics: BTreeMap<String, At>,
    /// `remove` or `retry`.
    pub on_failure: String,
}

/// A [`Place`] as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Id of the last event that is not wanted any more; none before the first.
    pub id: Option<String>,
    /// Its position.
    pub position: u64,
}

#[derive(Serialize, Deserialize)]
struct Rotated {
    generation: u32,
}

#[derive(Serialize, Deserialize)]
struct Advanced {
    topics: BTreeMap<String, At>,
}

impl From<Place> for At {
    fn from(Place { position, id }: Place) -> Self {
        Self { id, position }
    }
}

impl From<At> for Place {
    fn from(At { id, position }: At) -> Self {
        Self { position, id }
    }
}

/// How a consumer's failures are dealt with, as it is told and recorded.
pub const fn word(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Remove => "remove",
        OnFailure::Retry => "retry",
    }
}

/// The topic that a record belongs to: the one that it was published to, or that of its kind.
pub(super) fn topic_of(record: &Record<'_>) -> String {
    match record.aggregate_type {
        ids::TOPIC => record.aggregate_id.to_string(),
        kind => format!("@{kind}"),
    }
}

fn read<'d, T: Deserialize<'d>>(record: &'d Record<'_>) -> Result<T, Stop> {
    let what = record.event_type();
    serde_json::from_str(record.data()).map_err(|_| broken(&format!("the data of {what}")))
}

/// Takes in what a record of a stream of the system changes of consumers.
pub(super) fn fold(
    access: &mut Access<'_>,
    record: &Record<'_>,
    folded: &mut Folded,
) -> Result<(), Stop> {
    let kind = record.event_type();
    if record.aggregate_type != SYSTEM || ![REGISTERED, REMOVED, ROTATED, ADVANCED].contains(&kind)
    {
        return Ok(());
    }
    let id = record.aggregate_id.as_bytes();
    let before: Option<Consumer> = decoded(access.row(CONSUMERS, id)?.as_deref())?;
    // How far one has got is no news to whoever delivers.
    folded.consumers.1 |= kind != ADVANCED;
    let Some(mut consumer) = before else {
        if kind != REGISTERED {
            return Err(broken("its consumer is not registered"));
        }
        let Registered { callback, topics, on_failure, .. } = read(record)?;
        let topics = sorted::map(topics.into_iter().map(|(topic, at)| (topic, at.into())));
        let retry = on_failure == word(OnFailure::Retry);
        let on_failure = if retry { OnFailure::Retry } else { OnFailure::Remove };
        let (generation, older, registered_at) = (1, Vec::new(), record.time);
        let consumer = Consumer { callback, topics, on_failure, generation, older, registered_at };
        folded.consumers.0 = folded.consumers.0.saturating_add(1);
        return access.put(CONSUMERS, id, &consumer);
    };
    match kind {
        REMOVED => {
            access.delete(CONSUMERS, id);
            folded.consumers.0 = folded.consumers.0.saturating_sub(1);
            return Ok(());
        }
        ROTATED => {
            let Rotated { generation } = read(record)?;
            consumer.older = signing(&consumer, record.time);
            consumer.older.push((consumer.generation, record.time.after_ms(ROTATION_MS)));
            consumer.generation = generation;
        }
        ADVANCED => {
            let Advanced { topics } = read(record)?;
            for (topic, at) in topics {
                let known = consumer.topics.get_mut(&topic);
                let place = known.filter(|place| place.position < at.position);
                if let Some(place) = place {
                    *place = at.into();
                }
            }
        }
        _ => return Err(broken("its consumer is registered already")),
    }
    access.put(CONSUMERS, id, &consumer)
}

/// Earlier generations of its secret that still sign.
fn signing(consumer: &Consumer, now: Time) -> Vec<(u32, Time)> {
    consumer.older.iter().copied().filter(|(_, until)| *until > now).collect()
}

/// A consumer, if it is there.
pub fn consumer(access: &mut Access<'_>, id: &str) -> Result<Option<Consumer>, Stop> {
    decoded(access.row(CONSUMERS, id.as_bytes())?.as_deref())
}

/// A consumer with how far it has got.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// It; its places are those of its cursors, where they are beyond.
    pub consumer: Consumer,
    /// Of topics where the last attempt failed: how many did.
    pub attempts: Vec<(String, u32)>,
}

/// A page of consumers beyond an id.
pub fn page(access: &mut Access<'_>, after: &str, limit: u32) -> Result<Vec<Listed>, Stop> {
    let rows = access.range(CONSUMERS, b"", after.as_bytes(), limit)?;
    let mut found = Vec::with_capacity(rows.len());
    let mut missed = false;
    for (key, value) in rows {
        let id = String::from_utf8(key).map_err(|_| broken("a consumer's id"))?;
        let consumer: Option<Consumer> = decoded(Some(&value))?;
        let consumer = consumer.ok_or_else(|| broken("a consumer"))?;
        let mut listed = Listed { id, consumer, attempts: Vec::new() };
        match move_on(access, &mut listed) {
            Ok(()) => found.push(listed),
            // All are tried before a miss is told, so that one round supplies them all.
            Err(Stop::Miss) => missed = true,
            Err(fault) => return Err(fault),
        }
    }
    if missed { Err(Stop::Miss) } else { Ok(found) }
}

/// Moves a consumer's places on to where its cursors are.
fn move_on(access: &mut Access<'_>, listed: &mut Listed) -> Result<(), Stop> {
    let prefix = cursor_key(&listed.id, "");
    for (key, value) in access.range(CURSORS, &prefix, &prefix, LIST_LIMIT_MAX)? {
        let topic = key.get(prefix.len()..).and_then(|topic| core::str::from_utf8(topic).ok());
        let Some(topic) = topic else { continue };
        let Some(place) = listed.consumer.topics.get_mut(topic) else { continue };
        // One that can not be read is as good as lost.
        let cursor: Option<Cursor> = decoded(Some(&value)).unwrap_or_default();
        let Some((at, attempt)) = cursor.filter(|(at, _)| at.position >= place.position) else {
            continue;
        };
        if at.position > place.position {
            *place = at;
        }
        if attempt > 0 {
            listed.attempts.push((topic.to_string(), attempt));
        }
    }
    Ok(())
}

/// Key of the row that tells how far a consumer has got in a topic.
pub fn cursor_key(id: &str, topic: &str) -> Vec<u8> {
    [id.as_bytes(), b"\0", topic.as_bytes()].concat()
}

/// A consumer as deliveries need to know it.
pub fn told_of(listed: Listed) -> consumers::Consumer {
    let Listed { id, consumer, attempts } = listed;
    let Consumer { callback, topics, on_failure, generation, older, .. } = consumer;
    let topics = topics.into_iter().collect();
    consumers::Consumer { id, callback, topics, attempts, on_failure, generation, older }
}

impl Engine {
    /// How many consumers there are.
    pub const fn consumers(&self) -> u64 {
        self.head.consumers
    }
}
