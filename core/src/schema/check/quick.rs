//! The walk over the text itself, where a schema asks of a value part by part.
//!
//! Owns objects and arrays whose rules need no more than one look at each part, as those of most
//! schemas do: no tree is made of them. All else becomes a tree on the way, and goes through the
//! other walk.
//!
//! Invariants: what passes here passes there, for the same steps, each paid at the same price.
//! Whatever does not pass is told by the other walk, from the beginning, so that this one says
//! nothing of why.

use super::Check;
use crate::schema::node::{Id, Measure, Node, Rule, types};
use crate::schema::value::Reader;

/// Names that an object may be asked for: a bit each.
const REQUIRED_MAX: usize = 63;

impl Node {
    /// Whether one look at each part is enough.
    fn by_parts(&self) -> bool {
        self.rules.iter().all(|rule| match rule {
            Rule::Types(_)
            | Rule::Bound(..)
            | Rule::MultipleOf(..)
            | Rule::AtLeast(..)
            | Rule::AtMost(..)
            | Rule::Pattern(_)
            | Rule::Items { .. } => true,
            // A part that several schemas ask something of is looked at several times.
            Rule::Members(members) => members.patterns.is_empty(),
            Rule::Required(names) => names.len() <= REQUIRED_MAX,
            _ => false,
        })
    }
}

impl<'s> Check<'s> {
    /// Reads the next value; nothing when it is not as asked, or this walk can not tell.
    pub(super) fn quick(
        &mut self,
        id: Option<Id>,
        reader: &mut Reader<'_>,
        depth: usize,
    ) -> Option<()> {
        let node = id.and_then(|id| self.schema.nodes.get(id as usize));
        let node = node.filter(|node| !node.rules.is_empty());
        let first = reader.peek()?;
        if !matches!(first, b'{' | b'[') || node.is_some_and(|node| !node.by_parts()) {
            let value = reader.value(depth)?;
            let good = id.is_none_or(|id| matches!(self.node(id, &value, None), Ok(true)));
            return good.then_some(());
        }
        let entered = match node {
            Some(node) => self.enter(node).ok()?,
            None => false,
        };
        let rules = node.map_or(&[][..], |node| &node.rules);
        let depth = depth.checked_sub(1)?;
        reader.step();
        if first == b'{' {
            self.quick_object(rules, reader, depth)?;
        } else {
            self.quick_array(rules, reader, depth)?;
        }
        if node.is_some() {
            self.leave(entered);
        }
        Some(())
    }

    fn quick_object(
        &mut self,
        rules: &'s [Rule],
        reader: &mut Reader<'_>,
        depth: usize,
    ) -> Option<()> {
        let (mut members, mut required) = (None, &[][..]);
        for rule in rules {
            match rule {
                Rule::Types(mask) if mask & types::OBJECT == 0 => return None,
                Rule::Members(rule) => members = Some(rule),
                Rule::Required(names) => {
                    self.pay(names.len()).ok()?;
                    required = names;
                }
                _ => {}
            }
        }
        let mut missing = 1_u64.wrapping_shl(required.len() as u32).wrapping_sub(1);
        let mut count = 0_usize;
        let mut more = !reader.take(b'}');
        while more {
            if reader.peek() != Some(b'"') {
                return None;
            }
            let name = reader.string()?;
            if !reader.take(b':') {
                return None;
            }
            count = count.wrapping_add(1);
            if let Some(at) = required.iter().position(|one| **one == *name) {
                missing &= !1_u64.wrapping_shl(at as u32);
            }
            let mut id = None;
            if let Some(members) = members {
                self.pay(1).ok()?;
                id = members.id_of(&name).or(members.others);
            }
            self.quick(id, reader, depth)?;
            more = reader.more(b'}')?;
        }
        (missing == 0 && within(rules, Measure::Properties, count)).then_some(())
    }

    fn quick_array(
        &mut self,
        rules: &'s [Rule],
        reader: &mut Reader<'_>,
        depth: usize,
    ) -> Option<()> {
        let (mut first, mut others) = (&[][..], None);
        for rule in rules {
            match rule {
                Rule::Types(mask) if mask & types::ARRAY == 0 => return None,
                Rule::Items { prefix, rest } => (first, others) = (prefix, *rest),
                _ => {}
            }
        }
        let mut count = 0_usize;
        let mut more = !reader.take(b']');
        while more {
            let id = first.get(count).copied().or(others);
            if id.is_some() {
                self.pay(1).ok()?;
            }
            count = count.wrapping_add(1);
            self.quick(id, reader, depth)?;
            more = reader.more(b']')?;
        }
        within(rules, Measure::Items, count).then_some(())
    }
}

/// Whether so many parts are as many as asked.
fn within(rules: &[Rule], of: Measure, count: usize) -> bool {
    let count = count as u64;
    rules.iter().all(|rule| match rule {
        Rule::AtLeast(measure, least) => *measure != of || count >= *least,
        Rule::AtMost(measure, most) => *measure != of || count <= *most,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::super::QUICK_STEPS_MAX;
    use super::*;
    use crate::json::DEPTH_MAX;
    use crate::schema::Schema;
    use crate::schema::value::Value;

    /// Steps that each walk took, where the payload passes: the quick one first.
    fn steps(schema: &Schema, payload: &str) -> (Option<u64>, Option<u64>) {
        let mut reader = Reader::new(payload);
        let mut quick = Check { budget: QUICK_STEPS_MAX, ..Check::new(schema, false) };
        let good = quick.quick(Some(0), &mut reader, DEPTH_MAX).is_some() && reader.is_done();
        let left = quick.budget;
        let quick = good.then(|| QUICK_STEPS_MAX.saturating_sub(left));
        let mut slow = Check::new(schema, false);
        let before = slow.budget;
        let good = Value::parse(payload)
            .is_some_and(|value| matches!(slow.node(0, &value, None), Ok(true)));
        (quick, good.then(|| before.saturating_sub(slow.budget)))
    }

    const PAYLOADS: [&str; 24] = [
        "{}",
        "[]",
        "[1,2]",
        "[[],[1,{}]]",
        "null",
        "true",
        "7",
        "7.0",
        "-1e2",
        "\"seven\"",
        "\"\\u0061\"",
        r#"{"a":1}"#,
        r#"{"\u0061":1}"#,
        r#"{"a":1.5}"#,
        r#"{"a":"x","b":[]}"#,
        r#"{"a":7,"b":["x","y"],"c":{"a":2}}"#,
        r#"{"a":7,"b":["x",1]}"#,
        r#"{"a":{"a":{"a":{"a":{}}}}}"#,
        r#"{"b":[{"a":1},{"a":2}],"z":[{"z":[null]}]}"#,
        // What minify would not let through.
        r#"{"a":1"#,
        r#"{"a":1]"#,
        "[1,]",
        "{}x",
        "",
    ];

    #[test]
    fn both_walks_let_the_same_pass_for_the_same_steps() {
        let by_parts = [
            "true",
            "false",
            "{}",
            r#"{"type":"object"}"#,
            r#"{"type":["array","integer"]}"#,
            r#"{"required":["a","b"],"minProperties":1,"maxProperties":2}"#,
            r#"{"required":["a"],"properties":{"a":{"type":"integer","minimum":1,"maximum":7}}}"#,
            r#"{"properties":{"b":{"items":{"type":"string","minLength":1}}}}"#,
            r#"{"properties":{"a":{"multipleOf":7}},"additionalProperties":{"type":"array"}}"#,
            r#"{"additionalProperties":false,"properties":{"a":true,"b":false}}"#,
            r#"{"items":{"type":["array","integer"]},"minItems":1,"maxItems":2}"#,
            r#"{"prefixItems":[{"maximum":1},{"items":false}],"items":{"pattern":"^x"}}"#,
            r#"{"prefixItems":[{"maximum":1}]}"#,
        ];
        let others = [
            r##"{"properties":{"a":{"$ref":"#"}},"additionalProperties":{"type":"array"}}"##,
            r#"{"patternProperties":{"^a":{"type":"integer"},"b|c":true},"minProperties":1}"#,
            r#"{"properties":{"a":{"enum":[1,"x",{"a":{"a":{"a":{}}}}]},"b":{"uniqueItems":true}}}"#,
            r#"{"properties":{"b":{"contains":{"type":"string"}}}}"#,
            r#"{"anyOf":[{"properties":{"a":{"type":"number"}}},{"required":["b"]}]}"#,
            r#"{"items":{"not":{"type":"array"}}}"#,
            r#"{"allOf":[{"properties":{"a":true}}],"unevaluatedProperties":false}"#,
            r#"{"properties":{"a":{"if":{"type":"integer"},"then":{"minimum":2}}}}"#,
            r#"{"dependentRequired":{"a":["b"]},"propertyNames":{"maxLength":1}}"#,
        ];
        let mut passed = 0;
        for text in by_parts.iter().chain(&others) {
            let schema = Schema::compile(text).expect(text);
            for payload in PAYLOADS {
                let (quick, slow) = steps(&schema, payload);
                assert_eq!(quick, slow, "{payload} for {text}");
                assert_eq!(schema.check(payload).is_ok(), slow.is_some(), "{payload} for {text}");
                passed += usize::from(quick.is_some());
            }
        }
        assert!(passed > 100, "{passed}");
    }

    #[test]
    fn more_names_than_bits_are_left_to_the_other_walk() {
        let names = |count: usize| -> alloc::vec::Vec<alloc::string::String> {
            (0..count).map(|n| alloc::format!("\"n{n}\"")).collect()
        };
        for count in [62, 63, 64, 65] {
            let text = alloc::format!("{{\"required\":[{}]}}", names(count).join(","));
            let schema = Schema::compile(&text).expect("a schema");
            for given in [count - 1, count, count + 1] {
                let members = names(given).join(":1,");
                let (quick, slow) = steps(&schema, &alloc::format!("{{{members}:1}}"));
                assert_eq!((quick, slow.is_some()), (slow, given >= count), "{given} of {count}");
            }
        }
    }
}
