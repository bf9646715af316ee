//! Callback URLs: long lists of spellings, and Python's `ipaddress` as a second opinion.
//!
//! Symptom to look for: an address inside that a consumer can be registered at. What is connected
//! to is tested where the connections are, in the native host.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use foldlog_core::targets::{Host, TargetError, check, is_public};
use foldlog_tests::scratch::{Random, root};

/// Addresses of each family that the oracle is asked about.
const ADDRESSES: usize = 10_000;

/// The lines of a list that are no comments, with the escapes of tests/targets/malformed.txt.
fn list(name: &str) -> Vec<String> {
    let path = root().join("tests/targets").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let escapes = [("\\t", "\t"), ("\\n", "\n"), ("\\r", "\r"), ("\\0", "\0")];
    lines
        .map(|line| {
            escapes.iter().fold(line.to_string(), |line, (from, to)| line.replace(from, to))
        })
        .collect()
}

#[test]
fn no_spelling_of_an_address_inside_is_let_through() {
    let forbidden = list("forbidden.txt");
    assert!(forbidden.len() > 250, "{} are listed", forbidden.len());
    for url in &forbidden {
        let refused = check(url, false);
        assert!(matches!(refused, Err(TargetError::Forbidden(_))), "{url}: {refused:?}");
        assert!(check(url, true).is_ok(), "{url} is well-formed: {:?}", check(url, true));
    }
    let malformed = list("malformed.txt");
    assert!(malformed.len() > 200, "{} are listed", malformed.len());
    for url in &malformed {
        for allow_private in [false, true] {
            let refused = check(url, allow_private);
            assert!(matches!(refused, Err(TargetError::Malformed(_))), "{url:?}: {refused:?}");
        }
    }
}

#[test]
fn what_is_public_is_let_through() {
    let public = list("public.txt");
    assert!(public.len() > 40, "{} are listed", public.len());
    for url in &public {
        let target = check(url, false).unwrap_or_else(|e| panic!("{url}: {e}"));
        // What is called is read as the same, and stays as it is.
        assert_eq!(check(&target.url(), false).as_ref(), Ok(&target), "{url}");
        assert_eq!(check(&target.url(), false).map(|again| again.url()), Ok(target.url()));
    }
}

/// Where something begins or ends that some registry lists: address and length of the prefix.
const BOUNDARIES: [(&str, u32); 74] = [
    ("0.0.0.0", 8),
    ("10.0.0.0", 8),
    ("100.64.0.0", 10),
    ("127.0.0.0", 8),
    ("169.254.0.0", 16),
    ("172.16.0.0", 12),
    ("192.0.0.0", 24),
    ("192.0.0.0", 29),
    ("192.0.0.8", 32),
    ("192.0.0.9", 32),
    ("192.0.0.10", 32),
    ("192.0.0.170", 31),
    ("192.0.2.0", 24),
    ("192.31.196.0", 24),
    ("192.52.193.0", 24),
    ("192.88.99.0", 24),
    ("192.168.0.0", 16),
    ("192.175.48.0", 24),
    ("198.18.0.0", 15),
    ("198.51.100.0", 24),
    ("203.0.113.0", 24),
    ("224.0.0.0", 4),
    ("224.0.0.0", 24),
    ("233.252.0.0", 24),
    ("239.0.0.0", 8),
    ("240.0.0.0", 4),
    ("255.255.255.255", 32),
    ("::", 128),
    ("::1", 128),
    ("::", 96),
    ("::127.0.0.0", 104),
    ("::ffff:0:0", 96),
    ("::ffff:127.0.0.0", 104),
    ("::ffff:10.0.0.0", 104),
    ("::ffff:192.168.0.0", 112),
    ("::ffff:0:0:0", 96),
    ("64:ff9b::", 96),
    ("64:ff9b::10.0.0.0", 104),
    ("64:ff9b::127.0.0.0", 104),
    ("64:ff9b::169.254.0.0", 112),
    ("64:ff9b::172.16.0.0", 108),
    ("64:ff9b::192.168.0.0", 112),
    ("64:ff9b::224.0.0.0", 100),
    ("64:ff9b:1::", 48),
    ("100::", 64),
    ("100:0:0:1::", 64),
    ("200::", 7),
    ("1000::", 4),
    ("2000::", 3),
    ("2001::", 16),
    ("2001::", 23),
    ("2001::", 32),
    ("2001:1::1", 128),
    ("2001:1::2", 128),
    ("2001:1::3", 128),
    ("2001:2::", 48),
    ("2001:3::", 32),
    ("2001:4:112::", 48),
    ("2001:10::", 28),
    ("2001:20::", 28),
    ("2001:30::", 28),
    ("2001:db8::", 32),
    ("2002::", 16),
    ("2002:7f00::", 24),
    ("2620:4f:8000::", 48),
    ("3ffe::", 16),
    ("3fff::", 20),
    ("4000::", 3),
    ("5f00::", 16),
    ("fc00::", 7),
    ("fe80::", 10),
    ("fec0::", 10),
    ("ff00::", 8),
    ("ff0e::", 16),
];

/// Where Python, in one version or another, takes for public what is refused here, and why that is.
const STRICTER: [(&str, u32, &str); 16] = [
    ("192.0.0.0", 24, "anycast of the own network: routers and relays near by"),
    ("192.88.99.0", 24, "relays of 6to4, which are no more"),
    ("64:ff9b::", 96, "carries an address that is not public"),
    ("64:ff9b:1::", 48, "translates to addresses of a local network"),
    ("::", 3, "nobody was given any of it"),
    ("2001::", 23, "protocols: Teredo, anycast of the own network, identifiers"),
    ("2002::", 16, "6to4, which carries an address and has no relays any more"),
    ("3fff::", 20, "documentation"),
    ("4000::", 3, "nobody was given any of it"),
    ("6000::", 3, "nobody was given any of it"),
    ("8000::", 3, "nobody was given any of it"),
    ("a000::", 3, "nobody was given any of it"),
    ("c000::", 3, "nobody was given any of it"),
    ("e000::", 4, "nobody was given any of it"),
    ("f000::", 5, "nobody was given any of it"),
    ("f800::", 5, "nobody was given any of it, or site-local"),
];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn made(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

fn within(one: IpAddr, start: IpAddr, length: u32) -> bool {
    let width = if start.is_ipv4() { 32 } else { 128 };
    let differ = bits(one) ^ bits(start);
    one.is_ipv4() == start.is_ipv4() && (length == 0 || differ >> (width - length) == 0)
}

/// Both ends of each range, what is beside them and some of what is inside, then anything; half of
/// IPv6 in the eighth of it that is given out.
fn addresses() -> Vec<IpAddr> {
    let mut random = Random(20_261_126);
    let mut wide = move || (u128::from(random.next()) << 64) | u128::from(random.next());
    let mut all = Vec::new();
    for (start, length) in BOUNDARIES {
        let start = address(start);
        let (first, width) = (bits(start), if start.is_ipv4() { 32 } else { 128 });
        let inside = if length == width { 0 } else { u128::MAX >> (128 - (width - length)) };
        let ends = [first.wrapping_sub(1), first, first + 1, first | inside];
        all.extend(ends.map(|bits| made(start, bits)));
        all.push(made(start, (first | inside).wrapping_add(1)));
        for _ in 0..20 {
            all.push(made(start, first | (wide() & inside)));
        }
    }
    for (family, first) in [("0.0.0.0", 0), ("::", 0), ("::", 0x2000_u128 << 112)] {
        let share = if family == "::" { ADDRESSES / 2 } else { ADDRESSES };
        let shift = if first == 0 { 0 } else { 3 };
        all.extend((0..share).map(|_| made(address(family), first | (wide() >> shift))));
    }
    all
}

/// What Python says, and its version.
fn oracle(addresses: &[IpAddr]) -> (String, Vec<bool>) {
    let mut python = Command::new("python3");
    python.arg(root().join("tests/targets/oracle.py"));
    let piped = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut process = piped.unwrap_or_else(|e| panic!("python3: {e}"));
    let mut input = process.stdin.take().unwrap_or_else(|| panic!("a pipe"));
    let lines: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = process.wait_with_output().unwrap_or_else(|e| panic!("python3: {e}"));
    assert!(output.status.success() && writer.join().is_ok_and(|written| written.is_ok()));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = said.lines();
    let version = lines.next().unwrap_or_default().to_string();
    (version, lines.map(|line| line == "1").collect())
}

#[test]
fn python_takes_for_public_whatever_is_public_here() {
    let all = addresses();
    let (version, verdicts) = oracle(&all);
    assert_eq!(verdicts.len(), all.len(), "Python {version}");
    let mut public = [0; 2];
    let mut stricter = BTreeSet::new();
    for (one, theirs) in all.iter().zip(verdicts) {
        let ours = is_public(*one);
        assert!(theirs || !ours, "{one} is public here, and not for Python {version}");
        public[usize::from(one.is_ipv6())] += usize::from(ours);
        if theirs && !ours {
            let known =
                STRICTER.iter().find(|(start, length, _)| within(*one, address(start), *length));
            stricter
                .insert(known.unwrap_or_else(|| panic!("{one} is public, says Python {version}")));
        }
        // As a literal in a URL it is the same, however it is written.
        let host = match one {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let groups: Vec<String> =
                    address.segments().iter().map(|group| format!("{group:04X}")).collect();
                format!("[{}]", groups.join(":"))
            }
        };
        let target = check(&format!("http://{host}:8080/"), true);
        assert_eq!(target.map(|target| target.host), Ok(Host::Address(*one)));
        assert_eq!(check(&format!("https://{host}/hook"), false).is_ok(), ours, "{host}");
    }
    // Both sides of the comparison were there.
    assert!(public[0] > ADDRESSES / 2 && public[1] > ADDRESSES / 3, "public: {public:?}");
    assert!(stricter.len() > 5, "stricter than Python {version} only in {stricter:?}");
}
