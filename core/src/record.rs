//! Records: one event of a commit with everything that is known about it.
//!
//! Owns how a commit's line falls into records. Refuses to know how records are shown.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::OnceCell;

use crate::commit::{Commit, Event, SCHEMA_VERSION};
use crate::decider::Aggregate;
use crate::ids;
use crate::read::Stop;
use crate::tagged;
use crate::time::Time;
use crate::upcast::{self, Unreadable, Upcast};

/// One event and its metadata.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its place in the partition, from 1.
    pub position: u64,
    /// When it was recorded.
    pub time: Time,
    /// Type of its stream.
    pub aggregate_type: &'a str,
    /// Id of its stream.
    pub aggregate_id: &'a str,
    /// The event.
    pub event: &'a Event<'a>,
    /// The commit it belongs to.
    pub commit: &'a Commit<'a>,
    decoded: &'a OnceCell<Box<dyn Any>>,
}

/// Room for an event decoded once, however many views look at it.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Most commits have one event.
    first: OnceCell<Box<dyn Any>>,
    rest: Vec<OnceCell<Box<dyn Any>>>,
}

impl Decoded {
    /// Room for all events of a commit.
    pub fn room(commit: &Commit<'_>) -> Self {
        let rest = commit.events.iter().skip(1).map(|_| OnceCell::new()).collect();
        Self { first: OnceCell::new(), rest }
    }
}

impl<'a> Record<'a> {
    /// The records of a commit, in order.
    pub fn all(
        commit: &'a Commit<'a>,
        time: Time,
        room: &'a Decoded,
    ) -> impl Iterator<Item = Self> + Clone {
        commit
            .events
            .iter()
            .zip(commit.position..)
            .zip(core::iter::once(&room.first).chain(&room.rest))
            .map(move |((event, position), decoded)| {
                let (aggregate_type, aggregate_id) =
                    ids::split_stream(&event.stream).unwrap_or((&event.stream, ""));
                Record { position, time, aggregate_type, aggregate_id, event, commit, decoded }
            })
    }

    /// The event as this kind of stream knows it, brought to the current version and decoded, once
    /// for all that ask.
    pub(crate) fn read<A: Aggregate>(&self) -> Result<&'a A::Event, Unreadable> {
        if !A::SPEC.events.contains(&self.event_type()) {
            return Err(Unreadable::Unknown);
        }
        if self.decoded.get().is_none() {
            let lifted = self.lifted(A::UPCASTS)?;
            let event: A::Event = tagged::read(self.event_type(), &lifted)
                .map_err(|e| Unreadable::Failed(format!("{e}")))?;
            // Nothing else can have set it in between.
            let _ = self.decoded.set(Box::new(event));
        }
        let decoded = self.decoded.get().and_then(|event| event.downcast_ref());
        decoded.ok_or_else(|| Unreadable::Failed("it is decoded as one type only".into()))
    }

    fn lifted(&self, steps: &[Upcast]) -> Result<Cow<'a, str>, Unreadable> {
        if steps.is_empty() && self.event.schema_version.is_none() {
            return Ok(Cow::Borrowed(self.data()));
        }
        let major = upcast::major(self.schema_version()).ok_or(Unreadable::Newer)?;
        upcast::lift(steps, upcast::Kind::Event, self.event_type(), major, self.data())
    }

    /// The event, when it is one that this kind of stream knows. One of a newer version, or of a
    /// type that is not listed, is passed over; one that can not be read is a fault.
    pub fn event_of<A: Aggregate>(&self) -> Result<Option<&'a A::Event>, Stop> {
        if self.aggregate_type != A::SPEC.aggregate_type {
            return Ok(None);
        }
        match self.read::<A>() {
            Ok(event) => Ok(Some(event)),
            Err(Unreadable::Unknown | Unreadable::Newer) => Ok(None),
            Err(Unreadable::Failed(why)) => Err(Stop::Fault(format!("{}: {why}", self.told()))),
        }
    }

    /// Which event it is, for people.
    pub(crate) fn told(&self) -> String {
        format!("event {} ({} {})", self.id(), self.event_type(), self.schema_version())
    }

    /// The event's id.
    pub fn id(&self) -> Cow<'a, str> {
        self.event
            .id
            .as_deref()
            .map_or_else(|| Cow::Owned(made_id(self.event, self.position)), Cow::Borrowed)
    }

    /// The event's type.
    pub fn event_type(&self) -> &'a str {
        &self.event.event_type
    }

    /// The event's data: a JSON text.
    pub const fn data(&self) -> &'a str {
        self.event.data
    }

    /// Version of the data's schema.
    pub fn schema_version(&self) -> &'a str {
        self.event.schema_version.as_deref().unwrap_or(SCHEMA_VERSION)
    }

    /// The correlation id given by the caller, or the id of the commit's first event.
    pub fn correlation_id(&self) -> Cow<'a, str> {
        match &self.commit.correlation_id {
            Some(id) => Cow::Borrowed(id),
            None => first_event_id(self.commit),
        }
    }
}

/// The id of a commit's first event.
pub fn first_event_id<'a>(commit: &'a Commit<'a>) -> Cow<'a, str> {
    let first = commit.events.first();
    let made = || first.map_or_else(String::new, |event| made_id(event, commit.position));
    let given = first.and_then(|event| event.id.as_deref());
    given.map_or_else(|| Cow::Owned(made()), Cow::Borrowed)
}

/// The id of an event at a position that was given none.
pub fn made_id(event: &Event<'_>, position: u64) -> String {
    ids::made_event_id(&event.stream, event.version, position)
}
