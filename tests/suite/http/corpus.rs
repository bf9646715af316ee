//! What is sent to be refused: JSON that is none, bytes that are no request, and mutations.
//!
//! Owns the corpora. Refuses to know what a host makes of them.

use foldlog_tests::client::Request;
use foldlog_tests::scratch::Random;

/// Bodies none of which is a deposit.
pub fn json_texts() -> Vec<Vec<u8>> {
    let deep = |open: &str, close: &str, levels: usize| {
        format!("{}{}", open.repeat(levels), close.repeat(levels)).into_bytes()
    };
    let mut texts: Vec<Vec<u8>> = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    let amounts = AMOUNTS.iter();
    texts.extend(amounts.map(|n| format!(r#"{{"accountId":"a","amount":{n}}}"#).into_bytes()));
    texts.extend(BYTES.iter().map(|bytes| {
        let mut text = br#"{"accountId":""#.to_vec();
        text.extend_from_slice(bytes);
        text.extend_from_slice(br#"","amount":1}"#);
        text
    }));
    texts.extend([
        deep("[", "]", 65),
        deep("[", "]", 1_000),
        deep("[", "]", 100_000),
        deep("[", "", 100_000),
        deep("{\"a\":", "}", 40_000),
        b"\xef\xbb\xbf{\"accountId\":\"a\",\"amount\":1}".to_vec(),
        b"\xff\xfe{\0\"\0".to_vec(),
        b"{\"accountId\":\"a\",\"amount\":1}\0".to_vec(),
        format!(r#"{{"accountId":"{}","amount":1}}"#, "a".repeat(129)).into_bytes(),
        format!(r#"{{"accountId":"{}","amount":1}}"#, "\\u0061".repeat(40_000)).into_bytes(),
        format!(r#"{{"accountId":"a","amount":{}}}"#, "9".repeat(200_000)).into_bytes(),
        format!("{{{}\"amount\":1}}", r#""accountId":"a","#.repeat(10_000)).into_bytes(),
    ]);
    texts
}

const TEXTS: [&str; 36] = [
    "",
    " ",
    "{",
    "}",
    "[",
    "]",
    "{}",
    "[]",
    "null",
    "true",
    "1",
    "\"\"",
    "{]",
    "[}",
    "{{}}",
    "{1:2}",
    "{\"a\"}",
    "{\"a\":}",
    "{,}",
    "[,]",
    "nul",
    "tru",
    "-",
    ".",
    "\"",
    "\"\\",
    "/* */{}",
    r#"{"accountId":"a","amount":1},"#,
    r#"{"accountId":"a","amount":1}{"accountId":"a","amount":1}"#,
    r#"{"accountId":"a","amount":1,"amount":1}"#,
    r#"{"accountId":"a","accountId":"a","amount":1}"#,
    r#"{"accountId":"a","amount":1,"\u0061mount":1}"#,
    r#"{"accountId":"a","amount":1,"":1}"#,
    r#"{"accountId":"a","amount":1,"__proto__":{}}"#,
    r#"{"accountId":"a","amount":1,"currency":"EUR"}"#,
    r#"[{"accountId":"a","amount":1}]"#,
];

/// Numbers and other values that are no amount.
const AMOUNTS: [&str; 38] = [
    "0",
    "-0",
    "-1",
    "0.0",
    "0.1",
    "1.0",
    "1.5",
    "1e1",
    "1E1",
    "1e+1",
    "1e-1",
    "1e400",
    "-1e400",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "01",
    "+1",
    ".5",
    "5.",
    "0x10",
    "1_000",
    "NaN",
    "Infinity",
    "-Infinity",
    "null",
    "true",
    "\"1\"",
    "[]",
    "{}",
    "[1]",
    "{\"a\":1}",
    "1 2",
    "٣",
];

/// What an id may not hold: bytes that are no UTF-8, halves of characters, escapes of nothing.
const BYTES: [&[u8]; 26] = [
    b"\xff",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xc3",
    b"\x80",
    b"\\ud800",
    b"\\udc00",
    b"\\ud800\\ud800",
    b"\\udc00\\ud800",
    b"\\u12",
    b"\\x41",
    b"\\u0000",
    b"\x00",
    b"\n",
    b"\x1f",
    b"a/b",
    b"..\\\\",
    b"a\\u002fb",
    b"%2e%2e",
    b"a b",
    b"\xc3\xa4",
    b"~a",
    b"\xe2\x80\xae",
    b"",
];

type Bytes = fn() -> Vec<u8>;

/// Bytes on the wire that are no request, or one that no host should do.
pub const RAW: [(&str, Bytes); 34] = [
    ("nothing of HTTP", || b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
    ("an empty line only", || b"\r\n\r\n".to_vec()),
    ("half a request line", || b"GET /heal".to_vec()),
    ("no version", || b"GET /health\r\n\r\n".to_vec()),
    ("version 0.9", || b"GET /health HTTP/0.9\r\n\r\n".to_vec()),
    ("version 3", || b"GET /health HTTP/3.0\r\nHost: x\r\n\r\n".to_vec()),
    ("an unknown method", || b"BREW /health HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ("a method of bytes", || b"G\xffT /health HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ("CONNECT", || b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ("TRACE", || b"TRACE /health HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ("a target of bytes", || b"GET /queries/account/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ("a target with a space", || b"GET /queries/account/a b HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ("a target without slash", || b"GET health HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ("a target of 100,000 bytes", || {
        format!("GET /queries/account/{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000)).into()
    }),
    ("a head of 70,000 bytes", || head(&format!("X-A: {}\r\n", "a".repeat(70_000)))),
    ("a head of 2 MB", || head(&"X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(50_000))),
    ("5,000 headers", || head(&"A: b\r\n".repeat(5_000))),
    ("a header without colon", || head("Nonsense\r\n")),
    ("a header with a line feed in it", || head("X-Actor: a\nX-B: c\r\n d\r\nbad line\r\n")),
    ("a header of bytes", || head("X-Actor: \u{e4}\u{f6}\r\n")),
    ("a NUL in a header", || head("X-Actor: a\0b\r\n")),
    ("two content lengths", || post("Content-Length: 28\r\nContent-Length: 5\r\n", BODY)),
    ("two values of content length", || post("Content-Length: 28, 5\r\n", BODY)),
    ("a negative content length", || post("Content-Length: -1\r\n", BODY)),
    ("a content length of 30 digits", || {
        post("Content-Length: 999999999999999999999999999999\r\n", BODY)
    }),
    ("a hexadecimal content length", || post("Content-Length: 0x1c\r\n", BODY)),
    ("a declared gigabyte", || post("Content-Length: 1073741824\r\n", BODY)),
    ("no length at all", || post("", BODY)),
    ("an unknown transfer encoding", || post("Transfer-Encoding: nonsense\r\n", BODY)),
    ("a chunk that is none", || post("Transfer-Encoding: chunked\r\n", "zz\r\nabc\r\n0\r\n\r\n")),
    ("a chunk of 2^64 bytes", || {
        post("Transfer-Encoding: chunked\r\n", "10000000000000000\r\nabc\r\n0\r\n\r\n")
    }),
    ("chunks that break off", || post("Transfer-Encoding: chunked\r\n", "5\r\n{\"acc")),
    ("dots and escapes before a partition", || {
        b"GET /%2e%2e/p/%6d%61in/queries/account/%2e%2e%2f HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()
    }),
    ("a partition behind dots that has no such account", || {
        b"GET /x/../p/second/queries/account/a HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()
    }),
];

const BODY: &str = r#"{"accountId":"a","amount":1}"#;

fn head(headers: &str) -> Vec<u8> {
    format!("GET /queries/account/nobody HTTP/1.1\r\nHost: x\r\n{headers}\r\n").into_bytes()
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    let start = "POST /commands/deposit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    format!("{start}{headers}\r\n{body}").into_bytes()
}

/// The example of docs/format.md, but for its last line.
const LOG: &str = concat!(
    r#"{"position":0,"format":1,"partition":"main","incarnation":"58f9082db66a15d660a3f65e1e2f12c3","time":"2026-01-01T00:00:01.000Z","settings":{"idempotencyDays":7,"recordCommands":true},"guest":"0000000000000000000000000000000000000000000000000000000000000000","hash":"72cbdfabee8c549f2ef3f53687017ef6dc5ff17d4ac33d82936a84f19d4fafef"}"#,
    "\n",
    r#"{"position":1,"time":"2026-01-01T00:00:01.000Z","command":{"name":"OpenAccount","data":{"accountId":"acc-1","initialBalance":1000}},"events":[{"type":"AccountOpened","stream":"BankAccount:acc-1","version":1,"data":{"initialBalance":1000}}],"hash":"daa97f8779868e5eb18bea73fb9414d6e15662c55481345b19d58194ffd75b72"}"#,
    "\n"
);

/// Into a partition of its own, which stays empty as long as it is no log.
fn import(log: &str) -> Request {
    let mut request = Request::post("/p/imported/log/import?complete=true", log);
    request.headers = vec![("Content-Type".into(), "application/x-ndjson".into())];
    request
}

/// Valid requests, to be mutated.
pub fn requests() -> Vec<Request> {
    let deposit = || Request::post("/commands/deposit", BODY);
    vec![
        deposit(),
        deposit().header("Idempotency-Key", "\"k-1\"").header("If-Match", "\"1\""),
        deposit()
            .header("Foldlog-Meta-A", "b")
            .header("X-Actor", "ann")
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        Request::post("/p/other/commands/open-account", r#"{"accountId":"b","initialBalance":7}"#),
        Request::post("/commands/withdraw", r#"{ "accountId" : "\u0061", "amount" : 1 }"#),
        Request::get("/queries/account/a").header("If-None-Match", "W/\"1\", \"2\""),
        Request::get("/events/stream?type=MoneyDeposited&category=BankAccount&limit=5&order=desc"),
        Request::get(
            "/events/stream?from=2026-01-01T00:00:00.000Z&to=2027-01-01T00:00:00Z&after=1",
        ),
        Request::get("/events/account/a?fromVersion=1&limit=1000"),
        Request::get("/events/id/evt-001"),
        Request::get("/projections/AccountBalances?after=a&limit=1"),
        Request::get("/stats?after=BankAccount:a"),
        Request::get("/p/other/log/export?after=0"),
        import(LOG),
        import(LOG.trim_end()),
    ]
}

/// What is put in by mutations besides random bytes.
const TOKENS: [&[u8]; 22] = [
    b"\0",
    b"\r\n",
    b"\n",
    b"%00",
    b"%2F",
    b"%",
    b"..",
    b"/",
    b"?",
    b"&",
    b"=",
    b"\"",
    b"\\u0000",
    b"{",
    b"[[[[",
    b"99999999999999999999",
    b"-1",
    b"1e9",
    b"\xff",
    b"~",
    b"*",
    b", ",
];

/// The same with one to four changes.
pub fn mutate(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(12)).min(bytes.len());
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part: Vec<u8> = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => bytes.truncate(end.max(1).min(bytes.len())),
            4 => bytes.insert(at, random.next().to_le_bytes()[0]),
            _ => drop(bytes.splice(at..at, random.one_of(&TOKENS).iter().copied())),
        }
    }
    bytes
}

/// As [`mutate`], for text.
pub fn mutate_text(text: &str, random: &mut Random) -> String {
    String::from_utf8_lossy(&mutate(text.as_bytes(), random)).into_owned()
}
