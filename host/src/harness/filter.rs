//! Which records are wanted.
//!
//! Owns what the filter flags of `log` mean. Refuses to know how records are read and shown.

use foldlog_core::ids;
use foldlog_core::record::Record;
use foldlog_core::time::Time;

use super::commits::{Line, range, time};
use crate::cli::FilterFlags;

/// All of it has to hold.
#[derive(Clone, Debug)]
pub struct Filter {
    aggregate_type: Option<String>,
    aggregate_id: Option<String>,
    types: Vec<String>,
    from: Time,
    to: Time,
    /// First position that may be shown.
    pub low: u64,
    high: u64,
    correlation: Option<String>,
}

impl Filter {
    /// Reads the flags.
    pub fn of(flags: &FilterFlags) -> Result<Self, String> {
        let (aggregate_type, aggregate_id) = match flags.aggregate.as_deref() {
            None => (None, None),
            Some(text) => match ids::split_stream(text) {
                Some((kind, id)) => (Some(kind.to_string()), Some(id.to_string())),
                None => (Some(text.to_string()), None),
            },
        };
        let at = |flag, text: &Option<String>| text.as_deref().map(|t| time(flag, t)).transpose();
        let (low, high) = flags.positions.as_deref().map_or(Ok((0, u64::MAX)), range)?;
        Ok(Self {
            aggregate_type,
            aggregate_id,
            types: flags.types.clone(),
            from: at("--from", &flags.from)?.unwrap_or(Time(0)),
            to: at("--to", &flags.to)?.unwrap_or(Time::MAX),
            low,
            high,
            correlation: flags.correlation.clone(),
        })
    }

    /// Whether neither this commit nor any after it has anything to show: neither positions nor
    /// recorded times ever go back.
    pub fn is_past(&self, line: &Line<'_>) -> bool {
        line.commit.position > self.high || line.time > self.to
    }

    /// Whether the record is wanted.
    pub fn wants(&self, record: &Record<'_>) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        (self.low..=self.high).contains(&record.position)
            && (self.from..=self.to).contains(&record.time)
            && is(&self.aggregate_type, record.aggregate_type)
            && is(&self.aggregate_id, record.aggregate_id)
            && (self.types.is_empty() || self.types.iter().any(|t| t == record.event_type()))
            && self.correlation.as_deref().is_none_or(|id| id == record.correlation_id())
    }
}
