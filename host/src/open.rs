//! A partition that an actor has open: the driver over this host's ports.
//!
//! Owns how it is put together, and the effects that it asks for. Refuses to know who asks what.

use std::time::Duration;

use foldlog_core::driver::{Config, Export, Partition, SqlStore, TestStamps};
use foldlog_core::settings::Settings;

use crate::actor::Actor;
use crate::gate::Gated;
use crate::sqlite::Connection;
use crate::wasm::Module;
use crate::world::Machine;
use crate::{effects, owner};

/// What clients are told of a file that can not be opened.
pub const UNREADABLE: &str = "its file can not be read";

/// A partition as this host runs it.
pub type Live = Partition<Module, Gated<SqlStore<Connection>>, Machine>;

/// How a partition is run.
pub fn config(name: &str, incarnation: [u8; 16], settings: &Settings) -> Config {
    let seed = settings.test_stamps.clone();
    Config {
        partition: name.to_string(),
        incarnation,
        settings: settings.open(),
        host: "native",
        tail_events_max: settings.tail_events_max,
        batch_commands_max: usize::try_from(settings.batch_commands_max).unwrap_or(1),
        effects_in_flight_max: settings.effects_in_flight_max,
        test_stamps: seed.map(|seed| TestStamps { seed, offset_ms: 0 }),
    }
}

/// Part of an export.
#[derive(Debug)]
pub struct Page {
    /// Lines, each with its line feed; empty at the end.
    pub bytes: Vec<u8>,
    /// Position of the last line's first event.
    pub after: u64,
}

/// A partition with its file and guest.
#[derive(Debug)]
pub struct Open {
    /// The partition.
    pub live: Live,
    /// That it is held was told.
    pub held_told: bool,
    /// Counters as last told.
    pub processed: u64,
    /// See `processed`.
    pub rejected: u64,
}

impl Open {
    /// The actor's partition: its file is there or comes into being, its guest is not open yet.
    pub fn new(actor: &Actor) -> Result<Self, String> {
        let connection = Connection::new(actor.path.clone(), actor.metrics.clone());
        let mut store = Gated::new(SqlStore::new(connection), actor.beside.gate.clone());
        // A file that can not be read is told apart from a guest that fails.
        store.inner().has_begun().map_err(|e| e.to_string())?;
        let config = config(&actor.name, owner::of(&actor.path), &actor.settings);
        let mut live = Partition::new(actor.module.clone(), store, Machine::new(), config);
        let (processed, rejected) = actor.before;
        live.continues(processed, rejected);
        Ok(Self { live, held_told: false, processed, rejected })
    }

    /// Makes the effects that are due; false when none are. All that are made natively so far are
    /// done at once: nothing waits for them.
    pub fn make_effects(&mut self) -> bool {
        let due = self.live.take_effects();
        for effect in &due {
            let ended = effects::make(effect);
            self.live.effect_ended(effect.position, effect.n, ended.err());
        }
        !due.is_empty()
    }

    /// A page of an export.
    pub fn page(&mut self, export: Export) -> Result<Page, String> {
        let lines = self.live.page(export).map_err(|e| e.to_string())?;
        let last = lines.last().and_then(|line| foldlog_core::chain::position(line));
        let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        Ok(Page { bytes, after: last.unwrap_or(export.to) })
    }

    /// How long to wait before there is something to do, when there will be.
    pub fn work_due(&mut self) -> Option<Duration> {
        self.live.work_due().map(Duration::from_micros)
    }
}
