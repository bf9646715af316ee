//! Topics: what may be published under a name, and which are there.
//!
//! `definition` is the stream that says which event types a topic has and what their payloads look
//! like; `schemas` reads what a client says of that; `list` is the view of all topics. The published
//! events are in streams of their own (`Topic:<name>`), which no decider takes part in: they are
//! checked and recorded as they are (see `engine::publish` and `http::publish`).

mod definition;
mod list;
mod schemas;

pub use definition::{Definition, DefinitionCommand, DefinitionEvent, DefinitionState, Types};
pub use list::TopicList;
pub use schemas::{Declared, declared};

use crate::registry::Registry;
use crate::{decider, projection};

/// Adds topics to a registry.
pub fn register(registry: &mut Registry) {
    registry.aggregates.push(decider::erase::<Definition>());
    registry.projections.push(projection::erase::<TopicList>());
}
