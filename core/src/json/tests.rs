//! Tests of the JSON module. Most are rows of tables; serde_json is the second opinion.

extern crate std;

mod tables;

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use self::tables::{DEEP, KEPT, RANGE, REFUSED, SPACED, STRICTER};
use super::*;

fn serde(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn assert_refused(text: &str, message: &str, offset: usize) {
    let fault = minify(text.as_bytes()).expect_err(text);
    assert_eq!(fault.to_string(), format!("{message}{offset}"), "{text:?}");
    assert_eq!(fault.offset(), offset, "{text:?}");
}

#[test]
fn accepted_texts_keep_their_tokens() {
    let kept = KEPT.iter().map(|text| (*text, *text));
    for (text, expected) in kept.chain(SPACED.iter().copied()) {
        assert_eq!(minify(text.as_bytes()).as_deref(), Ok(expected), "{text:?}");
        assert_eq!(minify(expected.as_bytes()).as_deref(), Ok(expected), "{text:?}");
        let value = serde(text);
        assert!(value.is_some() && value == serde(expected), "{text:?}");
    }
}

#[test]
fn refused_texts_name_the_byte() {
    for (text, message, offset) in REFUSED {
        assert_refused(text, message, *offset);
        assert!(serde(text).is_none(), "{text:?}");
    }
    for (text, message, offset) in STRICTER {
        assert_refused(text, message, *offset);
        assert!(serde(text).is_some(), "{text:?}");
    }
}

#[test]
fn invalid_utf8_is_refused_first() {
    let cases: &[(&[u8], usize)] = &[
        (b"\xff", 0),
        (b"\xfe\xff\0{", 0),
        (b"\"\x80\"", 1),
        (b"\"\xc0\xaf\"", 1),
        (b"\"a\xe2\x82\"", 2),
        (b"\"\xed\xa0\x80\"", 1),
        (b"\"\xf4\x90\x80\x80\"", 1),
        (b"\"\xf8\x88\x80\x80\x80\"", 1),
        (b"[}\xff", 2),
        (b"{}\xc3", 2),
    ];
    for (text, offset) in cases {
        assert_eq!(minify(text), Err(JsonError::InvalidUtf8 { offset: *offset }));
        assert!(serde_json::from_slice::<Value>(text).is_err());
    }
}

#[test]
fn depth_has_a_bound() {
    let arrays = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let objects = |levels: usize| format!("{}0{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    for levels in [DEPTH_MAX - 1, DEPTH_MAX] {
        assert_eq!(minify(arrays(levels).as_bytes()), Ok(arrays(levels)));
        assert_eq!(minify(objects(levels).as_bytes()), Ok(objects(levels)));
    }
    assert_refused(&arrays(65), DEEP, 64);
    assert_refused(&objects(65), DEEP, 5 * 64);
    assert_refused(&arrays(100_000), DEEP, 64);
    assert_refused(&"[".repeat(100_000), DEEP, 64);
    assert_refused(&"[ {\"a\": ".repeat(100_000), DEEP, 32 * 8);
    // Depth counts what is open, not what was.
    assert!(minify(format!("[{}0]", "[],{},".repeat(1_000)).as_bytes()).is_ok());
    // The readers count instead of recursing.
    assert_eq!(elements(&arrays(100_000)).map(|found| found.len()), Some(1));
}

#[test]
fn long_numbers_stay_in_range() {
    let zeros = |count: usize| "0".repeat(count);
    for fine in [
        format!("1{}", zeros(299)),
        format!("1{}", zeros(300)),
        format!("1{}", zeros(308)),
        format!("1.{}", "9".repeat(10_000)),
        format!("0.{}1e400", zeros(400)),
    ] {
        assert_eq!(minify(fine.as_bytes()).as_deref(), Ok(fine.as_str()));
    }
    assert_refused(&format!("1{}", zeros(309)), RANGE, 0);
    assert_refused(&format!("[-{}]", "9".repeat(10_000)), RANGE, 1);
}

/// An object with `count` keys of `key`.
fn object(count: usize, key: impl Fn(usize) -> String) -> String {
    let members: Vec<String> = (0..count).map(|n| format!("\"{}\":{n}", key(n))).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn duplicates_are_found_at_any_size() {
    // 16 is where pairs give way to sorting.
    for count in [2, 8, 9, 15, 16, 17, 18, 100] {
        let distinct = object(count, |n| format!("k{n}"));
        assert_eq!(minify(distinct.as_bytes()).as_deref(), Ok(distinct.as_str()));
        let twice = distinct.replacen(&format!("k{}", count - 1), "k0", 1);
        let offset = twice.rfind("\"k0\"").expect("the key");
        assert_refused(&twice, "duplicate key \"k0\" at byte ", offset);
        let escaped = twice.replacen("\"k0\"", "\"\\u006b0\"", 1);
        assert_refused(&escaped, "duplicate key \"k0\" at byte ", offset + 5);
    }
    // The key in the message is the caller's, so it is cut; in characters, not bytes.
    let long = "é".repeat(65);
    let fault = minify(format!("{{\"{long}\":1,\"{long}\":1}}").as_bytes());
    let key = "é".repeat(64);
    assert_eq!(fault, Err(JsonError::DuplicateKey { key, offset: 136 }));
}

#[test]
#[expect(clippy::disallowed_types, reason = "a test may look at the clock")]
fn large_objects_are_not_quadratic() {
    for prefix in ["k", "\\u006b"] {
        let text = object(100_000, |n| format!("{prefix}{:06}", n * 7_919 % 100_000));
        // The best of three: a busy machine is not a slow algorithm.
        let fast = (0..3).any(|_| {
            let start = std::time::Instant::now();
            assert!(minify(text.as_bytes()).is_ok());
            start.elapsed().as_millis() < 1_000
        });
        assert!(fast, "{prefix}");
    }
}

#[test]
fn readers_agree_with_serde() {
    for text in KEPT {
        let value = serde(text).expect(text);
        match members(text) {
            Some(found) => {
                let map = value.as_object().expect(text);
                assert_eq!(found.len(), map.len(), "{text}");
                for (key, token) in found {
                    assert_eq!(map.get(&*key), serde(token).as_ref(), "{text}");
                }
            }
            None => assert!(!value.is_object(), "{text}"),
        }
        match elements(text) {
            Some(found) => {
                let found: Option<Vec<Value>> = found.into_iter().map(serde).collect();
                assert_eq!(found.as_ref(), value.as_array(), "{text}");
            }
            None => assert!(!value.is_array(), "{text}"),
        }
        assert_eq!(string(text).as_deref(), value.as_str(), "{text}");
    }
}

#[test]
fn readers_keep_order_and_borrow() {
    let text = r#"{"b":[1,{"x":"]"}],"\u0061":"q\"}","c":-1.50e2,"d":{}}"#;
    let found = members(text).expect("an object");
    let tokens: Vec<_> = found.iter().map(|(key, token)| (&**key, *token)).collect();
    let b = r#"[1,{"x":"]"}]"#;
    assert_eq!(tokens, [("b", b), ("a", r#""q\"}""#), ("c", "-1.50e2"), ("d", "{}")]);
    assert!(matches!(found.first(), Some((Cow::Borrowed("b"), _))));
    assert_eq!(elements(b), Some([r#"1"#, r#"{"x":"]"}"#].to_vec()));
}

#[test]
fn objects_are_elements_with_their_members() {
    let texts =
        ["[]", "[{}]", "[{},1]", r#"[{"a":[1,{}],"b":"]"},"x",[{}],{},null,{"\u0061":{}}]"#];
    for text in texts {
        let apart = elements(text).expect(text);
        let wanted: Vec<_> = apart.iter().map(|element| members(element)).collect();
        assert_eq!(objects(text, apart.len()), Some(wanted), "{text}");
        if let Some(fewer) = apart.len().checked_sub(1) {
            assert_eq!(objects(text, fewer), None, "{text}");
        }
    }
    for text in ["", "{}", "1", "[", "[{}", "[{}x", "[{},]", "[{}]x", "[{\"a\"}]", "[,]"] {
        assert_eq!(objects(text, 9), None, "{text}");
    }
}

#[test]
fn readers_survive_any_text() {
    for (text, _, _) in REFUSED.iter().chain(STRICTER) {
        let _ = (members(text), elements(text), string(text), unsigned(text));
    }
    // Every prefix and every suffix of a text that has it all.
    let text = r#"{"a":[1,"\ud83d\ude00é",{"b":null}],"c":{"d":[]},"e":"\\"}"#;
    for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
        for part in [text.split_at(at).0, text.split_at(at).1] {
            let _ = (members(part), elements(part), string(part), unsigned(part));
            assert_eq!(minify(part.as_bytes()).is_ok(), serde(part).is_some(), "{part}");
        }
    }
    for text in ["", "{", "[", "{}x", "[]x", "[,]", "[1,]", "{\"a\":}", "{\"a\":1}x", "{ }", "[1"] {
        assert_eq!((members(text), elements(text)), (None, None), "{text}");
    }
    for text in ["", "\"", "a", "\"a", "\"a\"b\"", "\"\\\"", "\"\\x\"", "\"\\ud800\"", "1"] {
        assert_eq!(string(text), None, "{text}");
    }
}

#[test]
fn unsigned_takes_plain_digits_up_to_2_53() {
    let cases: &[(&str, Option<u64>)] = &[
        ("0", Some(0)),
        ("1", Some(1)),
        ("10", Some(10)),
        ("9007199254740990", Some((1 << 53) - 2)),
        ("9007199254740991", Some((1 << 53) - 1)),
        ("9007199254740992", None),
        ("9999999999999999", None),
        ("10000000000000000", None),
        ("18446744073709551617", None),
        ("-0", None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        ("1e3", None),
        ("01", None),
        ("00", None),
        ("", None),
        (" 1", None),
        ("\"1\"", None),
        ("null", None),
        ("1:", None),
    ];
    for (token, expected) in cases {
        assert_eq!(unsigned(token), *expected, "{token}");
    }
}

#[test]
fn written_strings_read_back() {
    let all: String = (0..0x250_u32).filter_map(char::from_u32).collect();
    let texts =
        ["", "plain", "\"", "\\", "a\"b", "1234567\"", "12345678\\", "é\u{1f600}\u{7f}", &all];
    for text in texts {
        let mut out = String::from("x");
        push_string(&mut out, text);
        let token = out.strip_prefix('x').expect("appended");
        assert_eq!(Some(token), serde_json::to_string(text).ok().as_deref());
        if !text.contains('\0') {
            assert_eq!(minify(token.as_bytes()).as_deref(), Ok(token));
            assert_eq!(string(token).as_deref(), Some(text));
        }
    }
    let mut out = String::new();
    push_string(&mut out, "\u{0}\u{8}\t\n\u{b}\u{c}\r\u{1f}");
    assert_eq!(out, r#""\u0000\b\t\n\u000b\f\r\u001f""#);
}

#[test]
fn written_numbers_are_decimal() {
    let powers = (0..20).map(|exponent| 10_u64.pow(exponent));
    let near = powers.flat_map(|power| [power - 1, power, power + 1, power / 4 * 7]);
    for n in near.chain([u64::MAX, u64::MAX - 1, 1 << 53]).chain(0..1_000) {
        let mut out = String::from("x");
        push_unsigned(&mut out, n);
        assert_eq!(out, format!("x{n}"));
    }
}
