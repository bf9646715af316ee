//! Checking a payload against a compiled schema.
//!
//! Owns the walk and its budget. `scalar`, `array`, `object` and `combine` own what the rules
//! mean; `quick` owns the walk that needs no tree. One walk serves both purposes: quiet, it stops at the first rule that is broken; loud, it
//! goes on and puts each into words. So what is told can not differ from what was decided.
//!
//! Invariants: each step is paid for before it is done, and evaluation never nests deeper than
//! [`SCHEMA_EVALUATIONS_MAX`].

mod array;
mod combine;
mod object;
mod quick;
mod scalar;
mod seen;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use self::seen::Seen;
use super::node::{Id, Node, Rule};
use super::pattern::Scratch;
use super::value::{Reader, Value};
use super::{Schema, Violation};
use crate::json::DEPTH_MAX;
use crate::limits::{
    SCHEMA_EVALUATIONS_MAX, SCHEMA_STEPS_MAX, VIOLATION_CHARS_MAX, VIOLATIONS_MAX,
};

/// Steps of the walk without a tree: what costs more is left to the other, so that both together
/// take hardly longer than that one alone.
const QUICK_STEPS_MAX: u64 = SCHEMA_STEPS_MAX / 4;

/// The check can not go on.
enum Stop {
    /// The budget is used up.
    Costly,
    /// Evaluation nests too deep.
    Deep,
    /// Enough was told.
    Enough,
}

/// Whether a value is as asked.
type Verdict = Result<bool, Stop>;

/// A walk over a payload.
struct Check<'s> {
    schema: &'s Schema,
    /// Steps that may still be taken.
    budget: u64,
    depth: u32,
    /// The resources that evaluation has come through, the outermost first.
    scope: Vec<u32>,
    /// Whether broken rules are put into words.
    loud: bool,
    /// Where the walk is in the payload, as a pointer; kept while loud.
    path: String,
    found: Vec<Violation>,
    /// What patterns are matched with.
    scratch: Scratch,
    /// What values are compared in.
    room: Vec<u8>,
}

/// See [`Schema::check`].
pub(super) fn check(schema: &Schema, payload: &str) -> Result<(), Vec<Violation>> {
    let whole = |message: &str| Violation { pointer: String::new(), message: message.into() };
    let mut reader = Reader::new(payload);
    let mut quick = Check { budget: QUICK_STEPS_MAX, ..Check::new(schema, false) };
    if quick.quick(Some(0), &mut reader, DEPTH_MAX).is_some() && reader.is_done() {
        return Ok(());
    }
    let Some(value) = Value::parse(payload) else {
        return Err(Vec::from([whole("is no JSON text")]));
    };
    let mut quiet = Check::new(schema, false);
    match quiet.node(0, &value, None) {
        Ok(true) => return Ok(()),
        Ok(false) | Err(Stop::Enough) => {}
        Err(Stop::Costly) => return Err(Vec::from([whole("is too costly to check")])),
        Err(Stop::Deep) => return Err(Vec::from([whole("leads the check too deep")])),
    }
    let mut loud = Check::new(schema, true);
    // What stops this walk only makes what is told shorter.
    let _ = loud.node(0, &value, None);
    if loud.found.is_empty() {
        loud.found.push(whole("is not what the schema asks for"));
    }
    Err(loud.found)
}

impl<'s> Check<'s> {
    fn new(schema: &'s Schema, loud: bool) -> Self {
        let (scope, path, found) = (Vec::new(), String::new(), Vec::new());
        let (budget, scratch) = (SCHEMA_STEPS_MAX, Scratch::default());
        Self { schema, budget, depth: 0, scope, loud, path, found, scratch, room: Vec::new() }
    }

    /// Takes steps off the budget.
    #[inline]
    fn pay(&mut self, steps: usize) -> Result<(), Stop> {
        self.budget = self.budget.checked_sub(steps as u64).ok_or(Stop::Costly)?;
        Ok(())
    }

    /// Notes a violation here, when the walk is loud.
    #[inline]
    fn fail(&mut self, message: impl FnOnce() -> String) -> Verdict {
        if self.loud { self.note(message()) } else { Ok(false) }
    }

    #[cold]
    fn note(&mut self, mut message: String) -> Verdict {
        if let Some((end, _)) = message.char_indices().nth(VIOLATION_CHARS_MAX) {
            message.truncate(end);
            message.push('…');
        }
        self.found.push(Violation { pointer: self.path.clone(), message });
        if self.found.len() >= VIOLATIONS_MAX { Err(Stop::Enough) } else { Ok(false) }
    }

    /// Evaluates a schema. What it evaluates of the value is added to `seen` when it holds; when
    /// it does not, what was added means nothing.
    fn node(&mut self, id: Id, value: &Value<'_>, seen: Option<&mut Seen>) -> Verdict {
        let Some(node) = self.schema.nodes.get(id as usize) else { return Ok(true) };
        if node.rules.is_empty() {
            return Ok(true);
        }
        let entered = self.enter(node)?;
        let good = if node.tracks {
            // Only what this schema itself evaluates counts for it.
            let mut own = Seen::default();
            let good = self.rules(node, value, Some(&mut own))?;
            if let (true, Some(seen)) = (good, seen) {
                seen.merge(&own);
            }
            good
        } else {
            self.rules(node, value, seen)?
        };
        self.leave(entered);
        Ok(good)
    }

    /// Pays for a schema's rules and goes into it; whether that enters another resource.
    fn enter(&mut self, node: &Node) -> Result<bool, Stop> {
        self.pay(node.rules.len())?;
        self.depth = self.depth.saturating_add(1);
        if self.depth > SCHEMA_EVALUATIONS_MAX {
            return Err(Stop::Deep);
        }
        let entered = self.scope.last() != Some(&node.resource);
        if entered {
            self.scope.push(node.resource);
        }
        Ok(entered)
    }

    fn leave(&mut self, entered: bool) {
        if entered {
            self.scope.pop();
        }
        self.depth = self.depth.saturating_sub(1);
    }

    fn rules(&mut self, node: &'s Node, value: &Value<'_>, mut seen: Option<&mut Seen>) -> Verdict {
        let mut good = true;
        for rule in &node.rules {
            let unevaluated =
                matches!(rule, Rule::UnevaluatedItems(_) | Rule::UnevaluatedProperties(_));
            // Where another rule is broken, what it has not come to is not to blame.
            if (good || !unevaluated) && !self.rule(rule, value, seen.as_deref_mut())? {
                good = false;
                if !self.loud {
                    break;
                }
            }
        }
        Ok(good)
    }

    fn rule(&mut self, rule: &'s Rule, value: &Value<'_>, seen: Option<&mut Seen>) -> Verdict {
        match rule {
            Rule::Never => self.fail(|| "is not allowed here".into()),
            Rule::Types(mask) => self.types(*mask, value),
            Rule::Enum(one) => self.one_of_values(one, value),
            Rule::Bound(bound, limit) => self.bound(*bound, limit, value),
            Rule::MultipleOf(divisor, shown) => self.multiple(divisor, shown, value),
            Rule::AtLeast(measure, least) => self.at_least(*measure, *least, value),
            Rule::AtMost(measure, most) => self.at_most(*measure, *most, value),
            Rule::Pattern(pattern) => self.pattern(pattern, value),
            Rule::Unique => self.unique(value),
            Rule::Items { prefix, rest } => self.items(prefix, *rest, value, seen),
            Rule::Contains { schema, least, most } => {
                self.contains(*schema, (*least, *most), value, seen)
            }
            Rule::UnevaluatedItems(id) => self.unevaluated_items(*id, value, seen),
            Rule::Members(members) => self.members(members, value, seen),
            Rule::Required(names) => self.required(names, value),
            Rule::DependentRequired(all) => self.dependent_required(all, value),
            Rule::DependentSchemas(all) => self.dependent_schemas(all, value, seen),
            Rule::PropertyNames(id) => self.property_names(*id, value),
            Rule::UnevaluatedProperties(id) => self.unevaluated_properties(*id, value, seen),
            Rule::Ref(id) => self.node(*id, value, seen),
            Rule::DynamicRef(dynamic) => {
                let id = self.dynamic(dynamic)?;
                self.node(id, value, seen)
            }
            Rule::AllOf(ids) => self.all_of(ids, value, seen),
            Rule::AnyOf(ids) => self.any_of(ids, value, seen),
            Rule::OneOf(ids) => self.one_of(ids, value, seen),
            Rule::Not(id) => self.not(*id, value),
            Rule::If { condition, then, otherwise } => {
                self.condition(*condition, (*then, *otherwise), value, seen)
            }
        }
    }

    /// Evaluates a schema for a part of the value. `reason` says why there is no such part where
    /// the schema is `false`.
    fn part(&mut self, id: Id, step: Step<'_>, value: &Value<'_>, reason: &str) -> Verdict {
        if !self.loud {
            return self.node(id, value, None);
        }
        let length = self.path.len();
        step.write(&mut self.path);
        let never = self.schema.nodes.get(id as usize).map(|node| &*node.rules);
        let verdict = match never {
            Some([Rule::Never]) => self.note(reason.into()),
            _ => self.node(id, value, None),
        };
        self.path.truncate(length);
        verdict
    }

    /// Evaluates a schema whose failure is no violation by itself.
    fn quietly(&mut self, id: Id, value: &Value<'_>, seen: Option<&mut Seen>) -> Verdict {
        let loud = mem::replace(&mut self.loud, false);
        let verdict = self.node(id, value, seen);
        self.loud = loud;
        verdict
    }

    /// What a schema that fails would have to say.
    fn aside(&mut self, id: Id, value: &Value<'_>) -> Result<Vec<Violation>, Stop> {
        let before = mem::take(&mut self.found);
        let (depth, scope, path) = (self.depth, self.scope.len(), self.path.len());
        let stopped = self.node(id, value, None).err();
        let found = mem::replace(&mut self.found, before);
        // A walk that was stopped has not come back.
        self.depth = depth;
        self.scope.truncate(scope);
        self.path.truncate(path);
        self.loud = true;
        match stopped {
            Some(Stop::Costly) => Err(Stop::Costly),
            _ => Ok(found),
        }
    }
}

/// One step into a value.
#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

impl Step<'_> {
    fn write(self, path: &mut String) {
        match self {
            Self::Name(name) => {
                path.push('/');
                path.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
            Self::Index(index) => path.push_str(&format!("/{index}")),
        }
    }
}
