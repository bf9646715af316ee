//! Tables: schema, payload, what is told.

use super::*;

const BROKEN: &[(&str, &str, &str)] = &[
    ("false", "1", ": is not allowed here"),
    (r#"{"type":"integer"}"#, "1.5", ": must be an integer, got 1.5"),
    (r#"{"type":["string","null"]}"#, "[1]", ": must be null or a string, got an array"),
    (r#"{"type":"object"}"#, "true", ": must be an object, got a boolean"),
    (r#"{"const":{"a":1}}"#, "{}", ": must be a certain object, got {}"),
    (r#"{"const":"x"}"#, r#""y""#, r#": must be "x", got "y""#),
    (r#"{"enum":["a",1.0,null]}"#, "2", r#": must be one of "a", 1.0, null, got 2"#),
    (r#"{"minimum":1.10}"#, "1.09", ": must be at least 1.10, got 1.09"),
    (r#"{"maximum":-1}"#, "0", ": must be at most -1, got 0"),
    (r#"{"exclusiveMinimum":1}"#, "1.0", ": must be above 1, got 1.0"),
    (
        r#"{"exclusiveMaximum":9007199254740993}"#,
        "9007199254740993",
        ": must be below 9007199254740993, got 9007199254740993",
    ),
    (r#"{"multipleOf":0.01}"#, "1.005", ": must be a multiple of 0.01, got 1.005"),
    (r#"{"minLength":1}"#, r#""""#, ": must have at least 1 character, got 0"),
    (r#"{"maxLength":2}"#, r#""\u00e9\ud83d\ude00x""#, ": must have at most 2 characters, got 3"),
    (r#"{"pattern":"^a+$"}"#, r#""b""#, r#": must match the pattern "^a+$", got "b""#),
    (r#"{"minItems":2}"#, "[1]", ": must have at least 2 items, got 1"),
    (r#"{"maxItems":0}"#, "[1]", ": must have at most 0 items, got 1"),
    (
        r#"{"uniqueItems":true}"#,
        "[1,2,1.0]",
        ": must not have equal items, but the items 0 and 2 are equal",
    ),
    (r#"{"items":{"type":"string"}}"#, r#"["a",1]"#, "/1: must be a string, got 1"),
    (r#"{"prefixItems":[true],"items":false}"#, "[1,2]", "/1: is an item that is not allowed"),
    (
        r#"{"contains":{"const":1}}"#,
        "[2]",
        ": must contain at least 1 item of what `contains` asks for, got 0",
    ),
    (
        r#"{"contains":{"const":1},"maxContains":1}"#,
        "[1,1]",
        ": must contain at most 1 item of what `contains` asks for, got 2",
    ),
    (
        r#"{"unevaluatedItems":false,"prefixItems":[true]}"#,
        "[1,2]",
        "/1: is an item that no part of the schema describes",
    ),
    (r#"{"required":["a\"b"]}"#, "{}", r#": must have the property "a\"b""#),
    (
        r#"{"dependentRequired":{"a":["b"]}}"#,
        r#"{"a":1}"#,
        r#": must have the property "b" beside "a""#,
    ),
    (
        r#"{"dependentSchemas":{"a":{"maxProperties":1}}}"#,
        r#"{"a":1,"b":2}"#,
        ": must have at most 1 property, got 2",
    ),
    (r#"{"minProperties":2}"#, "{}", ": must have at least 2 properties, got 0"),
    (
        r#"{"properties":{"a/b~c":{"type":"null"}}}"#,
        r#"{"a/b~c":1}"#,
        "/a~1b~0c: must be null, got 1",
    ),
    (
        r#"{"patternProperties":{"^x":false}}"#,
        r#"{"xy":1}"#,
        "/xy: is a property that is not allowed",
    ),
    (
        r#"{"properties":{"a":true},"additionalProperties":false}"#,
        r#"{"a":1,"b":2}"#,
        "/b: is a property that the schema does not name, and no others are allowed",
    ),
    (
        r#"{"propertyNames":{"maxLength":1}}"#,
        r#"{"ab":1}"#,
        r#": has a property whose name, "ab", must have at most 1 character, got 2"#,
    ),
    (
        r#"{"unevaluatedProperties":false,"allOf":[{"properties":{"a":true}}]}"#,
        r#"{"a":1,"b":2}"#,
        "/b: is a property that no part of the schema describes",
    ),
    (r##"{"$ref":"#/$defs/a","$defs":{"a":{"minimum":1}}}"##, "0", ": must be at least 1, got 0"),
    (r#"{"not":{}}"#, "0", ": must not fit the schema of `not`"),
    (
        r#"{"oneOf":[{},{"minimum":0},{}]}"#,
        "0",
        ": must fit exactly one of the schemas of `oneOf`, but it fits those at 0 and 1",
    ),
    (
        r#"{"oneOf":[{"type":"string"}]}"#,
        "0",
        ": must fit exactly one of the 1 schema of `oneOf`; nearest: it must be a string, got 0",
    ),
    (
        r#"{"anyOf":[{"type":"string"},{"properties":{"a":{"items":{"minimum":1}}}}]}"#,
        r#"{"a":[1,0]}"#,
        ": must fit at least one of the 2 schemas of `anyOf`; nearest: \"/a/1\" must be at least \
             1, got 0",
    ),
    (
        r#"{"if":{"minimum":1},"then":{"maximum":5},"else":{"const":0}}"#,
        "6",
        ": must be at most 5, got 6",
    ),
    (
        r#"{"if":{"minimum":1},"then":{"maximum":5},"else":{"const":0}}"#,
        "-1",
        ": must be 0, got -1",
    ),
];

#[test]
fn each_broken_rule_is_told_with_its_limit_and_what_was_got() {
    for (schema, payload, expected) in BROKEN {
        assert_eq!(told(schema, payload), [*expected], "{schema}");
    }
}

#[test]
fn all_broken_rules_are_told_in_order_up_to_a_limit() {
    let schema = r#"{
        "type": "object",
        "required": ["id", "when"],
        "properties": {
            "id": { "type": "string", "minLength": 3, "pattern": "^[a-z]+$" },
            "lines": { "items": { "required": ["sku"], "properties": { "n": { "minimum": 1 } } } }
        },
        "unevaluatedProperties": false
    }"#;
    let payload = r#"{"id":"A","lines":[{"sku":"x","n":0},{"n":1}],"more":1}"#;
    let expected = [
        ": must have the property \"when\"",
        "/id: must have at least 3 characters, got 1",
        "/id: must match the pattern \"^[a-z]+$\", got \"A\"",
        "/lines/0/n: must be at least 1, got 0",
        "/lines/1: must have the property \"sku\"",
    ];
    assert_eq!(told(schema, payload), expected, "`unevaluated…` waits for the others");
    let fixed = r#"{"id":"abc","when":1,"lines":[],"more":1}"#;
    let expected = [
        "/when: is a property that no part of the schema describes",
        "/more: is a property that no part of the schema describes",
    ];
    assert_eq!(told(schema, fixed), expected);

    let many = format!("[{}1]", "1,".repeat(100));
    assert_eq!(told(r#"{"items":{"type":"null"}}"#, &many).len(), VIOLATIONS_MAX);
    let long = format!("{{\"{}\":\"{}\"}}", "k".repeat(500), "é".repeat(5_000));
    let found = told(r#"{"additionalProperties":{"maxLength":1,"const":"a"}}"#, &long);
    assert!(found.iter().all(|one| one.len() < 1_000), "{found:?}");
    let wide = format!(r#"{{"enum":[{}0]}}"#, r#""abcdefghijklmnopqrstuvwxyz","#.repeat(100));
    assert!(told(&wide, "1").iter().all(|one| one.contains(" and 95 more, got 1")), "{wide}");
}

#[test]
fn what_is_no_json_text_is_a_violation() {
    for payload in ["", "{", "[1", "{\"a\"}", "[1,]", "\"", "{\"a\":1}x"] {
        assert_eq!(told("true", payload), [": is no JSON text"], "{payload}");
    }
}

#[test]
fn trees_refer_to_themselves() {
    let tree = compiled(
        r##"{
            "type": "object",
            "properties": { "value": { "type": "integer" }, "below": { "items": { "$ref": "#" } } },
            "additionalProperties": false
        }"##,
    );
    assert_eq!(tree.check(r#"{"value":1,"below":[{"below":[{"value":2}]},{}]}"#), Ok(()));
    let found = tree.check(r#"{"below":[{},{"below":[{"value":"x"}]}]}"#).expect_err("a string");
    let pointers: Vec<&str> = found.iter().map(|one| &*one.pointer).collect();
    assert_eq!(pointers, ["/below/1/below/0/value"]);
}

const TYPE_NAMES: &str = "must be a name of a type, or an array of different ones: null, boolean, \
                      object, array, number, string, integer";
const NAMES: &str = "must hold arrays of different strings";
const WHOLE: &str = "must be a whole number, at least 0";

const MALFORMED: &[(&str, &str, &str)] = &[
    ("12", "", "a schema is an object or a boolean, not a number"),
    ("{", "", "unexpected end of the text at byte 1"),
    (r#"{"type":12}"#, "/type", TYPE_NAMES),
    (r#"{"type":"int"}"#, "/type", TYPE_NAMES),
    (r#"{"type":[]}"#, "/type", TYPE_NAMES),
    (r#"{"type":["null","null"]}"#, "/type", TYPE_NAMES),
    (r#"{"minimum":"x"}"#, "/minimum", "must be a number"),
    (r#"{"multipleOf":0}"#, "/multipleOf", "must be above 0 and have at most 18 digits"),
    (r#"{"items":{"maxLength":-1}}"#, "/items/maxLength", WHOLE),
    (r#"{"minItems":1.5}"#, "/minItems", WHOLE),
    (r#"{"minContains":"1"}"#, "/minContains", WHOLE),
    (r#"{"pattern":1}"#, "/pattern", "must be a string"),
    (r#"{"pattern":"(a"}"#, "/pattern", r#"the pattern "(a" has a `(` without its `)`"#),
    (
        r#"{"patternProperties":{"a/(?=b)":true}}"#,
        "/patternProperties/a~1(?=b)",
        r#"the pattern "a/(?=b)" uses `(?=`: look-around is not supported"#,
    ),
    (r#"{"uniqueItems":1}"#, "/uniqueItems", "must be a boolean"),
    (r#"{"enum":1}"#, "/enum", "must be an array of values"),
    (r#"{"required":"a"}"#, "/required", NAMES),
    (r#"{"required":["a","a"]}"#, "/required", NAMES),
    (r#"{"dependentRequired":{"a":"b"}}"#, "/dependentRequired", NAMES),
    (r#"{"allOf":{}}"#, "/allOf", "must be an array of schemas"),
    (r#"{"anyOf":[]}"#, "/anyOf", "must hold at least one schema"),
    (r#"{"oneOf":[true,3]}"#, "/oneOf/1", "a schema is an object or a boolean, not a number"),
    (r#"{"properties":[]}"#, "/properties", "must be an object of schemas"),
    (r#"{"items":[true]}"#, "/items", "a schema is an object or a boolean, not an array"),
    (r#"{"$defs":{"a":null}}"#, "/$defs/a", "a schema is an object or a boolean, not null"),
    (
        r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#,
        "/$schema",
        "must be \"https://json-schema.org/draft/2020-12/schema\": no other is supported",
    ),
    (r#"{"$id":1}"#, "/$id", "must be a string"),
    (r##"{"$id":"a#b"}"##, "/$id", "must not have a fragment"),
    (
        r#"{"$defs":{"a":{"$id":"x"},"b":{"$id":"x"}}}"#,
        "/$defs/b/$id",
        "names a schema that is already named so",
    ),
    (r#"{"$anchor":"1a"}"#, "/$anchor", "must be a name of letters, digits, -, _ and ."),
    (
        r#"{"$anchor":"a","not":{"$anchor":"a"}}"#,
        "/not/$anchor",
        "is an anchor that another schema already has",
    ),
    (r#"{"$ref":1}"#, "/$ref", "must be a string"),
    (r##"{"$ref":"#a"}"##, "/$ref", "refers to an anchor that is not there"),
    (r##"{"$ref":"#/$defs/a"}"##, "/$ref", "refers to a place that is not there"),
    (r##"{"$ref":"#/enum/01","enum":[{},{}]}"##, "/$ref", "refers to a place that is not there"),
    (r##"{"$ref":"#/a","a":1}"##, "/a", "a schema is an object or a boolean, not a number"),
    (r##"{"$ref":"#%ff"}"##, "/$ref", "has a fragment that is no text"),
    (
        r#"{"$ref":"other.json#/a"}"#,
        "/$ref",
        "refers to another document, \"other.json#/a\": only references within the schema are \
             followed",
    ),
];

#[test]
fn malformed_schemas_are_refused_at_their_place() {
    for (schema, pointer, message) in MALFORMED {
        assert_eq!(refused(schema), (pointer.to_string(), message.to_string()), "{schema}");
    }
    for good in [
        r#"{"$schema":"https://json-schema.org/draft/2020-12/schema#","format":3,"x-own":[]}"#,
        r##"{"$ref":"#/definitions/a","definitions":{"a":{"type":"null"}}}"##,
        r##"{"$id":"urn:a:b","$ref":"urn:a:b#c","$defs":{"c":{"$anchor":"c"}}}"##,
        r#"{"minLength":2.0,"enum":[],"required":[],"type":["null"]}"#,
    ] {
        compiled(good);
    }
}
