//! What matches what, what is refused, and that nothing takes long.

use alloc::vec;

use super::class::{Class, Item, Property};
use super::*;

fn compiled(source: &str) -> Pattern {
    Pattern::new(source, 10_000).unwrap_or_else(|e| panic!("{source}: {e}"))
}

fn matches(source: &str, text: &str) -> bool {
    compiled(source)
        .is_match(text, &mut Scratch::default(), &mut 1_000_000)
        .unwrap_or_else(|| panic!("{source}: costly"))
}

#[test]
fn patterns_mean_what_ecma_262_says() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("", &["", "a"], &[]),
        ("a", &["a", "bab"], &["", "b"]),
        ("^a$", &["a"], &["ab", "ba", "a\n", "\na"]),
        ("^(?:ab|c)*$", &["", "ab", "cabc"], &["a", "abb"]),
        ("^a+?b??$", &["a", "aab"], &["b", "abb"]),
        ("^a{2}$", &["aa"], &["a", "aaa"]),
        ("^a{2,}$", &["aa", "aaaa"], &["a"]),
        ("^a{0,2}$", &["", "a", "aa"], &["aaa"]),
        ("^(a{1,2}){2}$", &["aa", "aaa", "aaaa"], &["a", "aaaaa"]),
        ("^(a*)*$", &["", "aaa"], &["b"]),
        ("^(|a)+$", &["", "aa"], &["b"]),
        ("^{a}$", &["{a}"], &["a"]),
        ("^a{,2}$", &["a{,2}"], &["aa"]),
        ("a]}", &["a]}"], &["a"]),
        ("^.$", &["a", "é", "\u{1f600}", "\u{85}"], &["", "\n", "\r", "\u{2028}", "ab"]),
        ("^[abc-e]$", &["a", "d"], &["f", "-"]),
        ("^[^a-c]$", &["d", "é", "\n"], &["b", ""]),
        ("^[-a]$|^[b-]$", &["-", "a", "b"], &["c"]),
        (r"^[\w-]+$", &["a-b_9"], &["é", " "]),
        (r"^[\]\\]$", &["]", "\\"], &["["]),
        ("^[^]$", &["a", "\n"], &[""]),
        ("[]", &[], &["", "a"]),
        (r"^\d$", &["7"], &["\u{7ed}", "a"]),
        (r"^\D$", &["\u{7ed}", "a"], &["7"]),
        (r"^\w$", &["a", "Z", "_", "0"], &["é", "-"]),
        (r"^\W$", &["é"], &["a"]),
        (
            r"^\s$",
            &[" ", "\t", "\u{b}", "\u{a0}", "\u{feff}", "\u{2029}"],
            &["a", "\u{85}", "\u{1}"],
        ),
        (r"^[\S]$", &["a", "\u{1}"], &["\u{feff}"]),
        (r"\bfoo\b", &["foo", "a foo.", "éfoo"], &["foobar", "_foo"]),
        (r"\Boo", &["foo"], &["oo"]),
        (r"^\cC\x41\u0042\u{1F600}\ud83d\ude00$", &["\u{3}AB\u{1f600}\u{1f600}"], &["CAB"]),
        (r"^[\b\0]$", &["\u{8}"], &["b", "0"]),
        (r"^\-\@\ \/\.$", &["-@ /."], &["-@ /x"]),
        (r"^\t\n\v\f\r$", &["\t\n\u{b}\u{c}\r"], &[""]),
        (r"^\p{Alphabetic}+\P{Alpha}$", &["éß1"], &["1"]),
        (r"^[\p{Alpha}\p{N}]+$", &["É7"], &["-"]),
        ("^(?<year>[0-9]{4})-[0-9]{2}$", &["2024-05"], &["2024-5"]),
        ("^á", &["ármányos"], &["âmen"]),
        ("a^b|c$d", &[], &["ab", "cd"]),
        ("x*", &["", "y"], &[]),
        ("(^a|b$)", &["ax", "xb"], &["xa", "bx"]),
        ("(?:^a)?b", &["xb", "ab"], &["a"]),
    ];
    for (source, good, bad) in cases {
        good.iter().for_each(|text| assert!(matches(source, text), "{source} and {text:?}"));
        bad.iter().for_each(|text| assert!(!matches(source, text), "{source} not {text:?}"));
    }
}

#[test]
fn what_is_no_pattern_or_can_not_be_matched_is_refused() {
    let nested = "(".repeat(33) + &")".repeat(33);
    for (source, expected) in [
        ("(", "has a `(` without its `)`"),
        (")", "has a `)` without its `(`"),
        ("[a", "has a `[` without its `]`"),
        ("*a", "has a `*` with nothing to repeat"),
        ("a**", "repeats a repetition"),
        ("^*", "repeats what takes no character"),
        (r"\b+", "repeats what takes no character"),
        ("a{3,2}", "has counts out of order: 3 to 2"),
        ("[z-a]", "has a range out of order: z-a"),
        (r"[a-\d]", "has a range that ends in a class"),
        (r"a\", "ends in a backslash"),
        (r"\c1", "has `\\c` without a letter"),
        (r"\xg0", "has `\\x` without two digits"),
        (r"\ud800", "has `\\u` without the number of a character"),
        (r"\u{110000}", "has `\\u` without the number of a character"),
        (r"\u{fffffffffffff}", "has `\\u` without the number of a character"),
        (r"\u{", "has `\\u` without the number of a character"),
        (r"(a)\1", "uses `\\1`: back-references are not supported"),
        (r"\k<a>", "uses `\\k`: back-references are not supported"),
        (r"\a", "has an unknown escape: `\\a`"),
        (r"\Z", "has an unknown escape: `\\Z`"),
        ("(?=a)", "uses `(?=`: look-around is not supported"),
        ("(?!a)", "uses `(?!`: look-around is not supported"),
        ("(?<=a)", "uses `(?<=`: look-around is not supported"),
        ("(?<!a)", "uses `(?<!`: look-around is not supported"),
        ("(?i)a", "has a group of an unknown kind behind `(?`"),
        ("(?P<a>b)", "has a group of an unknown kind behind `(?`"),
        ("(?<>a)", "has a group whose name is none"),
        (&nested, "has more than 32 groups inside each other"),
        (r"\p{Letter}", "uses `\\p{Letter}`, but of Unicode's properties only Alphabetic, "),
        (r"\pL", "uses `\\p{}`, but of Unicode's properties only Alphabetic, "),
        ("a{1000}{1000}", "repeats a repetition"),
        ("{2}", "has counts with nothing to repeat"),
        ("(a{1000}){1000}", "makes the patterns larger than 10000 instructions in all"),
        ("a{4294967296}", "makes the patterns larger than 10000 instructions in all"),
        ("(((){9999}){9999}){9999}", "makes the patterns larger than 10000 instructions in all"),
    ] {
        let refused = Pattern::new(source, 10_000).map(|_| ()).expect_err(source);
        assert!(refused.starts_with(expected), "{source}: {refused}");
    }
}

#[test]
fn a_match_is_linear_and_paid_for() {
    // What takes a backtracking matcher for ever.
    let text = "a".repeat(5_000);
    for source in ["^(a+)+$", "^(a|a)*$", "^(a*)*b", "(a?){50}a{50}"] {
        let mut budget = 1_000_000;
        let found = compiled(source).is_match(&text, &mut Scratch::default(), &mut budget);
        assert_eq!(found, Some(!source.ends_with('b')), "{source}");
        assert!(budget < 1_000_000 || !source.starts_with('^'), "{source}: {budget}");
    }
    let costly =
        compiled("[ab]*a[ab]{500}c").is_match(&text, &mut Scratch::default(), &mut 100_000);
    assert_eq!(costly, None);
    assert_eq!(
        compiled("^b").is_match(&text, &mut Scratch::default(), &mut 2),
        Some(false),
        "tried at the start alone"
    );
}

/// The first 128 characters are told by a mask, the others one by one.
#[test]
fn the_mask_of_a_class_is_what_it_lists() {
    let ends = ['\0', 'A', '\u{3f}', '\u{40}', '\u{7e}', '\u{7f}', '\u{80}', '\u{10ffff}'];
    for (from, to) in ends.iter().flat_map(|from| ends.map(|to| (*from, to))) {
        for negated in [false, true] {
            let class = Class::new(vec![Item::Range(from, to)], negated);
            for c in (0..130_u8).map(char::from) {
                let wanted = (from..=to).contains(&c) != negated;
                assert_eq!(class.has(c), wanted, "{from:?} to {to:?}, {negated}: {c:?}");
            }
        }
    }
    let words = Class::new(vec![Item::Property(Property::Word, true)], false);
    let found: String = (0..128_u8).map(char::from).filter(|c| !words.has(*c)).collect();
    assert_eq!(found, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz");
}
