//! A compiled schema: nodes, each of which lists what it asks of a value.
//!
//! Owns the shape. References are indices, so a schema may refer to itself.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::canon::Set;
use super::decimal::Divisor;
use super::pattern::Pattern;

/// The index of a node.
pub(super) type Id = u32;

/// One schema of the document.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The resource that it is part of: where `$dynamicRef` looks for anchors.
    pub(super) resource: u32,
    /// What it asks, the cheapest first and `unevaluated…` last.
    pub(super) rules: Vec<Rule>,
    /// Whether one of the rules asks what the others have evaluated.
    pub(super) tracks: bool,
}

/// A bound of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Minimum,
    Maximum,
    ExclusiveMinimum,
    ExclusiveMaximum,
}

/// What has a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Characters,
    Items,
    Properties,
}

/// Up to so many names are looked through: most differ in length already.
const NAMED_SCANNED_MAX: usize = 8;

/// Different names.
pub(super) type Names = Box<[Box<str>]>;

/// One keyword, or some that belong together.
#[derive(Debug)]
pub(super) enum Rule {
    /// The schema `false`.
    Never,
    /// A set of [`types`].
    Types(u8),
    Enum(Box<Enum>),
    Bound(Bound, Box<str>),
    MultipleOf(Divisor, Box<str>),
    /// At least so many.
    AtLeast(Measure, u64),
    /// At most so many.
    AtMost(Measure, u64),
    Pattern(Box<Pattern>),
    Unique,
    Items {
        prefix: Box<[Id]>,
        rest: Option<Id>,
    },
    Contains {
        schema: Id,
        least: u64,
        most: Option<u64>,
    },
    Members(Box<Members>),
    Required(Names),
    DependentRequired(Box<[(Box<str>, Names)]>),
    DependentSchemas(Box<[(Box<str>, Id)]>),
    PropertyNames(Id),
    Ref(Id),
    DynamicRef(Box<Dynamic>),
    AllOf(Box<[Id]>),
    AnyOf(Box<[Id]>),
    OneOf(Box<[Id]>),
    Not(Id),
    If {
        condition: Id,
        then: Option<Id>,
        otherwise: Option<Id>,
    },
    UnevaluatedItems(Id),
    UnevaluatedProperties(Id),
}

/// `enum` and `const`.
#[derive(Debug)]
pub(super) struct Enum {
    pub(super) set: Set,
    /// As they are shown to who sends another value.
    pub(super) shown: Box<str>,
}

/// `properties`, `patternProperties` and `additionalProperties`.
#[derive(Debug)]
pub(super) struct Members {
    /// Sorted by name.
    pub(super) named: Box<[(Box<str>, Id)]>,
    pub(super) patterns: Box<[(Pattern, Id)]>,
    pub(super) others: Option<Id>,
}

impl Members {
    /// The schema of a property that is named.
    pub(super) fn id_of(&self, name: &str) -> Option<Id> {
        if self.named.len() <= NAMED_SCANNED_MAX {
            return self.named.iter().find(|(found, _)| **found == *name).map(|(_, id)| *id);
        }
        let at = self.named.binary_search_by(|(found, _)| (**found).cmp(name)).ok()?;
        self.named.get(at).map(|(_, id)| *id)
    }
}

/// `$dynamicRef` to a dynamic anchor.
#[derive(Debug)]
pub(super) struct Dynamic {
    pub(super) anchor: Box<str>,
    /// Where it leads when no resource around has that anchor.
    pub(super) fallback: Id,
}

/// The names of `type`, and the bits that stand for them.
pub(super) mod types {
    pub(in super::super) const NULL: u8 = 1;
    pub(in super::super) const BOOLEAN: u8 = 2;
    pub(in super::super) const OBJECT: u8 = 4;
    pub(in super::super) const ARRAY: u8 = 8;
    pub(in super::super) const NUMBER: u8 = 16;
    pub(in super::super) const STRING: u8 = 32;
    pub(in super::super) const INTEGER: u8 = 64;

    pub(in super::super) const NAMES: [(&str, u8); 7] = [
        ("null", NULL),
        ("boolean", BOOLEAN),
        ("object", OBJECT),
        ("array", ARRAY),
        ("number", NUMBER),
        ("string", STRING),
        ("integer", INTEGER),
    ];
}

impl Rule {
    /// The nodes that the rule applies to the same value. Of `$dynamicRef` those are not known
    /// here.
    pub(super) fn in_place(&self) -> Vec<Id> {
        match self {
            Self::Ref(id) | Self::Not(id) => Vec::from([*id]),
            Self::AllOf(ids) | Self::AnyOf(ids) | Self::OneOf(ids) => ids.to_vec(),
            Self::DependentSchemas(all) => all.iter().map(|(_, id)| *id).collect(),
            Self::If { condition, then, otherwise } => {
                [Some(*condition), *then, *otherwise].into_iter().flatten().collect()
            }
            _ => Vec::new(),
        }
    }
}
