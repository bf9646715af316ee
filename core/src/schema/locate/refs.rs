//! Where `$ref` and `$dynamicRef` lead.
//!
//! Owns names, anchors and pointers as ways to a schema. Refuses to leave the document.

use alloc::format;

use super::{Anchor, Map, Step};
use crate::schema::node::Id;
use crate::schema::value::Value;
use crate::schema::{Refused, report, uri};

/// Where a reference leads.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Target<'v> {
    pub(in super::super) id: Id,
    /// The name of the dynamic anchor that was asked for.
    pub(in super::super) dynamic: Option<&'v str>,
}

impl<'v> Map<'v> {
    /// Where a reference in a schema leads. A pointer may lead to a schema that only it finds.
    pub(in super::super) fn target(
        &mut self,
        around: u32,
        reference: &str,
        place: u32,
    ) -> Result<Target<'v>, Refused> {
        let (name, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let own = self.resolve(around, name, place)?;
        let same = self.resources.get(around as usize).is_some_and(|found| found.uri == own);
        let named = if same { Some(around) } else { self.named_so(&own) };
        let Some(resource) = named else {
            let message = format!(
                "refers to another document, {}: only references within the schema are followed",
                report::cut(reference)
            );
            return Err(self.refuse(place, &message));
        };
        let Some(fragment) = uri::decoded(fragment) else {
            return Err(self.refuse(place, "has a fragment that is no text"));
        };
        if fragment.is_empty() || fragment.starts_with('/') {
            let id = self.pointed(resource, &fragment, place)?;
            return Ok(Target { id, dynamic: None });
        }
        match self.anchor(resource, &fragment) {
            Some(Anchor { id, name, dynamic, .. }) => {
                Ok(Target { id, dynamic: dynamic.then_some(name) })
            }
            None => Err(self.refuse(place, "refers to an anchor that is not there")),
        }
    }

    fn pointed(&mut self, resource: u32, pointer: &str, place: u32) -> Result<Id, Refused> {
        let Some(found) = self.resources.get(resource as usize) else {
            return Err(self.refuse(place, "refers to nothing"));
        };
        let (mut value, mut at, mut around) = (found.root, found.place, resource);
        for part in pointer.split('/').skip(1) {
            let name = part.replace("~1", "/").replace("~0", "~");
            let next = match value {
                Value::Object(object) => object.find(&name).and_then(|(index, _)| {
                    let (name, value) = object.members.get(index)?;
                    Some((value, Step::Name(at, name)))
                }),
                Value::Array(elements) => decimal_index(&name)
                    .and_then(|index| Some((elements.get(index)?, Step::Index(at, index)))),
                _ => None,
            };
            let Some((below, step)) = next else {
                return Err(self.refuse(place, "refers to a place that is not there"));
            };
            (value, at) = (below, self.place(step));
            if let Some(known) = self.id(value).and_then(|id| self.found.get(id as usize)) {
                around = known.resource;
            }
        }
        self.schema(value, around, at)
    }
}

/// The index that a step of a pointer is.
fn decimal_index(text: &str) -> Option<usize> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}
