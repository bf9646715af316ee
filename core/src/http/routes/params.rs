//! Query parameters: what each may hold, and which lists of them routes have.
//!
//! Owns their names and what the contract says of them. Refuses to know which route has which list.

use alloc::borrow::Cow;
use alloc::format;

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it may hold.
    pub kind: ParamKind,
    /// One line for the contract.
    pub doc: &'static str,
}

/// What a query parameter may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// 1 to 1,000.
    Limit,
    /// 0 to 2^53−1.
    Position,
    /// 1 to 2^53−1.
    Version,
    /// A key: 1 to 512 bytes.
    Key,
    /// Visible ASCII and space, 1 to 255 characters.
    Text,
    /// `asc` or `desc`.
    Order,
    /// ISO 8601, UTC.
    Time,
    /// An id: `[A-Za-z0-9._:-]{1,128}`.
    Id,
    /// A day: `YYYY-MM-DD`.
    Day,
    /// One of these.
    OneOf(&'static [&'static str]),
}

impl ParamKind {
    /// For error texts.
    pub fn expectation(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Limit => "an integer from 1 to 1000",
            Self::Position => "an integer from 0 to 9007199254740991",
            Self::Version => "an integer from 1 to 9007199254740991",
            Self::Key => "1 to 512 bytes",
            Self::Text => "1 to 255 visible ASCII characters or spaces",
            Self::Order => "asc or desc",
            Self::Time => "a UTC time such as 2026-01-31T12:00:00.000Z",
            Self::Id => "an id: 1 to 128 characters from A-Z a-z 0-9 . _ : -",
            Self::Day => "a day such as 2026-01-31",
            Self::OneOf(words) => return format!("one of {}", words.join(", ")).into(),
        })
    }
}

pub(super) const LIMIT: Param = Param {
    name: "limit",
    kind: ParamKind::Limit,
    doc: "At most this many items; 100 when left out",
};
pub(super) const AFTER: Param = Param {
    name: "after",
    kind: ParamKind::Position,
    doc: "Only items after this position; with order=desc, before it",
};
pub(super) const AFTER_KEY: Param =
    Param { name: "after", kind: ParamKind::Key, doc: "Only items after this key" };
pub(super) const ORDER: Param =
    Param { name: "order", kind: ParamKind::Order, doc: "By position; ascending when left out" };

const TYPE: Param = Param { name: "type", kind: ParamKind::Text, doc: "Only events of this type" };
const CATEGORY: Param =
    Param { name: "category", kind: ParamKind::Text, doc: "Only events of this aggregate type" };
const CORRELATION: Param = Param {
    name: "correlationId",
    kind: ParamKind::Text,
    doc: "Only events of this correlation id",
};
const FROM: Param =
    Param { name: "from", kind: ParamKind::Time, doc: "Only events recorded then or later" };
const TO: Param =
    Param { name: "to", kind: ParamKind::Time, doc: "Only events recorded then or earlier" };

pub(super) const STREAM_PARAMS: &[Param] =
    &[LIMIT, AFTER, ORDER, TYPE, CATEGORY, CORRELATION, FROM, TO];

pub(super) const LIVE_PARAMS: &[Param] = &[
    Param {
        name: "after",
        kind: ParamKind::Position,
        doc: "First those stored after this position; when left out, only events to come",
    },
    TYPE,
    CATEGORY,
    CORRELATION,
    FROM,
    TO,
];

pub(super) const EVENTS_OF_PARAMS: &[Param] = &[
    LIMIT,
    AFTER,
    ORDER,
    Param {
        name: "fromVersion",
        kind: ParamKind::Version,
        doc: "Only events of this version or later",
    },
];

pub(super) const TOPIC_EVENTS_PARAMS: &[Param] = &[
    LIMIT,
    Param {
        name: "sinceEventId",
        kind: ParamKind::Id,
        doc: "Only events after this one, which must be the topic's",
    },
    Param { name: "date", kind: ParamKind::Day, doc: "Only events recorded on this day, UTC" },
];

pub(super) const STATE_PARAMS: &[Param] = &[
    Param { name: "atVersion", kind: ParamKind::Version, doc: "As of this version of the stream" },
    Param { name: "atTime", kind: ParamKind::Time, doc: "As of this time, inclusive" },
    Param { name: "toSequence", kind: ParamKind::Version, doc: "The same as atVersion" },
    Param { name: "toTimestamp", kind: ParamKind::Time, doc: "The same as atTime" },
];

/// Whether a query parameter asks for a state as of then.
pub fn travels(name: &str) -> bool {
    STATE_PARAMS.iter().any(|param| param.name == name)
}

pub(super) const EFFECT_PARAMS: &[Param] = &[
    LIMIT,
    Param { name: "after", kind: ParamKind::Key, doc: "Only effects after this id" },
    Param {
        name: "status",
        kind: ParamKind::OneOf(super::super::effects::STATUSES),
        doc: "Only effects of this status",
    },
];

pub(super) const EXPORT_PARAMS: &[Param] = &[Param {
    name: "after",
    kind: ParamKind::Position,
    doc: "Only commits after this position; from genesis when left out",
}];

pub(super) const IMPORT_PARAMS: &[Param] = &[
    Param {
        name: "after",
        kind: ParamKind::Position,
        doc: "The part continues behind the commit that ends here, and what lies beyond is discarded; when left out, it starts a log anew",
    },
    Param {
        name: "complete",
        kind: ParamKind::OneOf(&["true", "false"]),
        doc: "Whether it is the last part",
    },
];

pub(super) const REJECTED_PARAMS: &[Param] = &[
    LIMIT,
    Param {
        name: "after",
        kind: ParamKind::Position,
        doc: "Only those with a number beyond this one",
    },
];
