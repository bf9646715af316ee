//! The outbox: effects that were asked for, and how far each has got.
//!
//! Owns their rows, and how commits open, postpone and end them. Refuses to know how an effect is
//! made; its payload stays in the log.
//!
//! Rows: `e` + position + n → [`Call`]; `s` + status + position + n → nothing, for lists by status;
//! `o` + next attempt + position + n → nothing, for those that wait, in the order in which they fall
//! due.
//!
//! Invariant: what an attempt came to is a commit whose cause names the effect. One that names an
//! effect which has ended is corrupt, so each ends once; but one that was given up may be asked for
//! anew.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::pending::{Change, Recorded, Which, broken, decoded};
use super::views::OUTBOX;
use crate::chain::hex;
use crate::commit::Commit;
use crate::process::{DROPPED, Ended, FAILED, RETRIED, SUCCEEDED, SYSTEM};
use crate::read::Stop;
use crate::time::Time;

/// How the keys of rows start that are in the order in which attempts fall due.
pub(super) const ORDER: &[u8] = b"o";

/// What is kept of an effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// What sort of call.
    pub kind: String,
    /// Whom it concerns.
    pub target: String,
    /// Who asked for it.
    pub manager: String,
    /// How many reactions led to it, itself included.
    pub depth: u32,
    /// The log's when it was asked for: two copies of a log that went their own ways never ask for
    /// an effect of the same id.
    pub incarnation: [u8; 16],
    /// Attempts made.
    pub attempt: u32,
    /// When the next one is due, by the raw clock.
    pub next: Time,
    /// Not attempted after this time.
    pub deadline: Option<Time>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// How far it got.
    pub status: CallStatus,
}

/// How far an effect has got, by the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallStatus {
    /// An attempt is due, at once or later.
    Pending,
    /// It was done.
    Succeeded,
    /// It was given up.
    Dead,
}

impl CallStatus {
    const fn letter(self) -> u8 {
        match self {
            Self::Pending => b'p',
            Self::Succeeded => b's',
            Self::Dead => b'd',
        }
    }
}

/// `<position>-<n>-<incarnation>`: the same for every attempt.
pub fn effect_id((position, n): Which, incarnation: &[u8; 16]) -> String {
    format!("{position}-{n}-{}", hex(incarnation))
}

/// The place that an effect's id tells.
pub fn place_of(id: &str) -> Option<Which> {
    let (position, rest) = id.split_once('-')?;
    let (n, _) = rest.split_once('-')?;
    Some((position.parse().ok()?, n.parse().ok()?))
}

fn key(prefix: &[u8], (position, n): Which) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len().saturating_add(12));
    key.extend_from_slice(prefix);
    key.extend_from_slice(&position.to_be_bytes());
    key.extend_from_slice(&n.to_be_bytes());
    key
}

fn order_key(next: Time, which: Which) -> Vec<u8> {
    let mut prefix = ORDER.to_vec();
    prefix.extend_from_slice(&next.0.to_be_bytes());
    key(&prefix, which)
}

fn place(key: &[u8], prefix: usize) -> Option<Which> {
    let (position, rest) = key.get(prefix..)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*position), u32::from_be_bytes(*rest.first_chunk()?)))
}

fn put(access: &mut Access<'_>, which: Which, call: &Call) -> Result<(), Stop> {
    access.put(OUTBOX, &key(b"e", which), call)?;
    access.put(OUTBOX, &key(&[b's', call.status.letter()], which), &())?;
    if call.status == CallStatus::Pending {
        access.put(OUTBOX, &order_key(call.next, which), &())?;
    }
    Ok(())
}

/// Keeps an effect that a commit asks for; it is due at once.
pub(super) fn open(
    access: &mut Access<'_>,
    commit: &Commit<'_>,
    reaction: &Recorded<'_>,
    incarnation: [u8; 16],
) -> Result<(), Stop> {
    let effect = reaction.effect()?;
    let clock = commit.clock.as_ref().unwrap_or(&commit.time);
    let call = Call {
        kind: effect.kind,
        target: effect.target,
        manager: reaction.manager.to_string(),
        depth: reaction.depth,
        incarnation,
        attempt: 0,
        next: Time::parse_iso(clock).ok_or_else(|| broken("its commit's clock"))?,
        deadline: effect.deadline,
        last_error: None,
        status: CallStatus::Pending,
    };
    put(access, (commit.position, reaction.n), &call)
}

/// Takes in what an attempt came to, as the commit tells that it causes.
pub(super) fn settle(
    access: &mut Access<'_>,
    which: Which,
    commit: &Commit<'_>,
    change: &mut Change,
) -> Result<(), Stop> {
    let closed = || Stop::Fault(format!("its cause, {}/{}, is not open", which.0, which.1));
    let mut call = call(access, which)?.ok_or_else(closed)?;
    let told = commit.events.iter().find_map(|event| {
        let of_system = event.stream.strip_prefix(SYSTEM).is_some_and(|id| id.starts_with(':'));
        let known = [SUCCEEDED, FAILED, DROPPED, RETRIED].contains(&&*event.event_type);
        (of_system && known).then_some((&*event.event_type, event.data))
    });
    let (event_type, data) = told.ok_or_else(|| broken("nothing tells what the effect came to"))?;
    let ended: Ended = serde_json::from_str(data).map_err(|_| broken("the end of an effect"))?;
    let open = match call.status {
        CallStatus::Pending => true,
        CallStatus::Dead => event_type == RETRIED,
        CallStatus::Succeeded => false,
    };
    if !open {
        return Err(closed());
    }
    if call.status == CallStatus::Pending {
        access.delete(OUTBOX, &order_key(call.next, which));
        change.effects = change.effects.saturating_sub(1);
    }
    access.delete(OUTBOX, &key(&[b's', call.status.letter()], which));
    (call.attempt, call.last_error) = (ended.attempt, ended.error);
    match event_type {
        SUCCEEDED => call.status = CallStatus::Succeeded,
        DROPPED => call.status = CallStatus::Dead,
        _ => {
            let next = ended.retry_at.as_deref().and_then(Time::parse_iso);
            call.next = next.ok_or_else(|| broken("when it is attempted again"))?;
            call.status = CallStatus::Pending;
            change.effects = change.effects.saturating_add(1);
        }
    }
    change.any = true;
    put(access, which, &call)
}

/// What is kept of an effect.
pub fn call(access: &mut Access<'_>, which: Which) -> Result<Option<Call>, Stop> {
    decoded(access.row(OUTBOX, &key(b"e", which))?.as_deref())
}

/// Those that fall due first, and when.
pub fn first(access: &mut Access<'_>, limit: u32) -> Result<Vec<(Time, Which)>, Stop> {
    let rows = access.front(OUTBOX, ORDER, ORDER, limit)?;
    let order = |key: &[u8]| {
        let next = key.get(1..)?.first_chunk::<8>()?;
        Some((Time(u64::from_be_bytes(*next)), place(key, 9)?))
    };
    rows.iter().map(|(key, _)| order(key).ok_or_else(|| broken("its order"))).collect()
}

/// A page of effects after a place, in the order in which they were asked for; of one status, or
/// of all.
pub fn page(
    access: &mut Access<'_>,
    status: Option<CallStatus>,
    after: Option<Which>,
    limit: u32,
) -> Result<Vec<(Which, Call)>, Stop> {
    let by_status = status.map(|status| [b's', status.letter()]);
    let prefix = by_status.as_ref().map_or(b"e".as_slice(), <[u8; 2]>::as_slice);
    let after = after.map_or_else(|| prefix.to_vec(), |which| key(prefix, which));
    let rows = access.range(OUTBOX, prefix, &after, limit)?;
    let mut found = Vec::with_capacity(rows.len());
    let mut missed = false;
    for (row, value) in rows {
        let which = place(&row, prefix.len()).ok_or_else(|| broken("its place"))?;
        let kept = match status {
            None => decoded(Some(&value)),
            Some(_) => call(access, which),
        };
        match kept {
            Ok(kept) => found.push((which, kept.ok_or_else(|| broken("its row"))?)),
            // All are tried before a miss is told, so that one round supplies them all.
            Err(Stop::Miss) => missed = true,
            Err(fault) => return Err(fault),
        }
    }
    if missed { Err(Stop::Miss) } else { Ok(found) }
}
