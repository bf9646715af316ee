//! Partitions that nothing was ever written to: reading one opens no actor and closes no other.
//!
//! Owns such reads, a few at a time, each with a guest of its own over an empty store. Refuses
//! commands: those make a partition, which then is one like all others.

use std::sync::Arc;
use std::time::Duration;

use foldlog_core::driver::{MemoryStore, OwnedRequest, Partition, Reply};
use foldlog_core::errors::Code;
use foldlog_core::settings::Settings;
use tokio::sync::Semaphore;

use crate::open::config;
use crate::wasm::Module;
use crate::world::Machine;

/// Guests that exist at a time for this.
const AT_ONCE_MAX: usize = 4;

/// What such reads need.
#[derive(Debug)]
pub struct Blanks {
    module: Module,
    settings: Arc<Settings>,
    room: Semaphore,
}

impl Blanks {
    /// No guest exists yet.
    pub fn new(module: Module, settings: Arc<Settings>) -> Self {
        Self { module, settings, room: Semaphore::new(AT_ONCE_MAX) }
    }

    /// Answers a request to the partition, for a host that may act for `owner` there.
    pub async fn read(&self, name: &str, owner: [u8; 16], request: OwnedRequest) -> Reply {
        let patience = Duration::from_millis(self.settings.deadline_ms);
        let Ok(Ok(_room)) = tokio::time::timeout(patience, self.room.acquire()).await else {
            let detail = "there was no answer in time; nothing was done";
            return Reply::problem(Code::DeadlineExceeded, detail);
        };
        let (name, module, settings) =
            (name.to_string(), self.module.clone(), self.settings.clone());
        let read = move || {
            let config = config(&name, owner, &settings);
            let mut partition =
                Partition::new(module, MemoryStore::default(), Machine::new(), config);
            partition.run(vec![request]).pop()
        };
        let reply = tokio::task::spawn_blocking(read).await;
        reply.ok().flatten().unwrap_or_else(|| {
            Reply::problem(Code::Restarting, "the partition is restarting; nothing was done")
        })
    }
}
