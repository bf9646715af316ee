//! Rules about objects.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;

use super::{Check, Seen, Step, Verdict};
use crate::schema::node::{Id, Members, Names};
use crate::schema::report::cut;
use crate::schema::value::Value;

impl Check<'_> {
    pub(super) fn members(
        &mut self,
        rule: &Members,
        value: &Value<'_>,
        mut seen: Option<&mut Seen>,
    ) -> Verdict {
        let Value::Object(object) = value else { return Ok(true) };
        self.pay(object.members.len())?;
        let mut good = true;
        for (index, (name, value)) in object.members.iter().enumerate() {
            let step = Step::Name(name);
            let mut known = false;
            if let Some(id) = rule.id_of(name) {
                known = true;
                good &= self.part(id, step, value, "is a property that is not allowed")?;
            }
            for (pattern, id) in &rule.patterns {
                if self.matches(pattern, name)? {
                    known = true;
                    good &= self.part(*id, step, value, "is a property that is not allowed")?;
                }
            }
            if let (false, Some(id)) = (known, rule.others) {
                known = true;
                let reason =
                    "is a property that the schema does not name, and no others are allowed";
                good &= self.part(id, step, value, reason)?;
            }
            if let (true, Some(seen)) = (known, seen.as_deref_mut()) {
                seen.mark(index);
            }
            if !good && !self.loud {
                break;
            }
        }
        Ok(good)
    }

    pub(super) fn required(&mut self, names: &[Box<str>], value: &Value<'_>) -> Verdict {
        let Value::Object(object) = value else { return Ok(true) };
        self.pay(names.len())?;
        let mut good = true;
        for name in names {
            if object.find(name).is_none() {
                good = self.fail(|| format!("must have the property {}", cut(name)))?;
                if !self.loud {
                    break;
                }
            }
        }
        Ok(good)
    }

    pub(super) fn dependent_required(
        &mut self,
        all: &[(Box<str>, Names)],
        value: &Value<'_>,
    ) -> Verdict {
        let Value::Object(object) = value else { return Ok(true) };
        self.pay(all.len())?;
        let mut good = true;
        for (present, names) in all.iter().filter(|(name, _)| object.find(name).is_some()) {
            self.pay(names.len())?;
            for name in names.iter().filter(|name| object.find(name).is_none()) {
                good = self.fail(|| {
                    format!("must have the property {} beside {}", cut(name), cut(present))
                })?;
                if !self.loud {
                    return Ok(false);
                }
            }
        }
        Ok(good)
    }

    pub(super) fn dependent_schemas(
        &mut self,
        all: &[(Box<str>, Id)],
        value: &Value<'_>,
        mut seen: Option<&mut Seen>,
    ) -> Verdict {
        let Value::Object(object) = value else { return Ok(true) };
        self.pay(all.len())?;
        let mut good = true;
        for (_, id) in all.iter().filter(|(name, _)| object.find(name).is_some()) {
            good &= self.node(*id, value, seen.as_deref_mut())?;
            if !good && !self.loud {
                break;
            }
        }
        Ok(good)
    }

    pub(super) fn property_names(&mut self, id: Id, value: &Value<'_>) -> Verdict {
        let Value::Object(object) = value else { return Ok(true) };
        self.pay(object.members.len())?;
        let mut good = true;
        for (name, _) in &object.members {
            let text = Value::Text(Cow::Borrowed(name));
            if self.quietly(id, &text, None)? {
                continue;
            }
            if !self.loud {
                return Ok(false);
            }
            let said = self.aside(id, &text)?;
            let said = said.first().map_or("is not allowed", |violation| &*violation.message);
            good = self.note(format!("has a property whose name, {}, {said}", cut(name)))?;
        }
        Ok(good)
    }

    pub(super) fn unevaluated_properties(
        &mut self,
        id: Id,
        value: &Value<'_>,
        seen: Option<&mut Seen>,
    ) -> Verdict {
        let (Value::Object(object), Some(seen)) = (value, seen) else { return Ok(true) };
        self.pay(object.members.len())?;
        let reason = "is a property that no part of the schema describes";
        let mut good = true;
        for (index, (name, value)) in object.members.iter().enumerate() {
            if seen.has(index) {
                continue;
            }
            seen.mark(index);
            good &= self.part(id, Step::Name(name), value, reason)?;
            if !good && !self.loud {
                break;
            }
        }
        Ok(good)
    }
}
