//! Rules about arrays.

use alloc::format;

use super::{Check, Seen, Step, Verdict};
use crate::schema::canon::Set;
use crate::schema::node::Id;
use crate::schema::report::counted;
use crate::schema::value::Value;

impl Check<'_> {
    pub(super) fn unique(&mut self, value: &Value<'_>) -> Verdict {
        let Value::Array(elements) = value else { return Ok(true) };
        self.pay(elements.len())?;
        let set = Set::new(elements);
        self.pay(set.len() >> 4)?;
        match set.twice() {
            None => Ok(true),
            Some((a, b)) => self
                .fail(|| format!("must not have equal items, but the items {a} and {b} are equal")),
        }
    }

    pub(super) fn items(
        &mut self,
        prefix: &[Id],
        rest: Option<Id>,
        value: &Value<'_>,
        mut seen: Option<&mut Seen>,
    ) -> Verdict {
        let Value::Array(elements) = value else { return Ok(true) };
        let mut good = true;
        for (index, element) in elements.iter().enumerate() {
            let Some(id) = prefix.get(index).copied().or(rest) else { break };
            if let Some(seen) = seen.as_deref_mut() {
                seen.mark(index);
            }
            self.pay(1)?;
            if !self.part(id, Step::Index(index), element, "is an item that is not allowed")? {
                good = false;
                if !self.loud {
                    break;
                }
            }
        }
        Ok(good)
    }

    pub(super) fn contains(
        &mut self,
        id: Id,
        (least, most): (u64, Option<u64>),
        value: &Value<'_>,
        mut seen: Option<&mut Seen>,
    ) -> Verdict {
        let Value::Array(elements) = value else { return Ok(true) };
        let mut count = 0_u64;
        for (index, element) in elements.iter().enumerate() {
            self.pay(1)?;
            if self.quietly(id, element, None)? {
                count = count.saturating_add(1);
                if let Some(seen) = seen.as_deref_mut() {
                    seen.mark(index);
                } else if most.is_none() && count >= least {
                    break;
                }
            }
        }
        let items = |count| counted(count, "item", "items");
        if count < least {
            return self.fail(|| {
                let wanted = items(least);
                format!("must contain at least {wanted} of what `contains` asks for, got {count}")
            });
        }
        match most {
            Some(most) if count > most => self.fail(|| {
                let wanted = items(most);
                format!("must contain at most {wanted} of what `contains` asks for, got {count}")
            }),
            _ => Ok(true),
        }
    }

    pub(super) fn unevaluated_items(
        &mut self,
        id: Id,
        value: &Value<'_>,
        seen: Option<&mut Seen>,
    ) -> Verdict {
        let (Value::Array(elements), Some(seen)) = (value, seen) else { return Ok(true) };
        let reason = "is an item that no part of the schema describes";
        let mut good = true;
        for (index, element) in elements.iter().enumerate() {
            self.pay(1)?;
            if seen.has(index) {
                continue;
            }
            seen.mark(index);
            if !self.part(id, Step::Index(index), element, reason)? {
                good = false;
                if !self.loud {
                    break;
                }
            }
        }
        Ok(good)
    }
}
