//! What a decision may use beside state and command: time, entropy, other streams and rows.
//!
//! Owns [`Decision`], which domains get, and [`Reads`], which the engine supplies. Refuses to know
//! where rows are kept: a read that is not in memory stops the decision, and it is made again.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::de::DeserializeOwned;

use super::{Aggregate, stored, undeclared};
use crate::engine::typed_state;
use crate::errors::{Code, Problem, Rejection};
use crate::ids;
use crate::projection::Projection;
use crate::protocol::Stamp;
use crate::read::Stop;
use crate::tagged;
use crate::time::Time;

/// What a decision can read of its partition, beside its own state: supplied by the engine.
pub trait Reads {
    /// Version and state of a stream, as stored.
    fn state(&mut self, aggregate_type: &str, id: &str) -> Result<Option<Vec<u8>>, Stop>;
    /// A row of a projection; `None` in the middle when the projection is not live.
    fn row(&mut self, projection: &str, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, Stop>;
}

/// A partition without other streams and rows.
#[derive(Clone, Copy, Debug)]
pub struct NoReads;

impl Reads for NoReads {
    fn state(&mut self, _: &str, _: &str) -> Result<Option<Vec<u8>>, Stop> {
        Ok(None)
    }
    fn row(&mut self, _: &str, _: &[u8]) -> Result<Option<Option<Vec<u8>>>, Stop> {
        Ok(Some(None))
    }
}

/// An event of another stream than the decision's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Type of the stream.
    pub aggregate_type: &'static str,
    /// Id of the stream.
    pub id: String,
    /// Type of the event.
    pub event_type: String,
    /// Its data, as JSON.
    pub data: String,
}

/// What a decision may use beside state and command: time, entropy, other streams and rows of the
/// partition, all as of one moment.
pub struct Decision<'a> {
    id: &'a str,
    now: Time,
    stamp: &'a Stamp,
    drawn: bool,
    reads: &'a mut dyn Reads,
    stopped: Option<Stop>,
    appended: Vec<Appended>,
}

impl core::fmt::Debug for Decision<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Decision").field("id", &self.id).field("now", &self.now).finish()
    }
}

impl<'a> Decision<'a> {
    /// A decision on the stream with this id, at this time.
    pub fn new(id: &'a str, now: Time, stamp: &'a Stamp, reads: &'a mut dyn Reads) -> Self {
        Self { id, now, stamp, drawn: false, reads, stopped: None, appended: Vec::new() }
    }

    /// Id of the stream.
    pub const fn id(&self) -> &'a str {
        self.id
    }

    /// Recorded time: never before that of any earlier commit.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// 16 random bytes, the same on every call. Drawing them records them in the commit.
    pub const fn entropy(&mut self) -> [u8; 16] {
        self.drawn = true;
        self.stamp.entropy
    }

    /// Whether [`Self::entropy`] was called.
    pub const fn drew_entropy(&self) -> bool {
        self.drawn
    }

    /// Version and state of another stream. Pass an error on with `?`: mostly the state is not in
    /// memory, is asked for, and the decision is made again from the start.
    pub fn state<B: Aggregate>(&mut self, id: &str) -> Result<Option<(u64, B::State)>, Rejection> {
        let aggregate_type = B::SPEC.aggregate_type;
        let read = self.reads.state(aggregate_type, id);
        let Some(row) = self.passed_on(read)? else { return Ok(None) };
        let state = typed_state(&row);
        let state = self.passed_on(state)?;
        state.map(Some).map_err(|blocked| blocked.problem(&ids::stream_name(aggregate_type, id)))
    }

    /// A row of a projection, as of the last commit. Pass an error on with `?`.
    pub fn row<P: Projection, T: DeserializeOwned>(
        &mut self,
        key: &[u8],
    ) -> Result<Option<T>, Rejection> {
        let name = P::SPEC.name;
        let read = self.reads.row(name, key);
        match self.passed_on(read)? {
            Some(row) => {
                let read = row.map(|bytes| stored(&bytes)).transpose();
                self.passed_on(read)
            }
            None => {
                Err(Problem::new(Code::Restarting, format!("projection {name} is not live now")))
            }
        }
    }

    /// Adds an event of another stream to the commit, after the own ones. Only beside at least one
    /// event of the own stream; read the other stream's state first, to know that it may happen.
    pub fn append<B: Aggregate>(&mut self, id: &str, event: &B::Event) {
        match tagged::write(event) {
            Ok((event_type, _)) if !B::SPEC.events.contains(&event_type.as_str()) => {
                self.stopped = Some(Stop::Fault(undeclared::<B>(&event_type)));
            }
            Ok((event_type, data)) => {
                let aggregate_type = B::SPEC.aggregate_type;
                self.appended.push(Appended { aggregate_type, id: id.into(), event_type, data });
            }
            Err(e) => self.stopped = Some(Stop::Fault(format!("{e}"))),
        }
    }

    /// What was appended, unless a read stopped the decision; to be asked when it is made.
    pub fn finish(self) -> Result<Vec<Appended>, Stop> {
        self.stopped.map_or(Ok(self.appended), Err)
    }

    fn passed_on<T>(&mut self, read: Result<T, Stop>) -> Result<T, Rejection> {
        read.map_err(|stop| {
            self.stopped.get_or_insert(stop);
            Problem::new(Code::Internal, "a read did not come to its end")
        })
    }
}
