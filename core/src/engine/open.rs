//! Opening: from genesis and checkpoint to an engine that can fold what came after.
//!
//! Owns what may be opened and what of the stored rows is of use. Refuses to read rows.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::generations::Kept;
use super::snapshots::Policy;
use super::views::{ViewState, Views};
use super::{Engine, Genesis, Head};
use crate::chain::{FORMAT_VERSION, hex, unhex};
use crate::commit::{self, settings_text};
use crate::protocol::{Open, Opened, RefusalReason, View};
use crate::registry::Registry;

/// Why a log is not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// By kind.
    pub reason: RefusalReason,
    /// For people.
    pub detail: String,
}

/// The checkpoint row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub head: Head,
    pub views: Vec<ViewState>,
    /// Generations that another module may go on with.
    pub asleep: Vec<ViewState>,
    /// Generations whose rows are still to be deleted.
    pub garbage: Vec<View>,
}

/// Raised when the checkpoint's or any own view's bytes change: older ones are folded anew.
pub(super) const CHECKPOINT_VERSION: u8 = 11;

impl Engine {
    /// Opens a partition's log, up to its checkpoint.
    pub fn open(registry: Rc<Registry>, open: &Open) -> Result<(Self, Opened), OpenError> {
        let corrupt = |detail: String| OpenError { reason: RefusalReason::Corrupt, detail };
        let mut head = Head { incarnation: open.incarnation, ..Head::default() };
        let genesis = match open.genesis.as_deref() {
            None => Some(Genesis { incarnation: open.incarnation, line: None }),
            Some(line) => {
                let genesis: commit::Genesis<'_> = commit::Genesis::parse(line)
                    .map_err(|e| corrupt(format!("genesis can not be read: {e}")))?;
                if genesis.format != FORMAT_VERSION {
                    let detail = format!(
                        "the log has format {}, this guest reads and writes {FORMAT_VERSION}",
                        genesis.format
                    );
                    return Err(OpenError { reason: RefusalReason::Format, detail });
                }
                head.incarnation = unhex(&genesis.incarnation)
                    .ok_or_else(|| corrupt("genesis has no readable incarnation".into()))?;
                head.settings = genesis.settings.to_string();
                head.idempotency_days = super::keys::idempotency_days(&head.settings);
                head.guest = genesis.guest.to_string();
                None
            }
        };
        let mut views = Views::new(&registry);
        let stored = open.checkpoint.as_deref().and_then(read_checkpoint);
        let mut rows_usable = false;
        if let Some(stored) = stored.filter(|stored| stored.head.position <= open.head) {
            let Checkpoint { head: stored_head, views: states, asleep, garbage } = stored;
            let (settings, first_settings) = (&*stored_head.settings, &*head.settings);
            rows_usable = views.restore(Kept { states, asleep, garbage, settings, first_settings });
            if rows_usable {
                head = stored_head;
            } else {
                views = Views::new(&registry);
            }
        }
        let fold_after = head.position;
        let settings = &open.settings;
        let seeded = usize::try_from(settings.row_cache_max).unwrap_or(usize::MAX);
        let stated = settings_text(settings, &registry);
        // A log that does not exist yet begins with these settings.
        let holding = if genesis.is_some() { &stated } else { &head.settings };
        let policy = Policy::of(holding, &registry);
        let engine = Self {
            registry,
            cache: Cache::new(seeded, open.hash_seed),
            views,
            head,
            settings: stated,
            guest: hex(&open.guest),
            record_commands: settings.record_commands,
            unanswered: false,
            policy,
            partition: open.partition.clone(),
            genesis,
            unstored: Vec::new(),
            scratch: core::cell::RefCell::default(),
            changed: false,
            quarantined: open.quarantined.clone(),
            faults: BTreeMap::new(),
            trimmed: super::rebuild::Trimmed::default(),
            compiled: super::schemas::Compiled::default(),
        };
        let (behind, serving) = (engine.slices_due(fold_after), engine.views.serving(fold_after));
        let incarnation = engine.head.incarnation;
        let (waits, consumers) = (engine.head.waits(), engine.head.consumers > 0);
        let opened =
            Opened { fold_after, rows_usable, behind, serving, incarnation, waits, consumers };
        Ok((engine, opened))
    }
}

fn read_checkpoint(bytes: &[u8]) -> Option<Checkpoint> {
    let (&version, rest) = bytes.split_first()?;
    (version == CHECKPOINT_VERSION).then(|| postcard::from_bytes(rest).ok()).flatten()
}

/// What a checkpoint tells of what waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resting {
    /// Where it is.
    pub position: u64,
    /// Something is due at once, or rows are being built.
    pub now: bool,
    /// The rows of timers, when there are any: the key's start, then when it falls due.
    pub timers: Option<(View, &'static [u8])>,
    /// The rows of effects, likewise.
    pub effects: Option<(View, &'static [u8])>,
    /// The log's newest incarnation.
    pub incarnation: [u8; 16],
}

/// Reads a stored checkpoint without opening it; nothing when it is of no use.
pub fn resting(bytes: &[u8]) -> Option<Resting> {
    let Checkpoint { head, views, garbage, asleep: _ } = read_checkpoint(bytes)?;
    let behind = |state: &ViewState| {
        state.building.is_some() || (state.position < head.position && !state.stopped)
    };
    // Whether deliveries wait is not looked for: opening it tells.
    let now =
        head.due_now > 0 || head.consumers > 0 || !garbage.is_empty() || views.iter().any(behind);
    let view = |name: &str| {
        let state = views.iter().find(|state| state.name == name)?;
        Some(View { name: state.name.clone(), generation: state.generation })
    };
    let timers =
        if head.timers > 0 { view(super::views::name(super::views::PENDING)) } else { None };
    let effects =
        if head.effects > 0 { view(super::views::name(super::views::OUTBOX)) } else { None };
    Some(Resting {
        position: head.position,
        now,
        timers: timers.map(|view| (view, super::pending::ORDER)),
        effects: effects.map(|view| (view, super::outbox::ORDER)),
        incarnation: head.incarnation,
    })
}
