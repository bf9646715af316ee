//! What is told of payloads, which schemas are refused and where, and that nothing takes long.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use super::*;
use crate::limits::VIOLATIONS_MAX;

mod hostile;
mod messages;

fn compiled(schema: &str) -> Schema {
    Schema::compile(schema).unwrap_or_else(|e| panic!("{schema}: {e}"))
}

/// The violations as `pointer: message`.
fn told(schema: &str, payload: &str) -> Vec<String> {
    let found = compiled(schema).check(payload).err().unwrap_or_default();
    found.iter().map(|one| format!("{}: {}", one.pointer, one.message)).collect()
}

fn refused(schema: &str) -> (String, String) {
    let cut: String = schema.chars().take(200).collect();
    let refused = Schema::compile(schema).map(|_| ()).expect_err(&cut);
    (refused.pointer, refused.message)
}
