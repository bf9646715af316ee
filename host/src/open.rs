//! A partition that an actor has open: the driver over this host's ports.
//!
//! Owns how it is put together, and the effects that it asks for. Refuses to know who asks what.

use std::time::Duration;

use foldlog_core::driver::{Config, OwnedRequest, Partition, Reply, TestStamps};
use foldlog_core::settings::Settings;
use tokio::sync::oneshot;

use crate::actor::Actor;
use crate::attempts::{Attempts, Ended};
use crate::gate::Gated;
use crate::notes;
use crate::stores::{AnyStore, Stores};
use crate::wasm::Module;
use crate::world::Machine;

/// What clients are told of a file that can not be opened.
pub const UNREADABLE: &str = "its file can not be read";

/// A partition as this host runs it.
pub type Live = Partition<Module, Gated<AnyStore>, Machine>;

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
        rejected_bytes_max: settings.rejected_bytes_max,
        secret: settings.secret.clone(),
        test_stamps: seed.map(|seed| TestStamps { seed, offset_ms: 0 }),
    }
}

/// A partition with its store and guest.
#[derive(Debug)]
pub struct Open {
    /// The partition.
    pub live: Live,
    /// The place's epoch when it was opened.
    epoch: u64,
    /// That it is held was told.
    pub held_told: bool,
    /// Counters as last told.
    pub processed: u64,
    /// See `processed`.
    pub rejected: u64,
    /// Its name.
    partition: String,
    /// The effects and deliveries that it makes.
    attempts: Attempts,
    /// Answers that wait for those.
    answers: Vec<Answer>,
}

/// An answer, and who waits for it.
pub type Answer = (oneshot::Sender<Result<Reply, OwnedRequest>>, Reply);

impl Open {
    /// The actor's partition: its store is there or comes into being, its guest is not open yet.
    pub fn new(actor: &Actor) -> Result<Self, String> {
        let epoch = actor.stores.epoch();
        let store = actor.stores.writer(&actor.name, &actor.metrics)?;
        let store = Gated::new(store, actor.beside.gate.clone());
        let config = config(&actor.name, actor.stores.owner(&actor.name), &actor.settings);
        let mut live = Partition::new(actor.module.clone(), store, Machine::new(), config);
        let (processed, rejected) = actor.before;
        live.continues(processed, rejected);
        let attempts = Attempts::new(actor.sender.clone(), actor.nudge.clone(), &actor.name);
        let (held_told, answers) = (false, Vec::new());
        let partition = actor.name.clone();
        Ok(Self { live, epoch, held_told, processed, rejected, partition, attempts, answers })
    }

    /// Whether nobody else can have written since it was opened.
    pub fn is_current(&self, stores: &dyn Stores) -> bool {
        self.epoch == stores.epoch()
    }

    /// Begins to make the effects that are due. True when some of them ended at once.
    pub fn make_effects(&mut self) -> bool {
        for effect in self.live.take_effects() {
            self.attempts.begin(&effect);
        }
        for delivery in self.live.take_deliveries() {
            self.attempts.deliver(delivery);
        }
        self.live.take_notes().iter().for_each(|note| notes::write(&self.partition, note));
        self.take_ended()
    }

    /// Takes in what calls came to; false when none ended.
    pub fn take_ended(&mut self) -> bool {
        let ended = self.attempts.take();
        let any = !ended.is_empty();
        for ended in ended {
            match ended {
                Ended::Effect { position, n, came_to } => {
                    self.live.effect_ended((position, n), came_to);
                }
                Ended::Delivery { id, came_to } => self.live.delivery_ended(id, came_to),
            }
        }
        any
    }

    /// A test that wakes a partition wants to see what its effects came to: answers wait for that.
    pub fn answer(&mut self, answers: impl IntoIterator<Item = Answer>, test_stamps: bool) {
        self.answers.extend(answers);
        let under_way = self.attempts.running() > 0 || self.work_due() == Some(Duration::ZERO);
        if test_stamps && under_way {
            return;
        }
        for (caller, reply) in self.answers.drain(..) {
            // A caller who left gets no answer; what was stored stays stored.
            let _ = caller.send(Ok(reply));
        }
    }

    /// Before it closes: waits for the calls under way, for so long at most.
    pub fn last_calls(&mut self, patience: Duration) {
        self.attempts.close(patience);
        self.take_ended();
    }

    /// Whether effects are being made.
    pub const fn calls(&self) -> bool {
        self.attempts.running() > 0
    }

    /// How long to wait before there is something to do, when there will be.
    pub fn work_due(&mut self) -> Option<Duration> {
        self.live.work_due().map(Duration::from_micros)
    }
}
