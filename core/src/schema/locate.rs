//! The first walk over a schema document: which values are schemas, and what they are called.
//!
//! Owns `$schema`, `$id`, `$anchor`, `$dynamicAnchor`, and where a reference leads. A schema gets
//! its index here, before any is compiled, so that all can refer to all.
//!
//! Invariant: a value is one schema, however many ways lead to it. Its address in the document,
//! which is neither moved nor changed meanwhile, tells it from others; no order is taken from it.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Refused;
use super::node::Id;
use super::uri;
use super::value::{Object, Value};

/// Characters of a name, once it is resolved: relative ones could otherwise multiply a long base.
const URI_CHARS_MAX: usize = 1_024;

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
    /// Whether it is a dynamic anchor, and what it stands for.
    pub(super) anchors: BTreeMap<&'v str, (bool, Id)>,
}

/// Where a reference leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'v> {
    pub(super) id: Id,
    /// The name of the dynamic anchor that was asked for.
    pub(super) dynamic: Option<&'v str>,
}

/// All that is known of a document's schemas.
#[derive(Debug)]
pub(super) struct Map<'v> {
    pub(super) found: Vec<Found<'v>>,
    pub(super) resources: Vec<Resource<'v>>,
    ids: BTreeMap<usize, Id>,
    uris: BTreeMap<String, u32>,
    places: Vec<Step<'v>>,
}

fn address(value: &Value<'_>) -> usize {
    core::ptr::from_ref(value).addr()
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl<'v> Map<'v> {
    /// Finds the schemas of a document.
    pub(super) fn new(root: &'v Value<'v>) -> Result<Self, Refused> {
        let (found, places) = (Vec::new(), Vec::from([Step::Root]));
        let (ids, uris) = (BTreeMap::new(), BTreeMap::new());
        let whole = Resource { uri: String::new(), root, place: 0, anchors: BTreeMap::new() };
        let mut map = Self { found, resources: Vec::from([whole]), ids, uris, places };
        map.schema(root, 0, 0)?;
        Ok(map)
    }

    /// The index of a schema that was found.
    pub(super) fn id(&self, value: &Value<'_>) -> Option<Id> {
        self.ids.get(&address(value)).copied()
    }

    pub(super) fn place(&mut self, step: Step<'v>) -> u32 {
        self.places.push(step);
        index(self.places.len()).saturating_sub(1)
    }

    pub(super) fn refuse(&self, place: u32, message: impl ToString) -> Refused {
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
        Refused { pointer: parts.concat(), message: message.to_string() }
    }

    /// Takes in a schema and all below it. It recurses as deep as the document is nested.
    fn schema(&mut self, value: &'v Value<'v>, around: u32, place: u32) -> Result<Id, Refused> {
        if let Some(id) = self.id(value) {
            return Ok(id);
        }
        let id = index(self.found.len());
        self.ids.insert(address(value), id);
        let members = match value {
            Value::Bool(_) => {
                self.found.push(Found { value, resource: around, place });
                return Ok(id);
            }
            Value::Object(members) => members,
            other => {
                let message = format!("a schema is an object or a boolean, not {}", other.kind());
                return Err(self.refuse(place, message));
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
                Err(self.refuse(place, format!("must be \"{DIALECT}\": no other is supported")))
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
        if self.uris.insert(uri.clone(), resource).is_some() {
            return Err(self.refuse(at, "names a schema that is already named so"));
        }
        if let Some(whole) = self.resources.get_mut(resource as usize) {
            whole.uri = uri;
        } else {
            self.resources.push(Resource { uri, root, place, anchors: BTreeMap::new() });
        }
        Ok(resource)
    }

    fn resolve(&self, around: u32, reference: &str, place: u32) -> Result<String, Refused> {
        let base = self.resources.get(around as usize).map(|found| &*found.uri).unwrap_or("");
        if reference.len() <= URI_CHARS_MAX {
            let uri = uri::resolve(base, reference);
            if uri.len() <= URI_CHARS_MAX {
                return Ok(uri);
            }
        }
        Err(self.refuse(place, format!("is longer than {URI_CHARS_MAX} bytes once resolved")))
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
            let found = self.resources.get_mut(resource as usize);
            let before = found.and_then(|found| found.anchors.insert(name, (dynamic, id)));
            // One schema may have the same name both ways.
            if before.is_some_and(|(_, other)| other != id) {
                return Err(self.refuse(at, "is an anchor that another schema already has"));
            }
        }
        Ok(())
    }

    /// Where a reference in a schema leads. A pointer may lead to a schema that only it finds.
    pub(super) fn target(
        &mut self,
        around: u32,
        reference: &str,
        place: u32,
    ) -> Result<Target<'v>, Refused> {
        let (name, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let own = self.resolve(around, name, place)?;
        let same = self.resources.get(around as usize).is_some_and(|found| found.uri == own);
        let named = if same { Some(around) } else { self.uris.get(&own).copied() };
        let Some(resource) = named else {
            let message = format!(
                "refers to another document, {}: only references within the schema are followed",
                super::report::cut(reference)
            );
            return Err(self.refuse(place, message));
        };
        let Some(fragment) = uri::decoded(fragment) else {
            return Err(self.refuse(place, "has a fragment that is no text"));
        };
        if fragment.is_empty() || fragment.starts_with('/') {
            let id = self.pointed(resource, &fragment, place)?;
            return Ok(Target { id, dynamic: None });
        }
        let anchors = self.resources.get(resource as usize).map(|found| &found.anchors);
        match anchors.and_then(|anchors| anchors.get_key_value(&*fragment)) {
            Some((name, (dynamic, id))) => Ok(Target { id: *id, dynamic: dynamic.then_some(name) }),
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
    if plain { text.to_owned().parse().ok() } else { None }
}
