//! Schemas of topics, compiled once and kept.
//!
//! Owns which are kept: the latest of each topic, within a bound, and those of the topic that is
//! published to in any case. Refuses to know where they come from: whoever asks tells the version of
//! their definition, and how to compile them.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::Engine;
use crate::limits::COMPILED_BYTES_MAX;
use crate::schema::Schema;

/// The schemas in force of one topic, by event type, in order.
#[derive(Debug, Default)]
pub struct TopicSchemas {
    /// Event type, version, compiled.
    pub types: Vec<(String, u32, Schema)>,
    /// Bytes of their texts.
    pub bytes: usize,
}

impl TopicSchemas {
    /// That of an event type, and its version.
    pub fn of(&self, event_type: &str) -> Option<(u32, &Schema)> {
        let found = self.types.binary_search_by(|(name, ..)| name.as_str().cmp(event_type)).ok()?;
        self.types.get(found).map(|(_, version, schema)| (*version, schema))
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Compiled(RefCell<BTreeMap<String, (u64, Rc<TopicSchemas>)>>);

impl Engine {
    /// The schemas of a topic whose definition has this version.
    pub fn topic_schemas<E>(
        &self,
        topic: &str,
        version: u64,
        compile: impl FnOnce() -> Result<TopicSchemas, E>,
    ) -> Result<Rc<TopicSchemas>, E> {
        if let Some((of, known)) = self.compiled.0.borrow().get(topic)
            && *of == version
        {
            return Ok(known.clone());
        }
        let schemas = Rc::new(compile()?);
        let mut all = self.compiled.0.borrow_mut();
        all.remove(topic);
        let kept: usize = all.values().map(|(_, one)| one.bytes).sum();
        // Topics that are published to come back at once; the others were kept for nothing.
        if kept.saturating_add(schemas.bytes) > COMPILED_BYTES_MAX {
            all.clear();
        }
        all.insert(topic.into(), (version, schemas.clone()));
        Ok(schemas)
    }
}
