//! Rust source as text: comments and strings blanked, functions measured, types looked into.
//!
//! Owns a scanner that knows just enough of the grammar for that. Positions and lines stay what
//! they were, so findings can be named.

/// A function and how long it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// The text with comments, strings and characters replaced by spaces; line feeds stay.
pub fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at).unwrap_or(at);
        if end > at {
            out.extend(bytes[at..end].iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }));
            at = end;
        } else {
            out.push(if bytes[at].is_ascii() { bytes[at] } else { b' ' });
            at += 1;
        }
    }
    String::from_utf8(out).expect("ASCII by now")
}

/// Where a comment, string or character that starts here ends.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let find = |what: &[u8], from: usize| {
        (from..rest.len()).find(|i| rest[*i..].starts_with(what)).map(|i| i + what.len())
    };
    if rest.starts_with(b"//") {
        return Some(at + find(b"\n", 0).map_or(rest.len(), |end| end - 1));
    }
    if rest.starts_with(b"/*") {
        return Some(at + find(b"*/", 2).unwrap_or(rest.len()));
    }
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if !word_before {
        let raw = rest.iter().take_while(|b| matches!(b, b'b' | b'c')).count().min(1);
        if rest.get(raw) == Some(&b'r') {
            let hashes = rest[raw + 1..].iter().take_while(|b| **b == b'#').count();
            if rest.get(raw + 1 + hashes) == Some(&b'"') {
                let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
                return Some(at + find(&end, raw + 2 + hashes).unwrap_or(rest.len()));
            }
        }
    }
    match rest[0] {
        b'"' => Some(at + quoted_end(rest, b'"')),
        // A character or a lifetime: a character ends in a quote after one (escaped) character.
        b'\'' => {
            let escaped = rest.get(1) == Some(&b'\\');
            let one = std::str::from_utf8(&rest[1..])
                .or_else(|e| std::str::from_utf8(&rest[1..1 + e.valid_up_to()]));
            let width = one.ok().and_then(|t| t.chars().next()).map_or(1, char::len_utf8);
            let closes = rest.get(1 + width) == Some(&b'\'');
            (escaped || closes).then(|| at + quoted_end(rest, b'\''))
        }
        _ => None,
    }
}

fn quoted_end(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The line, from 1, that a byte is on.
pub fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Just behind the bracket that closes the one at `open`.
pub fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code[open..].bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(open + offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Starts of a word, as a word of its own.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = at.checked_sub(1).and_then(|i| code.as_bytes().get(i));
        let after = code.as_bytes().get(at + word.len());
        !before.is_some_and(|b| inner(*b)) && !after.is_some_and(|b| inner(*b))
    })
}

/// All functions with a body, nested ones too.
pub fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let rest = code[at + 2..].trim_start();
        let name: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            continue;
        }
        let Some(open) = body_start(code, at) else { continue };
        let end = closing(code, open).unwrap_or(code.len());
        let lines = code[at..end].matches('\n').count() + 1;
        found.push(Function { name, line: line_of(code, at), lines });
    }
    found
}

/// The brace that opens the body of the function or type at `at`; `None` when it has none.
fn body_start(code: &str, at: usize) -> Option<usize> {
    let mut from = at;
    loop {
        let next = from + code[from..].find(['(', '[', '{', ';'])?;
        match code.as_bytes()[next] {
            b'{' => return Some(next),
            b';' => return None,
            _ => from = closing(code, next)?,
        }
    }
}

/// How many types serde writes, and where one holds a number whose width is not the same
/// everywhere or whose text is not.
pub fn unstable_fields(code: &str) -> (usize, Vec<(usize, String)>) {
    let (mut seen, mut found) = (0, Vec::new());
    for (at, _) in code.match_indices("derive(") {
        let end = closing(code, at + 6).unwrap_or(code.len());
        if !code[at..end].contains("Serialize") {
            continue;
        }
        seen += 1;
        let item = ["struct", "enum"]
            .iter()
            .filter_map(|word| words(&code[end..], word).next())
            .min()
            .map_or(end, |offset| end + offset);
        // A tuple struct ends in a semicolon, its fields are within parentheses.
        let stop = code[item..].find(['{', '(', ';']).map_or(code.len(), |offset| item + offset);
        let close = closing(code, stop).unwrap_or(code.len());
        for word in ["usize", "isize", "f32", "f64"] {
            for place in words(&code[stop..close], word) {
                let line = line_of(code, stop + place);
                found.push((line, code.lines().nth(line - 1).unwrap_or_default().trim().into()));
            }
        }
    }
    (seen, found)
}

#[test]
fn the_measure_is_not_fooled() {
    let code = r##"
fn one<'a>(x: &'a str) -> [u8; { 3 }] {
    let brace = '{'; let quote = '\''; let s = "}\"}"; let r = r#"}"}"#; // }
    /* } */ call(|| { b"}" });
}
trait T { fn none(&self); fn two() {} }
#[derive(Serialize)] struct A(u8, usize);
#[derive(Debug)] struct B(usize);
"##;
    let code = blanked(code);
    let found: Vec<(String, usize)> =
        functions(&code).into_iter().map(|f| (f.name, f.lines)).collect();
    assert_eq!(found, [("one".to_string(), 4), ("two".into(), 1)]);
    let (seen, unstable) = unstable_fields(&code);
    assert_eq!((seen, unstable.len()), (1, 1), "{unstable:?}");
}
