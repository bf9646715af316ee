//! JSON Schema, draft 2020-12: whether a payload is what its type says it is.
//!
//! Owns the reading of schemas ([`Schema::compile`]) and the checking of payloads
//! ([`Schema::check`]). Refuses to know what payloads mean, to fetch anything, and to guess:
//! what is malformed in a schema is refused where it stands, never ignored.
//!
//! All assertions and annotations of the draft's required part are here. Not here, on purpose:
//! references to other documents (the metaschema is one), other dialects and vocabularies;
//! `format` and `content…` are annotations, as the draft has it. Patterns are those of ECMA-262
//! that can be matched in linear time.
//!
//! Invariants:
//! - Nothing here takes long, whatever is sent. A schema is bounded in bytes, depth, patterns and
//!   in the ways in which it can apply to one value, when it is compiled; a check counts its
//!   steps and stops at [`STEPS_MAX`](crate::limits::SCHEMA_STEPS_MAX). The machine's stack grows
//!   with the depth of evaluation, which is bounded too.
//! - Numbers are compared as they were sent, digit by digit. No floating point.
//! - The same text and payload give the same answer everywhere: no clock, no hash, no host.
//!
//! Why not a crate: the guest is what Cloudflare loads, and may grow by some tens of kilobytes.
//! Gzipped, jsonschema adds 600 to 800 of them and boon 170 to 400, with `serde_json::Value`,
//! which does not hold numbers as sent, url, regex, and a hash with ambient randomness. Neither
//! bounds what a schema or a check may cost, and both read `$ref` from the net or from disk.

mod bounds;
mod canon;
mod check;
mod compile;
mod decimal;
mod locate;
mod node;
mod pattern;
mod report;
#[cfg(test)]
mod tests;
mod uri;
mod value;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use self::node::{Id, Node};

/// A schema, ready to check payloads.
#[derive(Debug)]
pub struct Schema {
    /// The first is the document itself.
    nodes: Vec<Node>,
    /// Dynamic anchors: the resource, the name, and what it stands for.
    anchors: Vec<(u32, Box<str>, Id)>,
}

/// Why a text is no schema that we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schema refused at \"{pointer}\": {message}")]
pub struct Refused {
    /// The place in the schema, as a JSON Pointer.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// What a payload does not fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The place in the payload, as a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// What is asked there, and what was got.
    pub message: String,
}

impl Schema {
    /// Compiles a schema document.
    ///
    /// # Errors
    /// The first thing that is wrong with it, and where.
    pub fn compile(text: &str) -> Result<Self, Refused> {
        compile::compile(text)
    }

    /// Checks a payload, which [`minify`](crate::json::minify) has passed. What is wrong is only
    /// looked for, and put into words, once it is known that something is.
    ///
    /// # Errors
    /// The first violations in the order of the schema; never none.
    pub fn check(&self, payload: &str) -> Result<(), Vec<Violation>> {
        check::check(self, payload)
    }
}
