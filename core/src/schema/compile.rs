//! The second walk over a schema document: what each schema asks of a value.
//!
//! Owns how keywords are read, and refuses those that are malformed, at their place. Keywords that
//! it does not know are annotations; so are `format` and `content…`, as the standard has it.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::canon::Set;
use super::decimal::{Decimal, Divisor};
use super::locate::{Map, Step, Target};
use super::node::{Bound, Dynamic, Enum, Id, Measure, Members, Names, Node, Rule, types};
use super::pattern::Pattern;
use super::value::{Object, Value};
use super::{Refused, Schema, bounds, report};
use crate::limits::{SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_PATTERNS_MAX};
use crate::sorted::order;

/// A schema that is being compiled.
#[derive(Clone, Copy)]
struct At<'v> {
    object: &'v Object<'v>,
    resource: u32,
    place: u32,
}

struct Compiler<'v> {
    map: Map<'v>,
    /// Instructions that patterns may still have.
    patterns_left: usize,
}

type Compiled<T> = Result<T, Refused>;

/// Compiles a document.
pub(super) fn compile(text: &str) -> Compiled<Schema> {
    let refused = |message: String| Refused { pointer: String::new(), message };
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(refused(format!("is longer than {SCHEMA_BYTES_MAX} bytes")));
    }
    let text = crate::json::minify(text.as_bytes()).map_err(|fault| refused(fault.to_string()))?;
    let value = Value::parse(&text).ok_or_else(|| refused("is no JSON text".into()))?;
    if deeper_than(&value, SCHEMA_DEPTH_MAX) {
        return Err(refused(format!("is nested deeper than {SCHEMA_DEPTH_MAX} levels")));
    }
    let mut compiler = Compiler { map: Map::new(&value)?, patterns_left: SCHEMA_PATTERNS_MAX };
    let mut nodes = Vec::new();
    // References find more schemas on the way.
    while let Some(found) = compiler.map.found.get(nodes.len()).copied() {
        let rules = match found.value {
            Value::Bool(false) => Vec::from([Rule::Never]),
            Value::Object(object) => {
                let (resource, place) = (found.resource, found.place);
                compiler.rules(At { object, resource, place })?
            }
            _ => Vec::new(),
        };
        let unevaluated = |rule: &Rule| {
            matches!(rule, Rule::UnevaluatedItems(_) | Rule::UnevaluatedProperties(_))
        };
        let tracks = rules.iter().any(unevaluated);
        nodes.push(Node { resource: found.resource, rules, tracks });
    }
    finish(&compiler.map, nodes)
}

/// Checks what only all nodes together show.
fn finish(map: &Map<'_>, nodes: Vec<Node>) -> Compiled<Schema> {
    let dynamic = || map.anchors.iter().filter(|anchor| anchor.dynamic);
    let candidates = |name: &str| {
        dynamic().filter(|anchor| anchor.name == name).map(|anchor| anchor.id).collect()
    };
    bounds::check(&nodes, candidates).map_err(|(id, message)| {
        let place = map.found.get(id as usize).map(|found| found.place);
        map.refuse(place.unwrap_or(0), &message)
    })?;
    let anchors = dynamic().map(|anchor| (anchor.resource, boxed(anchor.name), anchor.id));
    Ok(Schema { anchors: anchors.collect(), nodes })
}

fn deeper_than(value: &Value<'_>, depth: usize) -> bool {
    let Some(left) = depth.checked_sub(1) else {
        return matches!(value, Value::Array(_) | Value::Object(_));
    };
    match value {
        Value::Array(elements) => elements.iter().any(|value| deeper_than(value, left)),
        Value::Object(object) => object.members.iter().any(|(_, value)| deeper_than(value, left)),
        _ => false,
    }
}

impl<'v> Compiler<'v> {
    /// What one schema asks, in the order in which it is checked.
    fn rules(&mut self, at: At<'v>) -> Compiled<Vec<Rule>> {
        let mut rules = Vec::new();
        if at.object.members.is_empty() {
            return Ok(rules);
        }
        self.general(at, &mut rules)?;
        self.scalars(at, &mut rules)?;
        self.arrays(at, &mut rules)?;
        self.objects(at, &mut rules)?;
        self.references(at, &mut rules)?;
        self.combined(at, &mut rules);
        // Last: they ask what all others have evaluated.
        rules.extend(self.id(at, "unevaluatedItems").map(Rule::UnevaluatedItems));
        rules.extend(self.id(at, "unevaluatedProperties").map(Rule::UnevaluatedProperties));
        Ok(rules)
    }

    fn bad(&mut self, at: At<'v>, keyword: &'static str, message: &str) -> Refused {
        let place = self.map.place(Step::Name(at.place, keyword));
        self.map.refuse(place, message)
    }

    fn general(&mut self, at: At<'v>, rules: &mut Vec<Rule>) -> Compiled<()> {
        if let Some(value) = at.object.get("type") {
            let mask = type_mask(value).ok_or_else(|| self.bad(at, "type", NO_TYPE))?;
            rules.push(Rule::Types(mask));
        }
        if let Some(value) = at.object.get("const") {
            let set = Set::new(core::slice::from_ref(value));
            let shown = format!("must be {}", report::shown(value));
            rules.push(Rule::Enum(Box::new(Enum { set, shown: shown.into() })));
        }
        match at.object.get("enum") {
            None => {}
            Some(Value::Array(values)) => {
                let shown = format!("must be one of {}", report::listed(values));
                let set = Set::new(values);
                rules.push(Rule::Enum(Box::new(Enum { set, shown: shown.into() })));
            }
            Some(_) => return Err(self.bad(at, "enum", "must be an array of values")),
        }
        Ok(())
    }

    fn scalars(&mut self, at: At<'v>, rules: &mut Vec<Rule>) -> Compiled<()> {
        for (keyword, bound) in [
            ("minimum", Bound::Minimum),
            ("maximum", Bound::Maximum),
            ("exclusiveMinimum", Bound::ExclusiveMinimum),
            ("exclusiveMaximum", Bound::ExclusiveMaximum),
        ] {
            if let Some(token) = self.number(at, keyword)? {
                rules.push(Rule::Bound(bound, token.into()));
            }
        }
        if let Some(token) = self.number(at, "multipleOf")? {
            let divisor = Divisor::of(token).ok_or_else(|| {
                let message = "must be above 0 and have at most 18 digits";
                self.bad(at, "multipleOf", message)
            })?;
            rules.push(Rule::MultipleOf(divisor, token.into()));
        }
        for (least, most, measure) in [
            ("minLength", "maxLength", Measure::Characters),
            ("minItems", "maxItems", Measure::Items),
            ("minProperties", "maxProperties", Measure::Properties),
        ] {
            rules.extend(self.count(at, least)?.map(|count| Rule::AtLeast(measure, count)));
            rules.extend(self.count(at, most)?.map(|count| Rule::AtMost(measure, count)));
        }
        match at.object.get("pattern") {
            None => {}
            Some(Value::Text(source)) => {
                let place = self.map.place(Step::Name(at.place, "pattern"));
                rules.push(Rule::Pattern(Box::new(self.pattern(source, place)?)));
            }
            Some(_) => return Err(self.bad(at, "pattern", "must be a string")),
        }
        Ok(())
    }

    fn arrays(&mut self, at: At<'v>, rules: &mut Vec<Rule>) -> Compiled<()> {
        match at.object.get("uniqueItems") {
            None | Some(Value::Bool(false)) => {}
            Some(Value::Bool(true)) => rules.push(Rule::Unique),
            Some(_) => return Err(self.bad(at, "uniqueItems", "must be a boolean")),
        }
        let prefix = self.ids(at, "prefixItems").unwrap_or_default();
        let rest = self.id(at, "items");
        if rest.is_some() || !prefix.is_empty() {
            rules.push(Rule::Items { prefix, rest });
        }
        let least = self.count(at, "minContains")?;
        let most = self.count(at, "maxContains")?;
        if let Some(schema) = self.id(at, "contains") {
            rules.push(Rule::Contains { schema, least: least.unwrap_or(1), most });
        }
        Ok(())
    }

    fn objects(&mut self, at: At<'v>, rules: &mut Vec<Rule>) -> Compiled<()> {
        if let Some(value) = at.object.get("required") {
            let names = names(value).ok_or_else(|| self.bad(at, "required", NO_NAMES))?;
            if !names.is_empty() {
                rules.push(Rule::Required(names));
            }
        }
        match at.object.get("dependentRequired") {
            None => {}
            Some(Value::Object(object)) => {
                let one = |(name, value): &(Cow<'_, str>, _)| Some((boxed(name), names(value)?));
                let all = object.members.iter().map(one).collect::<Option<_>>();
                let all = all.ok_or_else(|| self.bad(at, "dependentRequired", NO_NAMES))?;
                rules.push(Rule::DependentRequired(all));
            }
            Some(_) => return Err(self.bad(at, "dependentRequired", NO_NAMES)),
        }
        let named = self.named(at, "properties");
        let mut patterns = Vec::new();
        for (source, id) in self.named(at, "patternProperties") {
            let place = self.map.found.get(id as usize).map_or(at.place, |found| found.place);
            patterns.push((self.pattern(&source, place)?, id));
        }
        let others = self.id(at, "additionalProperties");
        if others.is_some() || !named.is_empty() || !patterns.is_empty() {
            let (named, patterns) = (named.into_boxed_slice(), patterns.into_boxed_slice());
            rules.push(Rule::Members(Box::new(Members { named, patterns, others })));
        }
        rules.extend(self.id(at, "propertyNames").map(Rule::PropertyNames));
        let dependent = self.named(at, "dependentSchemas");
        if !dependent.is_empty() {
            rules.push(Rule::DependentSchemas(dependent.into_boxed_slice()));
        }
        Ok(())
    }

    fn references(&mut self, at: At<'v>, rules: &mut Vec<Rule>) -> Compiled<()> {
        if let Some(target) = self.reference(at, "$ref")? {
            rules.push(Rule::Ref(target.id));
        }
        if let Some(target) = self.reference(at, "$dynamicRef")? {
            rules.push(match target.dynamic {
                None => Rule::Ref(target.id),
                Some(name) => {
                    let anchor = Box::from(name);
                    Rule::DynamicRef(Box::new(Dynamic { anchor, fallback: target.id }))
                }
            });
        }
        Ok(())
    }

    fn combined(&mut self, at: At<'v>, rules: &mut Vec<Rule>) {
        rules.extend(self.ids(at, "allOf").map(Rule::AllOf));
        rules.extend(self.ids(at, "anyOf").map(Rule::AnyOf));
        rules.extend(self.ids(at, "oneOf").map(Rule::OneOf));
        rules.extend(self.id(at, "not").map(Rule::Not));
        if let Some(condition) = self.id(at, "if") {
            let (then, otherwise) = (self.id(at, "then"), self.id(at, "else"));
            rules.push(Rule::If { condition, then, otherwise });
        }
    }

    fn reference(&mut self, at: At<'v>, keyword: &'static str) -> Compiled<Option<Target<'v>>> {
        match at.object.get(keyword) {
            None => Ok(None),
            Some(Value::Text(reference)) => {
                let place = self.map.place(Step::Name(at.place, keyword));
                self.map.target(at.resource, reference, place).map(Some)
            }
            Some(_) => Err(self.bad(at, keyword, "must be a string")),
        }
    }

    fn pattern(&mut self, source: &str, place: u32) -> Compiled<Pattern> {
        let made = Pattern::new(source, self.patterns_left).map_err(|message| {
            let source = report::cut(source);
            self.map.refuse(place, &format!("the pattern {source} {message}"))
        })?;
        self.patterns_left = self.patterns_left.saturating_sub(made.size());
        Ok(made)
    }

    fn number(&mut self, at: At<'v>, keyword: &'static str) -> Compiled<Option<&'v str>> {
        match at.object.get(keyword) {
            None => Ok(None),
            Some(Value::Number(token)) => Ok(Some(token)),
            Some(_) => Err(self.bad(at, keyword, "must be a number")),
        }
    }

    fn count(&mut self, at: At<'v>, keyword: &'static str) -> Compiled<Option<u64>> {
        let Some(value) = at.object.get(keyword) else { return Ok(None) };
        let count =
            if let Value::Number(token) = value { Decimal::of(token).unsigned() } else { None };
        match count {
            Some(count) => Ok(Some(count)),
            None => Err(self.bad(at, keyword, "must be a whole number, at least 0")),
        }
    }

    fn id(&self, at: At<'v>, keyword: &str) -> Option<Id> {
        at.object.get(keyword).and_then(|value| self.map.id(value))
    }

    fn ids(&self, at: At<'v>, keyword: &str) -> Option<Box<[Id]>> {
        let Some(Value::Array(all)) = at.object.get(keyword) else { return None };
        all.iter().map(|value| self.map.id(value)).collect()
    }

    /// Schemas by name, sorted.
    fn named(&self, at: At<'v>, keyword: &str) -> Vec<(Box<str>, Id)> {
        let Some(Value::Object(Object { members, .. })) = at.object.get(keyword) else {
            return Vec::new();
        };
        let name = |index: usize| members.get(index).map(|(name, _)| name);
        let one = |index: u32| {
            let (name, value) = members.get(index as usize)?;
            Some((boxed(name), self.map.id(value)?))
        };
        let sorted = order(members.len(), &|a, b| name(a).cmp(&name(b)));
        sorted.into_iter().filter_map(one).collect()
    }
}

const NO_TYPE: &str = "must be a name of a type, or an array of different ones: null, boolean, \
                       object, array, number, string, integer";
const NO_NAMES: &str = "must hold arrays of different strings";

fn boxed(text: &str) -> Box<str> {
    Box::from(text)
}

fn type_mask(value: &Value<'_>) -> Option<u8> {
    let bit = |value: &Value<'_>| {
        let Value::Text(wanted) = value else { return None };
        types::NAMES.iter().find(|(name, _)| name == wanted).map(|(_, bit)| *bit)
    };
    let Value::Array(all) = value else { return bit(value) };
    let mut mask = 0;
    for one in all {
        let bit = bit(one).filter(|bit| mask & bit == 0)?;
        mask |= bit;
    }
    (mask != 0).then_some(mask)
}

/// Different strings; `None` when the value is something else.
fn names(value: &Value<'_>) -> Option<Names> {
    let Value::Array(all) = value else { return None };
    let one = |value: &Value<'_>| {
        if let Value::Text(name) = value { Some(boxed(name)) } else { None }
    };
    let names = all.iter().map(one).collect::<Option<Box<[_]>>>()?;
    let name = |index: usize| names.get(index);
    let sorted = order(names.len(), &|a, b| name(a).cmp(&name(b)));
    let same = |pair: &[u32]| match pair {
        [a, b] => name(*a as usize) == name(*b as usize),
        _ => false,
    };
    (!sorted.windows(2).any(same)).then_some(names)
}
