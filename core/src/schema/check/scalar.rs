//! Rules about values that have no parts, and about how long a value is.

use alloc::format;
use alloc::string::String;
use core::cmp::Ordering;

use super::{Check, Stop, Verdict};
use crate::json::unsigned;
use crate::schema::decimal::{Decimal, Divisor};
use crate::schema::node::{Bound, Enum, Measure, types};
use crate::schema::pattern::Pattern;
use crate::schema::report::{counted, cut, got};
use crate::schema::value::Value;

impl Check<'_> {
    pub(super) fn types(&mut self, mask: u8, value: &Value<'_>) -> Verdict {
        let own = match value {
            Value::Null => types::NULL,
            Value::Bool(_) => types::BOOLEAN,
            Value::Object(_) => types::OBJECT,
            Value::Array(_) => types::ARRAY,
            Value::Text(_) => types::STRING,
            Value::Number(_) => types::NUMBER,
        };
        if mask & own != 0 {
            return Ok(true);
        }
        if let (Value::Number(token), true) = (value, mask & types::INTEGER != 0)
            && (unsigned(token).is_some() || Decimal::of(token).is_integer())
        {
            return Ok(true);
        }
        self.fail(|| {
            let found = match value {
                Value::Number(_) => got(value),
                _ => value.kind().into(),
            };
            format!("must be {}, got {found}", type_names(mask))
        })
    }

    pub(super) fn one_of_values(&mut self, wanted: &Enum, value: &Value<'_>) -> Verdict {
        let (has, bytes) = wanted.set.has(value, &mut self.room);
        self.pay(bytes >> 4)?;
        if has {
            return Ok(true);
        }
        self.fail(|| format!("{}, got {}", wanted.shown, got(value)))
    }

    pub(super) fn bound(&mut self, bound: Bound, limit: &str, value: &Value<'_>) -> Verdict {
        let Value::Number(token) = value else { return Ok(true) };
        self.pay(token.len() >> 6)?;
        // Most numbers, and most limits, are digits and nothing else.
        let order = match (unsigned(token), unsigned(limit)) {
            (Some(number), Some(limit)) => number.cmp(&limit),
            _ => Decimal::of(token).compare(&Decimal::of(limit)),
        };
        let (good, words) = match bound {
            Bound::Minimum => (order != Ordering::Less, "at least"),
            Bound::Maximum => (order != Ordering::Greater, "at most"),
            Bound::ExclusiveMinimum => (order == Ordering::Greater, "above"),
            Bound::ExclusiveMaximum => (order == Ordering::Less, "below"),
        };
        if good {
            return Ok(true);
        }
        self.fail(|| format!("must be {words} {}, got {}", got(&Value::Number(limit)), got(value)))
    }

    pub(super) fn multiple(&mut self, by: &Divisor, shown: &str, value: &Value<'_>) -> Verdict {
        let Value::Number(token) = value else { return Ok(true) };
        self.pay(token.len() >> 4)?;
        if by.divides(&Decimal::of(token)) {
            return Ok(true);
        }
        self.fail(|| {
            format!("must be a multiple of {}, got {}", got(&Value::Number(shown)), got(value))
        })
    }

    pub(super) fn at_least(&mut self, measure: Measure, least: u64, value: &Value<'_>) -> Verdict {
        match self.size(measure, value)? {
            Some(size) if size < least => self.fail(|| length(measure, "at least", least, size)),
            _ => Ok(true),
        }
    }

    pub(super) fn at_most(&mut self, measure: Measure, most: u64, value: &Value<'_>) -> Verdict {
        // No text has more characters than bytes.
        if let (Measure::Characters, Value::Text(text)) = (measure, value)
            && text.len() as u64 <= most
        {
            return Ok(true);
        }
        match self.size(measure, value)? {
            Some(size) if size > most => self.fail(|| length(measure, "at most", most, size)),
            _ => Ok(true),
        }
    }

    /// How long a value is; `None` when the rule is about another kind of value.
    fn size(&mut self, measure: Measure, value: &Value<'_>) -> Result<Option<u64>, Stop> {
        Ok(Some(match (measure, value) {
            (Measure::Characters, Value::Text(text)) => {
                self.pay(text.len() >> 6)?;
                text.chars().count() as u64
            }
            (Measure::Items, Value::Array(elements)) => elements.len() as u64,
            (Measure::Properties, Value::Object(object)) => object.members.len() as u64,
            _ => return Ok(None),
        }))
    }

    pub(super) fn pattern(&mut self, pattern: &Pattern, value: &Value<'_>) -> Verdict {
        let Value::Text(text) = value else { return Ok(true) };
        if self.matches(pattern, text)? {
            return Ok(true);
        }
        self.fail(|| format!("must match the pattern {}, got {}", cut(&pattern.source), got(value)))
    }

    pub(super) fn matches(&mut self, pattern: &Pattern, text: &str) -> Verdict {
        pattern.is_match(text, &mut self.scratch, &mut self.budget).ok_or(Stop::Costly)
    }
}

fn length(measure: Measure, words: &str, limit: u64, size: u64) -> String {
    let (one, many) = match measure {
        Measure::Characters => ("character", "characters"),
        Measure::Items => ("item", "items"),
        Measure::Properties => ("property", "properties"),
    };
    format!("must have {words} {}, got {size}", counted(limit, one, many))
}

fn type_names(mask: u8) -> String {
    let mut out = String::new();
    let named = types::NAMES.iter().filter(|(_, bit)| mask & bit != 0);
    for (index, (name, _)) in named.enumerate() {
        if index > 0 {
            out.push_str(" or ");
        }
        let article = match *name {
            "null" => "",
            "array" | "object" | "integer" => "an ",
            _ => "a ",
        };
        out.push_str(article);
        out.push_str(name);
    }
    out
}
