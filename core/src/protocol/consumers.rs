//! The messages of consumers: what the driver asks and tells of them, and what it is told.
//!
//! Owns plain values. Refuses to know what a topic is, and when anything is delivered.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// A place in a topic: all up to there has been delivered, or is not wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Position of the last of these events; 0 before the first one.
    pub position: u64,
    /// Its id.
    pub id: Option<String>,
}

/// What is saved of a consumer's way through a topic: its place, and how many attempts at what comes
/// next have failed.
pub type Cursor = (Place, u32);

/// What becomes of a consumer that does not take a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// It is removed at once.
    #[default]
    Remove,
    /// It is tried again some times, and removed then.
    Retry,
}

/// What the driver wants of the guest for consumers: nobody else can ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dispatch {
    /// A page of the consumers there are, after this id.
    List {
        /// Only ids beyond it.
        after: String,
    },
    /// Events of a topic, as they are delivered.
    Page {
        /// Name of the topic.
        topic: String,
        /// Only those beyond this position.
        after: u64,
        /// At most so many.
        limit: u32,
    },
    /// Removes one that did not take a delivery.
    Remove {
        /// Its id.
        consumer: String,
        /// Why.
        reason: String,
    },
    /// Records how far one has got.
    Advance {
        /// Its id.
        consumer: String,
        /// In which topics.
        topics: Vec<(String, Place)>,
    },
}

/// What the driver is told of consumers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dispatched {
    /// A page of them, by id.
    Consumers {
        /// They.
        found: Vec<Consumer>,
        /// There are more beyond the last one.
        more: bool,
    },
    /// Events of a topic.
    Events(Page),
}

/// A consumer, as deliveries need to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    /// Its id.
    pub id: String,
    /// Whom to call.
    pub callback: String,
    /// From where deliveries go on, by topic.
    pub topics: Vec<(String, Place)>,
    /// Of topics where the last attempt failed: how many did.
    pub attempts: Vec<(String, u32)>,
    /// What becomes of it when it does not take one.
    pub on_failure: OnFailure,
    /// Generation of its secret.
    pub generation: u32,
    /// Earlier ones that sign too, and until when.
    pub older: Vec<(u32, Time)>,
}

/// Events of a topic, as they are delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// They, as a JSON array.
    pub events: String,
    /// How many.
    pub count: u32,
    /// Where the last one is.
    pub last: Place,
    /// Up to this position nothing is left to be delivered.
    pub looked: u64,
    /// How often what led to them went from log to log, at most.
    pub hops: u32,
}

/// Room in an answer's body for the secret of a consumer, which the guest does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretHole {
    /// Where it starts.
    pub offset: u64,
    /// Whose it is.
    pub consumer: String,
    /// Which generation of it.
    pub generation: u32,
}

/// What holds the place of a secret in an answer: a secret of this form is as long.
pub const SECRET_HOLE: &str = "whsec_00000000000000000000000000000000000000000000";
