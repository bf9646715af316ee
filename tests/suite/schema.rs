//! The validator against the official tests of JSON Schema, draft 2020-12: each has the right
//! verdict, but for those that are listed here with the reason.
//!
//! Owns the list. Refuses to let it rot: what is on it must still be refused, and no test may be
//! lost.

use std::collections::BTreeSet;

use foldlog_core::json::minify;
use foldlog_core::schema::Schema;
use foldlog_tests::schema_cases::{Case, cases};

/// All tests of the required part.
const CASES: usize = 1_257;
/// How many of them the groups listed below have.
const EXCEPTED_CASES: usize = 57;

/// What is not supported, as it is told, and the files and groups of tests that need it.
const EXCEPTED: [(&str, &[(&str, &str)]); 3] = [
    // Nothing is fetched, the metaschema neither: a schema is one document.
    (
        "refers to another document",
        &[
            ("defs", "validate definition against metaschema"),
            ("dynamicRef", "$ref and $dynamicAnchor are independent of order - $defs first"),
            ("dynamicRef", "$ref and $dynamicAnchor are independent of order - $ref first"),
            ("dynamicRef", "$ref to $dynamicRef finds detached $dynamicAnchor"),
            ("dynamicRef", "strict-tree schema, guards against misspelled properties"),
            ("dynamicRef", "tests for implementation dynamic anchor and reference link"),
            ("ref", "remote ref, containing refs itself"),
            ("refRemote", "$ref to $ref finds detached $anchor"),
            ("refRemote", "Location-independent identifier in remote ref"),
            ("refRemote", "anchor within remote ref"),
            ("refRemote", "base URI change"),
            ("refRemote", "base URI change - change folder"),
            ("refRemote", "base URI change - change folder in subschema"),
            ("refRemote", "fragment within remote ref"),
            ("refRemote", "ref within remote ref"),
            ("refRemote", "remote HTTP ref with different $id"),
            ("refRemote", "remote HTTP ref with different URN $id"),
            ("refRemote", "remote HTTP ref with nested absolute ref"),
            ("refRemote", "remote ref"),
            ("refRemote", "remote ref with ref to defs"),
            ("refRemote", "retrieved nested refs resolve relative to their URI not $id"),
            ("refRemote", "root ref in remote ref"),
        ],
    ),
    // Other metaschemas would have to be fetched too.
    (
        "no other is supported",
        &[
            ("vocabulary", "ignore unrecognized optional vocabulary"),
            ("vocabulary", "schema that uses custom metaschema with with no validation vocabulary"),
        ],
    ),
    // No JSON text with that character is let in at all.
    (
        "U+0000 at byte",
        &[("const", "nul characters in strings"), ("enum", "nul characters in strings")],
    ),
];

/// Whether the payload is as the schema asks; why there is no answer otherwise.
fn verdict(case: &Case) -> Result<bool, String> {
    let schema = Schema::compile(&case.schema).map_err(|e| e.to_string())?;
    let payload = minify(case.payload.as_bytes()).map_err(|e| e.to_string())?;
    let checked = schema.check(&payload);
    if let Err(violations) = &checked {
        assert!(!violations.is_empty(), "{case:?}");
    }
    Ok(checked.is_ok())
}

/// What is told of a case that is excepted.
pub(crate) fn exception(case: &Case) -> Option<&'static str> {
    let listed = |groups: &[(&str, &str)]| groups.contains(&(&*case.file, &*case.group));
    EXCEPTED.iter().find(|(_, groups)| listed(groups)).map(|(told, _)| *told)
}

#[test]
fn the_official_tests_have_the_right_verdicts() {
    let cases = cases();
    assert_eq!(cases.len(), CASES);
    let mut wrong = Vec::new();
    let (mut excepted, mut groups) = (0, BTreeSet::new());
    for case in &cases {
        let found = verdict(case);
        let good = match exception(case) {
            None => found == Ok(case.valid),
            Some(told) => {
                excepted += 1;
                groups.insert((&case.file, &case.group));
                found.as_ref().is_err_and(|message| message.contains(told))
            }
        };
        if !good {
            wrong.push(format!("{} / {} / {}: {found:?}", case.file, case.group, case.test));
        }
    }
    assert!(wrong.is_empty(), "{} of {CASES} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let listed: usize = EXCEPTED.iter().map(|(_, groups)| groups.len()).sum();
    assert_eq!((groups.len(), excepted), (listed, EXCEPTED_CASES), "the list is as long as needed");
}
