//! The guest linked into the host's own code, without wasm in between: for tests of the engine
//! and to measure what wasm costs. A panic is not contained here.

use alloc::vec::Vec;

use super::{Guest, Spawn, Trap};
use crate::guest;
use crate::protocol::Op;
use crate::registry::Registry;

/// Makes linked guests of a registry.
#[derive(Clone, Copy, Debug)]
pub struct Linked(pub fn() -> Registry);

impl Spawn for Linked {
    type Guest = guest::Guest;

    fn spawn(&mut self) -> Result<guest::Guest, Trap> {
        Ok(guest::Guest::new(self.0()))
    }

    fn digest(&self) -> [u8; 32] {
        [0; 32]
    }
}

impl Guest for guest::Guest {
    fn call(&mut self, op: Op, message: &[u8]) -> Result<Vec<u8>, Trap> {
        Ok(Self::call(self, op as u32, message))
    }
}
