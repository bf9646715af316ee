//! The first walk over a schema document: which values are schemas, and what they are called.
//!
//! Owns `$schema`, `$id`, `$anchor` and `$dynamicAnchor`; `refs` owns where a reference leads. A
//! schema gets its index here, before any is compiled, so that all can refer to all.
//!
//! Invariant: a value is one schema, however many ways lead to it. Its address in the document,
//! which is neither moved nor changed meanwhile, tells it from others; no order is taken from it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

mod refs;

pub(super) use self::refs::Target;

use super::Refused;
use super::node::Id;
use super::uri;
use super::value::{Object, Value};
use crate::sorted::order;

/// Characters of a name, once it is resolved: relative ones could otherwise multiply a long base.
const URI_CHARS_MAX: usize = 1_024;

/// Names given by `$id`, and names of anchors.
const NAMES_MAX: usize = 1_000;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords whose value is a schema.
const ONE: [&str; 11] = [
    "not",
    "if",
    "then",
    "else",
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords whose value is a list of schemas.
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is an object of schemas.
const MAP: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "$defs"];

/// A place in the document: where it lies, and the step that leads from there to it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'v> {
    Root,
    Name(u32, &'v str),
    Index(u32, usize),
}

/// A value that is a schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'v> {
    pub(super) value: &'v Value<'v>,
    pub(super) resource: u32,
    pub(super) place: u32,
}

/// A schema with a name of its own, and all below it up to the next one.
#[derive(Debug)]
pub(super) struct Resource<'v> {
    uri: String,
    root: &'v Value<'v>,
    place: u32,
}

/// A name within a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor<'v> {
    pub(super) resource: u32,
    pub(super) name: &'v str,
    pub(super) dynamic: bool,
    pub(super) id: Id,
}

/// All that is known of a document's schemas.
#[derive(Debug)]
pub(super) struct Map<'v> {
    pub(super) found: Vec<Found<'v>>,
    pub(super) anchors: Vec<Anchor<'v>>,
    resources: Vec<Resource<'v>>,
    /// The addresses of all values that can be schemas, sorted.
    addresses: Vec<usize>,
    /// For each of them the schema that it is.
    ids: Vec<Option<Id>>,
    places: Vec<Step<'v>>,
}

fn address(value: &Value<'_>) -> usize {
    core::ptr::from_ref(value).addr()
}

/// Notes the addresses of all objects and booleans below a value.
fn gather(value: &Value<'_>, out: &mut Vec<usize>) {
    match value {
        Value::Bool(_) => out.push(address(value)),
        Value::Array(elements) => elements.iter().for_each(|value| gather(value, out)),
        Value::Object(object) => {
            out.push(address(value));
            object.members.iter().for_each(|(_, value)| gather(value, out));
        }
        _ => {}
    }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl<'v> Map<'v> {
    /// Finds the schemas of a document.
    pub(super) fn new(root: &'v Value<'v>) -> Result<Self, Refused> {
        let mut all = Vec::new();
        gather(root, &mut all);
        let sorted = order(all.len(), &|a, b| all.get(a).cmp(&all.get(b)));
        let addresses: Vec<usize> =
            sorted.into_iter().filter_map(|index| all.get(index as usize).copied()).collect();
        let mut map = Self {
            found: Vec::new(),
            anchors: Vec::new(),
            resources: Vec::from([Resource { uri: String::new(), root, place: 0 }]),
            ids: alloc::vec![None; addresses.len()],
            addresses,
            places: Vec::from([Step::Root]),
        };
        map.schema(root, 0, 0)?;
        Ok(map)
    }

    /// The index of a schema that was found.
    pub(super) fn id(&self, value: &Value<'_>) -> Option<Id> {
        let at = self.addresses.binary_search(&address(value)).ok()?;
        self.ids.get(at).copied().flatten()
    }

    fn set_id(&mut self, value: &Value<'_>, id: Id) {
        let at = self.addresses.binary_search(&address(value)).ok();
        if let Some(found) = at.and_then(|at| self.ids.get_mut(at)) {
            *found = Some(id);
        }
    }

    pub(super) fn place(&mut self, step: Step<'v>) -> u32 {
        self.places.push(step);
        index(self.places.len()).saturating_sub(1)
    }

    pub(super) fn refuse(&self, place: u32, message: &str) -> Refused {
        let (mut parts, mut at) = (Vec::new(), place);
        while let Some(step) = self.places.get(at as usize) {
            at = match *step {
                Step::Root => break,
                Step::Name(parent, name) => {
                    parts.push(format!("/{}", name.replace('~', "~0").replace('/', "~1")));
                    parent
                }
                Step::Index(parent, index) => {
                    parts.push(format!("/{index}"));
                    parent
                }
            };
        }
        parts.reverse();
        Refused { pointer: parts.concat(), message: message.into() }
    }

    /// Takes in a schema and all below it. It recurses as deep as the document is nested.
    fn schema(&mut self, value: &'v Value<'v>, around: u32, place: u32) -> Result<Id, Refused> {
        if let Some(id) = self.id(value) {
            return Ok(id);
        }
        let id = index(self.found.len());
        self.set_id(value, id);
        let members = match value {
            Value::Bool(_) => {
                self.found.push(Found { value, resource: around, place });
                return Ok(id);
            }
            Value::Object(members) => members,
            other => {
                let message = format!("a schema is an object or a boolean, not {}", other.kind());
                return Err(self.refuse(place, &message));
            }
        };
        self.dialect(members, place)?;
        let resource = self.named(value, members, around, place)?;
        self.found.push(Found { value, resource, place });
        self.anchors(members, resource, place, id)?;
        for (name, value) in &members.members {
            let below = Step::Name(place, name);
            if ONE.contains(&&**name) {
                let place = self.place(below);
                self.schema(value, resource, place)?;
            } else if LIST.contains(&&**name) {
                self.list(value, resource, below)?;
            } else if MAP.contains(&&**name) {
                self.map(value, resource, below)?;
            }
        }
        Ok(id)
    }

    fn list(&mut self, value: &'v Value<'v>, resource: u32, at: Step<'v>) -> Result<(), Refused> {
        let place = self.place(at);
        let Value::Array(elements) = value else {
            return Err(self.refuse(place, "must be an array of schemas"));
        };
        if elements.is_empty() {
            return Err(self.refuse(place, "must hold at least one schema"));
        }
        for (index, value) in elements.iter().enumerate() {
            let place = self.place(Step::Index(place, index));
            self.schema(value, resource, place)?;
        }
        Ok(())
    }

    fn map(&mut self, value: &'v Value<'v>, resource: u32, at: Step<'v>) -> Result<(), Refused> {
        let place = self.place(at);
        let Value::Object(Object { members, .. }) = value else {
            return Err(self.refuse(place, "must be an object of schemas"));
        };
        for (name, value) in members {
            let place = self.place(Step::Name(place, name));
            self.schema(value, resource, place)?;
        }
        Ok(())
    }

    fn dialect(&mut self, members: &'v Object<'v>, place: u32) -> Result<(), Refused> {
        match members.get("$schema") {
            None => Ok(()),
            Some(Value::Text(uri)) if uri.strip_suffix('#').unwrap_or(uri) == DIALECT => Ok(()),
            Some(_) => {
                let place = self.place(Step::Name(place, "$schema"));
                Err(self.refuse(place, &format!("must be \"{DIALECT}\": no other is supported")))
            }
        }
    }

    /// The resource that a schema is part of: a new one when it has an `$id`.
    fn named(
        &mut self,
        root: &'v Value<'v>,
        members: &'v Object<'v>,
        around: u32,
        place: u32,
    ) -> Result<u32, Refused> {
        let Some(own) = members.get("$id") else { return Ok(around) };
        let at = self.place(Step::Name(place, "$id"));
        let Value::Text(own) = own else {
            return Err(self.refuse(at, "must be a string"));
        };
        let (name, fragment) = own.split_once('#').unwrap_or((own, ""));
        if !fragment.is_empty() {
            return Err(self.refuse(at, "must not have a fragment"));
        }
        let uri = self.resolve(around, name, at)?;
        let resource = if place == 0 { 0 } else { index(self.resources.len()) };
        if self.named_so(&uri).is_some() {
            return Err(self.refuse(at, "names a schema that is already named so"));
        }
        self.bounded(self.resources.len(), at)?;
        if let Some(whole) = self.resources.get_mut(resource as usize) {
            whole.uri = uri;
        } else {
            self.resources.push(Resource { uri, root, place });
        }
        Ok(resource)
    }

    /// The resource that has a name.
    fn named_so(&self, uri: &str) -> Option<u32> {
        self.resources.iter().position(|found| found.uri == uri && !uri.is_empty()).map(index)
    }

    /// Names are looked for one by one.
    fn bounded(&self, count: usize, place: u32) -> Result<(), Refused> {
        if count < NAMES_MAX {
            return Ok(());
        }
        Err(self.refuse(place, &format!("is one of more than {NAMES_MAX} names of its kind")))
    }

    fn resolve(&self, around: u32, reference: &str, place: u32) -> Result<String, Refused> {
        let base = self.resources.get(around as usize).map(|found| &*found.uri).unwrap_or("");
        if reference.len() <= URI_CHARS_MAX {
            let uri = uri::resolve(base, reference);
            if uri.len() <= URI_CHARS_MAX {
                return Ok(uri);
            }
        }
        Err(self.refuse(place, &format!("is longer than {URI_CHARS_MAX} bytes once resolved")))
    }

    fn anchors(
        &mut self,
        members: &'v Object<'v>,
        resource: u32,
        place: u32,
        id: Id,
    ) -> Result<(), Refused> {
        for (keyword, dynamic) in [("$anchor", false), ("$dynamicAnchor", true)] {
            let Some(value) = members.get(keyword) else { continue };
            let at = self.place(Step::Name(place, keyword));
            let first = |c: char| c.is_ascii_alphabetic() || c == '_';
            let other = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let name = match value {
                Value::Text(name) if name.starts_with(first) && name.chars().all(other) => name,
                _ => return Err(self.refuse(at, "must be a name of letters, digits, -, _ and .")),
            };
            // One schema may have the same name both ways.
            if self.anchor(resource, name).is_some_and(|other| other.id != id) {
                return Err(self.refuse(at, "is an anchor that another schema already has"));
            }
            self.bounded(self.anchors.len(), at)?;
            self.anchors.push(Anchor { resource, name, dynamic, id });
        }
        Ok(())
    }

    fn anchor(&self, resource: u32, name: &str) -> Option<Anchor<'v>> {
        let own = |found: &&Anchor<'_>| found.resource == resource && found.name == name;
        // Of two the dynamic one, which was found later.
        self.anchors.iter().rev().find(own).copied()
    }
}
