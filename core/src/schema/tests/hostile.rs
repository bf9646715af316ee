//! Schemas and payloads that are made to hang, to overflow or to use up memory.

use super::*;
use crate::limits::SCHEMA_EVALUATIONS_MAX;

/// Definitions `d0` to the last, each made of a reference to the next, and `true` at the end.
fn definitions(count: usize, one: impl Fn(&str) -> String) -> String {
    let all: Vec<String> = (0..count)
        .map(|index| {
            let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, index + 1);
            format!(r#""d{index}":{}"#, one(&next))
        })
        .collect();
    format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{count}":true}}}}"##, all.join(","))
}

fn nested(count: usize, open: &str, close: &str) -> String {
    format!("{}true{}", open.repeat(count), close.repeat(count))
}

/// Refused, with a message that has these words; nothing here may take as long as a second.
#[expect(clippy::disallowed_types, reason = "a test may look at the clock")]
fn assert_refused(schema: &str, words: &str) {
    let started = std::time::Instant::now();
    let (_, message) = refused(schema);
    assert!(message.contains(words), "{message}");
    assert!(started.elapsed().as_millis() < 1_000, "{words}: {:?}", started.elapsed());
}

#[test]
fn schemas_without_a_bound_are_refused() {
    let doubling = |count| definitions(count, |next| format!(r#"{{"allOf":[{next},{next}]}}"#));
    assert_refused(&doubling(31), "more than 10000 schemas to one value");
    compiled(&doubling(10));
    let kinds = |next: &str| {
        format!(r#"{{"if":{next},"then":{next},"else":{next},"dependentSchemas":{{"a":{next}}}}}"#)
    };
    assert_refused(&definitions(31, kinds), "more than 10000 schemas to one value");
    assert_refused(&definitions(1_000, str::to_string), "more than 64 schemas for one value");
    assert_refused(&nested(2_000, r#"{"not":"#, "}"), "nested deeper than 64 levels");
    assert_refused(&nested(40, r#"{"not":"#, "}"), "nested deeper than 32 levels");
    assert_refused(&format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)), "nested deeper");
    compiled(&nested(32, r#"{"not":"#, "}"));
    let circle = "refers to itself without stepping into the value";
    for schema in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"}]}"##,
        r##"{"not":{"$ref":"#"}}"##,
        r##"{"$dynamicRef":"#a","$dynamicAnchor":"a"}"##,
        r##"{"items":{"$ref":"#/$defs/a"},"$defs":{"a":{"$ref":"#b"},"b":{"$anchor":"b","$ref":"#/$defs/a"}}}"##,
        r##"{"$id":"x","anyOf":[{"$id":"y","if":true,"then":{"$ref":"x"}}]}"##,
    ] {
        assert_refused(schema, circle);
    }
}

#[test]
fn large_schemas_are_compiled_or_refused_and_soon() {
    let refuse = |members: &str, words: &str| assert_refused(&format!("{{{members}}}"), words);
    refuse(r#""pattern":"a{1000}{1000}""#, "repeats a repetition");
    refuse(r#""pattern":"(a{1000}){1000}""#, "larger than");
    refuse(r#""pattern":"(((((){9999}){9999}){9999}){9999}){9999}""#, "larger than");
    let long = "[a-z]{1,9}".repeat(6_000);
    refuse(&format!(r#""pattern":"{long}""#), "larger than");
    let many: Vec<String> = (0..3_000).map(|n| format!(r#""a{{99}}{n}":true"#)).collect();
    refuse(&format!(r#""patternProperties":{{{}}}"#, many.join(",")), "larger than");
    refuse(&format!(r#""title":"{}""#, "x".repeat(65_536)), "longer than 65536 bytes");
    let uri = "u".repeat(1_025);
    refuse(&format!(r#""$id":"{uri}""#), "longer than 1024 bytes once resolved");

    let values: Vec<String> = (0..12_000).map(|n| format!("{}", n * 7_919 % 12_000)).collect();
    let wide = compiled(&format!(r#"{{"enum":[{}]}}"#, values.join(",")));
    assert!(wide.check("11999.0").is_ok() && wide.check("12000").is_err());
    let all = vec!["{}"; 9_000].join(",");
    compiled(&format!(r#"{{"allOf":[{all}]}}"#));
    let names: Vec<String> = (0..5_000).map(|n| format!(r#""k{n}":{{}}"#)).collect();
    compiled(&format!(r#"{{"properties":{{{}}}}}"#, names.join(",")));
    // Each refers to a place that only the reference finds, behind a name that is long.
    let name = "n".repeat(20_000);
    let refs = vec![format!(r##"{{"$ref":"#/{}/0"}}"##, &name[..900]); 60].join(",");
    compiled(&format!(r#"{{"{}":[{{}}],"allOf":[{refs}]}}"#, &name[..900]));
    compiled(&format!(r#"{{"{name}":1,"{name}x":[true]}}"#));
}

#[test]
fn a_check_stops_when_it_is_too_costly() {
    let costly = ": is too costly to check";
    // Each level doubles: 2^60 evaluations.
    let doubling = r##"{"allOf":[{"items":{"$ref":"#"}},{"items":{"$ref":"#"}}]}"##;
    let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
    assert_eq!(told(doubling, &deep), [costly]);
    let text = format!("\"{}\"", "a".repeat(200_000));
    assert_eq!(told(r#"{"pattern":"[ab]*a[ab]{500}c"}"#, &text), [costly]);
    let patterns: Vec<String> = (0..500).map(|n| format!(r#""{n}":{{}}"#)).collect();
    let schema = format!(r#"{{"patternProperties":{{{}}}}}"#, patterns.join(","));
    let payload: Vec<String> = (0..20_000).map(|n| format!(r#""k{n}":1"#)).collect();
    assert_eq!(told(&schema, &format!("{{{}}}", payload.join(","))), [costly]);
    let required: Vec<String> = (0..5_000).map(|n| format!(r#""k{n}""#)).collect();
    let schema = format!(r#"{{"items":{{"required":[{}]}}}}"#, required.join(","));
    let objects = format!("[{}{{}}]", "{},".repeat(10_000));
    assert!(compiled(&schema).check(&objects).is_err());
    // Known to be wrong, but not cheaply put into words.
    let either = r##"{"type":"array","minItems":1,"items":{"$ref":"#/$defs/a"}}"##;
    let schema =
        format!(r##"{{"$ref":"#/$defs/a","$defs":{{"a":{{"anyOf":[{either},{either}]}}}}}}"##);
    let found = told(&schema, &format!("{}{}", "[".repeat(14), "]".repeat(14)));
    assert!(found.iter().all(|one| one.starts_with(": must fit at least one of")), "{found:?}");
    // 200 kB of small values are none of these.
    let payload = format!("[{}1]", "1,".repeat(100_000));
    let schema = r#"{"items":{"type":"integer","minimum":0},"uniqueItems":false}"#;
    assert_eq!(told(schema, &payload), [""; 0]);
}

#[test]
fn many_elements_are_compared_in_time() {
    let distinct: Vec<String> = (0..50_000).map(|n| format!(r#"{{"a":{n},"b":[{n}]}}"#)).collect();
    let schema = r#"{"uniqueItems":true}"#;
    assert_eq!(told(schema, &format!("[{}]", distinct.join(","))), [""; 0]);
    let twice = format!(r#"[{},{{"b":[7.0],"a":7e0}}]"#, distinct.join(","));
    let expected = ": must not have equal items, but the items 7 and 50000 are equal";
    assert_eq!(told(schema, &twice), [expected]);
}

/// The guest's stack is as large.
#[test]
fn evaluation_nests_no_deeper_than_the_stack_allows() {
    let chain = definitions(20, str::to_string).replace("true", r##"{"items":{"$ref":"#"}}"##);
    let run = move || {
        let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
        assert_eq!(told(&chain, &deep), [": leads the check too deep"]);
        let fits = format!("{}{}", "[".repeat(10), "]".repeat(10));
        assert_eq!(told(&chain, &fits), [""; 0], "{SCHEMA_EVALUATIONS_MAX} are enough for it");
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).expect("a thread");
    thread.join().expect("no overflow");
}
