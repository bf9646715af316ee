//! Publications: commits whose events come from a client as they are, in streams of topics.
//!
//! Owns where such events stand in their streams, and that a publication is done once under its
//! key. Refuses to know schemas: whoever publishes has checked the payloads.
//!
//! Invariant: events stand in the commit in the order in which they were given, so that order holds
//! in each topic.

use alloc::borrow::Cow;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

use super::Engine;
use super::access::Access;
use super::build::Made;
use super::propose::{CommandInput, Decided, Metadata, Preconditions};
use super::refold::Missing;
use crate::commit;
use crate::decider::{AggregateSpec, CommandSpec};
use crate::ids;
use crate::protocol::Stamp;
use crate::read::Stop;

/// An event to be published. Its payload has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Name of the topic.
    pub topic: Rc<str>,
    /// Its type.
    pub event_type: Rc<str>,
    /// The version of the type's schema that it was checked against.
    pub schema: u32,
    /// Its data: a minified JSON text.
    pub payload: Rc<str>,
}

/// Streams of topics, as the parts of the engine that place events know aggregates.
static TOPIC_STREAM: AggregateSpec = AggregateSpec::of_system(ids::TOPIC, "~topic");

/// What a publication is called in the log. Its payload is in the events alone.
static PUBLISH: CommandSpec = CommandSpec::internal("Publish", "");

const ANY: Preconditions = Preconditions { versions: None, none: false };

fn input<'a>(metadata: &'a Metadata, stamp: &'a Stamp) -> CommandInput<'a> {
    CommandInput {
        aggregate: &TOPIC_STREAM,
        command: &PUBLISH,
        id: "",
        data: "",
        metadata,
        preconditions: &ANY,
        stamp,
        cause: None,
    }
}

impl Engine {
    /// The earlier outcome of a publication under the same key, or why it can not be repeated.
    pub fn published_before(
        &self,
        access: &mut Access<'_>,
        metadata: &Metadata,
        stamp: &Stamp,
    ) -> Result<Option<Decided>, Stop> {
        self.repeated(access, &input(metadata, stamp))
    }

    /// A commit of these events; at least one.
    pub fn propose_published(
        &self,
        access: Access<'_>,
        metadata: &Metadata,
        stamp: &Stamp,
        published: Vec<Published>,
    ) -> Result<Decided, Missing> {
        let (events, appended) = (Vec::new(), Vec::new());
        let made = Made { events, appended, published, version: 0, entropy: None, silent: false };
        self.proposed(access, &input(metadata, stamp), made)
    }

    /// Adds published events, each with its place in its topic.
    pub(super) fn place_published<'m>(
        &self,
        access: &mut Access<'_>,
        published: &'m [Published],
        events: &mut Vec<commit::Event<'m>>,
    ) -> Result<(), Stop> {
        let mut missed = false;
        for Published { topic, event_type, schema, payload } in published {
            let stream = ids::stream_name(ids::TOPIC, topic);
            let before = events.iter().rev().find(|event| event.stream == stream);
            let before = match before {
                Some(event) => event.version,
                None => match self.stream_version(access, ids::TOPIC, topic) {
                    // All topics are tried before a miss is told.
                    Err(Stop::Miss) => {
                        missed = true;
                        0
                    }
                    version => version?,
                },
            };
            events.push(commit::Event {
                id: None,
                event_type: Cow::Borrowed(event_type),
                schema_version: Some(Cow::Owned(format!("{schema}.0.0"))),
                stream: Cow::Owned(stream),
                version: before.saturating_add(1),
                data: payload,
            });
        }
        if missed { Err(Stop::Miss) } else { Ok(()) }
    }
}
