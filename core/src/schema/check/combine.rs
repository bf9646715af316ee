//! Rules that apply other schemas to the same value.

use alloc::format;
use alloc::string::String;

use super::{Check, Seen, Stop, Verdict};
use crate::schema::node::{Dynamic, Id};
use crate::schema::report::{counted, cut};
use crate::schema::value::Value;

impl Check<'_> {
    /// Where a dynamic reference leads: to the outermost resource that has such an anchor.
    pub(super) fn dynamic(&mut self, dynamic: &Dynamic) -> Result<Id, Stop> {
        let anchors = &self.schema.anchors;
        self.pay(anchors.len().saturating_mul(self.scope.len()))?;
        let at = |resource: &u32| {
            let own = |(own, name, _): &&(u32, _, _)| own == resource && *name == dynamic.anchor;
            anchors.iter().find(own).map(|(_, _, id)| *id)
        };
        Ok(self.scope.iter().find_map(at).unwrap_or(dynamic.fallback))
    }

    pub(super) fn all_of(
        &mut self,
        ids: &[Id],
        value: &Value<'_>,
        mut seen: Option<&mut Seen>,
    ) -> Verdict {
        let mut good = true;
        for id in ids {
            good &= self.node(*id, value, seen.as_deref_mut())?;
            if !good && !self.loud {
                break;
            }
        }
        Ok(good)
    }

    pub(super) fn any_of(
        &mut self,
        ids: &[Id],
        value: &Value<'_>,
        mut seen: Option<&mut Seen>,
    ) -> Verdict {
        let mut good = false;
        for id in ids {
            if self.branch(*id, value, seen.as_deref_mut())? {
                good = true;
                if seen.is_none() {
                    break;
                }
            }
        }
        if good {
            return Ok(true);
        }
        let count = counted(ids.len() as u64, "schema", "schemas");
        self.none_fits(ids, value, |nearest| {
            format!("must fit at least one of the {count} of `anyOf`{nearest}")
        })
    }

    pub(super) fn one_of(
        &mut self,
        ids: &[Id],
        value: &Value<'_>,
        mut seen: Option<&mut Seen>,
    ) -> Verdict {
        let mut first = None;
        for (index, id) in ids.iter().enumerate() {
            if !self.branch(*id, value, seen.as_deref_mut())? {
                continue;
            }
            if let Some(first) = first.replace(index) {
                return self.fail(|| {
                    let both = format!("but it fits those at {first} and {index}");
                    format!("must fit exactly one of the schemas of `oneOf`, {both}")
                });
            }
        }
        if first.is_some() {
            return Ok(true);
        }
        let count = counted(ids.len() as u64, "schema", "schemas");
        self.none_fits(ids, value, |nearest| {
            format!("must fit exactly one of the {count} of `oneOf`{nearest}")
        })
    }

    /// Evaluates one of several; what it has evaluated counts only when it holds.
    fn branch(&mut self, id: Id, value: &Value<'_>, seen: Option<&mut Seen>) -> Verdict {
        let Some(seen) = seen else { return self.quietly(id, value, None) };
        let mut own = Seen::default();
        let good = self.quietly(id, value, Some(&mut own))?;
        if good {
            self.pay(own.cost())?;
            seen.merge(&own);
        }
        Ok(good)
    }

    /// Says of the schema that got furthest into the value what it still lacks.
    fn none_fits(
        &mut self,
        ids: &[Id],
        value: &Value<'_>,
        message: impl FnOnce(String) -> String,
    ) -> Verdict {
        if !self.loud {
            return Ok(false);
        }
        let mut nearest: Option<(usize, super::Violation)> = None;
        for id in ids {
            // Without the budget to say more, it is told at least that none fits.
            let Ok(said) = self.aside(*id, value) else { break };
            let Some(one) = said.into_iter().next() else { continue };
            let depth = one.pointer.bytes().filter(|b| *b == b'/').count();
            if nearest.as_ref().is_none_or(|(other, _)| depth > *other) {
                nearest = Some((depth, one));
            }
        }
        let nearest = nearest.map_or(String::new(), |(_, one)| {
            let below = one.pointer.get(self.path.len()..).unwrap_or_default();
            let place = if below.is_empty() { "it".into() } else { cut(below) };
            format!("; nearest: {place} {}", one.message)
        });
        self.note(message(nearest))
    }

    pub(super) fn not(&mut self, id: Id, value: &Value<'_>) -> Verdict {
        if !self.quietly(id, value, None)? {
            return Ok(true);
        }
        self.fail(|| "must not fit the schema of `not`".into())
    }

    pub(super) fn condition(
        &mut self,
        condition: Id,
        (then, otherwise): (Option<Id>, Option<Id>),
        value: &Value<'_>,
        mut seen: Option<&mut Seen>,
    ) -> Verdict {
        let next =
            if self.branch(condition, value, seen.as_deref_mut())? { then } else { otherwise };
        match next {
            Some(id) => self.node(id, value, seen),
            None => Ok(true),
        }
    }
}
