//! Reading a stored line: the opposite of writing it.
//!
//! Owns one scanner over lines whose bytes the chain has vouched for. It looks at each byte once
//! and copies nothing but strings with escapes; replay spends most of its time here. It trusts no
//! line: whatever it is given, it ends in a commit or in [`Unreadable`].

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::{Cause, Command, Commit, Event, Genesis};
use crate::json;

/// A line that is no commit, and about where that showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a commit line, at byte {0}")]
pub struct Unreadable(pub usize);

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

type Read<T> = Result<T, Unreadable>;

impl<'a> Commit<'a> {
    /// Reads a line. Unknown members are skipped: a later version may have added them.
    pub fn parse(line: &'a str) -> Read<Self> {
        let mut commit = Commit::default();
        let mut scan = Scanner { text: line, at: 0 };
        scan.members(|scan, name| {
            match name {
                "position" => commit.position = scan.number()?,
                "time" => commit.time = scan.string()?,
                "clock" => commit.clock = Some(scan.string()?),
                "actor" => commit.actor = Some(scan.string()?),
                "correlationId" => commit.correlation_id = Some(scan.string()?),
                "causationId" => commit.causation_id = Some(scan.string()?),
                "traceparent" => commit.traceparent = Some(scan.string()?),
                "hops" => commit.hops = scan.small()?,
                "meta" => commit.meta = Some(scan.value()?),
                "entropy" => commit.entropy = Some(scan.string()?),
                "settings" => commit.settings = Some(scan.value()?),
                "guest" => commit.guest = Some(scan.string()?),
                "command" => commit.command = Some(scan.command()?),
                "cause" => commit.cause = Some(scan.cause()?),
                "events" => commit.events = scan.events()?,
                "reactions" => commit.reactions = Some(scan.value()?),
                "hash" => commit.hash = Some(scan.string()?),
                _ => drop(scan.value()?),
            }
            Ok(())
        })?;
        if scan.at == line.len() { Ok(commit) } else { Err(Unreadable(scan.at)) }
    }
}

impl<'a> Genesis<'a> {
    /// Reads the genesis line.
    pub fn parse(line: &'a str) -> Read<Self> {
        let mut genesis = Genesis::default();
        let mut scan = Scanner { text: line, at: 0 };
        scan.members(|scan, name| {
            match name {
                "position" => genesis.position = scan.number()?,
                "format" => genesis.format = scan.small()?,
                "partition" => genesis.partition = scan.string()?,
                "incarnation" => genesis.incarnation = scan.string()?,
                "time" => genesis.time = scan.string()?,
                "settings" => genesis.settings = scan.value()?,
                "guest" => genesis.guest = scan.string()?,
                _ => drop(scan.value()?),
            }
            Ok(())
        })?;
        if scan.at == line.len() { Ok(genesis) } else { Err(Unreadable(scan.at)) }
    }
}

impl<'a> Scanner<'a> {
    fn fail<T>(&self) -> Read<T> {
        Err(Unreadable(self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at = self.at.wrapping_add(1);
        }
        found
    }

    fn require(&mut self, byte: u8) -> Read<()> {
        if self.take(byte) { Ok(()) } else { self.fail() }
    }

    /// Calls `each` with the name of every member of an object; it reads the value.
    fn members(&mut self, mut each: impl FnMut(&mut Self, &'a str) -> Read<()>) -> Read<()> {
        self.require(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let (token, _) = self.string_token()?;
            self.require(b':')?;
            // Names are plain: one with an escape is not ours, and skipped as unknown.
            each(self, token.get(1..token.len().saturating_sub(1)).unwrap_or_default())?;
            if !self.take(b',') {
                return self.require(b'}');
            }
        }
    }

    /// A string token, quotes included, and whether it has escapes.
    fn string_token(&mut self) -> Read<(&'a str, bool)> {
        let start = self.at;
        self.require(b'"')?;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let Some(end) = string_end(rest) else { return self.fail() };
            let escape = rest.get(end) == Some(&b'\\');
            self.at = self.at.saturating_add(end).saturating_add(if escape { 2 } else { 1 });
            escaped |= escape;
            if !escape {
                let token = self.text.get(start..self.at);
                return token.map_or_else(|| self.fail(), |token| Ok((token, escaped)));
            }
        }
    }

    fn string(&mut self) -> Read<Cow<'a, str>> {
        let (token, escaped) = self.string_token()?;
        if !escaped {
            return Ok(Cow::Borrowed(
                token.get(1..token.len().saturating_sub(1)).unwrap_or_default(),
            ));
        }
        json::string(token).map_or_else(|| self.fail(), Ok)
    }

    fn number(&mut self) -> Read<u64> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let digits = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest.get(..digits).and_then(|digits| digits.parse().ok());
        self.at = self.at.saturating_add(digits);
        number.map_or_else(|| self.fail(), Ok)
    }

    fn small(&mut self) -> Read<u32> {
        u32::try_from(self.number()?).or_else(|_| self.fail())
    }

    /// Any value, as its token.
    fn value(&mut self) -> Read<&'a str> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => drop(self.string_token()?),
                Some(b'{' | b'[') => {
                    depth = depth.saturating_add(1);
                    self.at = self.at.saturating_add(1);
                    continue;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth = depth.saturating_sub(1);
                    self.at = self.at.saturating_add(1);
                }
                Some(b',' | b':') if depth > 0 => {
                    self.at = self.at.saturating_add(1);
                    continue;
                }
                Some(_) => self.scalar()?,
                None => return self.fail(),
            }
            if depth == 0 {
                return self.text.get(start..self.at).map_or_else(|| self.fail(), Ok);
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Read<()> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let within = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let len = rest.iter().position(|b| !within(b)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(len);
        if len == 0 { self.fail() } else { Ok(()) }
    }

    fn command(&mut self) -> Read<Command<'a>> {
        let mut command = Command { version: 1, ..Command::default() };
        self.members(|scan, name| {
            match name {
                "name" => command.name = scan.string()?,
                "version" => command.version = scan.small()?,
                "data" => command.data = Some(scan.value()?),
                "sha256" => command.sha256 = Some(scan.string()?),
                "key" => command.key = Some(scan.string()?),
                "request" => command.request = Some(scan.string()?),
                _ => drop(scan.value()?),
            }
            Ok(())
        })?;
        Ok(command)
    }

    fn cause(&mut self) -> Read<Cause<'a>> {
        let mut cause = Cause::default();
        self.members(|scan, name| {
            match name {
                "manager" => cause.manager = scan.string()?,
                "position" => cause.position = scan.number()?,
                "n" => cause.n = scan.small()?,
                _ => drop(scan.value()?),
            }
            Ok(())
        })?;
        Ok(cause)
    }

    fn events(&mut self) -> Read<Vec<Event<'a>>> {
        let mut events = Vec::with_capacity(1);
        self.require(b'[')?;
        if self.take(b']') {
            return Ok(events);
        }
        loop {
            events.push(self.event()?);
            if !self.take(b',') {
                self.require(b']')?;
                return Ok(events);
            }
        }
    }

    fn event(&mut self) -> Read<Event<'a>> {
        let mut event = Event { data: "null", ..Event::default() };
        self.members(|scan, name| {
            match name {
                "id" => event.id = Some(scan.string()?),
                "type" => event.event_type = scan.string()?,
                "schemaVersion" => event.schema_version = Some(scan.string()?),
                "stream" => event.stream = scan.string()?,
                "version" => event.version = scan.number()?,
                "data" => event.data = scan.value()?,
                _ => drop(scan.value()?),
            }
            Ok(())
        })?;
        Ok(event)
    }
}

/// Where the first quote or backslash is. Eight bytes at a time: most of a line is strings.
fn string_end(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // The lowest high bit set marks the first byte that was zero; higher ones may lie.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut at = 0_usize;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ ONES.wrapping_mul(u64::from(b'"')))
            | zeros(word ^ ONES.wrapping_mul(u64::from(b'\\')));
        if found != 0 {
            return Some(at.saturating_add(found.trailing_zeros() as usize / 8));
        }
        at = at.saturating_add(8);
    }
    let end = rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
    Some(at.saturating_add(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    #[test]
    fn a_strings_end_is_found_wherever_it_is() {
        for len in 0..40_usize {
            for at in 0..len {
                for byte in [b'"', b'\\'] {
                    let mut bytes = alloc::vec![b'#'; len];
                    bytes[at] = byte;
                    bytes[len - 1] = if at == len - 1 { byte } else { b'"' };
                    assert_eq!(string_end(&bytes), Some(at));
                }
            }
            assert_eq!(string_end(&alloc::vec![0xdd; len]), None);
        }
    }

    fn sample() -> Commit<'static> {
        let event = |version| Event {
            id: Some("x\"y".into()),
            event_type: "MoneyDeposited".into(),
            schema_version: Some("2.0.0".into()),
            stream: "BankAccount:a:b".into(),
            version,
            data: r#"{"amount":5,"note":["}",{"a":"\\"}],"n":-1.5e3}"#,
        };
        Commit {
            position: 7,
            time: "2026-01-01T00:00:07.000Z".into(),
            clock: Some("2026-01-01T00:00:06.000Z".into()),
            actor: Some("somebody".into()),
            correlation_id: Some("c\\".into()),
            causation_id: Some("d".into()),
            traceparent: Some("00-0-0-00".into()),
            hops: 3,
            meta: Some(r#"{"a":"b"}"#),
            entropy: Some("00".into()),
            settings: Some(r#"{"idempotencyDays":7}"#),
            guest: Some("ff".into()),
            command: Some(Command {
                name: "Deposit".into(),
                version: 2,
                data: Some("{}"),
                sha256: None,
                key: Some("k".into()),
                request: Some("00".into()),
            }),
            cause: Some(Cause { manager: "m".into(), position: 3, n: 1 }),
            events: alloc::vec![event(1), event(2)],
            reactions: Some("[]"),
            hash: None,
        }
    }

    #[test]
    fn what_is_written_is_read_and_written_again() {
        let line = sample().line();
        let read = Commit::parse(&line).expect("reads");
        assert_eq!(read.line(), line);
        assert_eq!(read.last_position(), 8);
        let least = Commit {
            events: alloc::vec![Event { data: "null", ..Event::default() }],
            ..Commit::default()
        };
        let line = least.line();
        assert_eq!(Commit::parse(&line).expect("reads").line(), line);
    }

    #[test]
    fn members_of_later_versions_are_skipped() {
        let line = sample().line().replace(",\"events\"", ",\"enc\":{\"x\":[1,{}]},\"events\"");
        assert_eq!(Commit::parse(&line).expect("reads").line(), sample().line());
    }

    #[test]
    fn no_text_does_harm() {
        let line = sample().line();
        for end in 0..line.len() {
            assert!(line.get(..end).is_none_or(|cut| Commit::parse(cut).is_err()), "{end}");
        }
        let mut state = 9_u32;
        for _ in 0..20_000 {
            let mut bytes = line.clone().into_bytes();
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = state as usize % bytes.len();
                bytes[at] = b"\"{}[]:,\\1a"[(state >> 16) as usize % 10];
            }
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = Commit::parse(&text).map(|commit| commit.line().to_string());
            }
        }
    }
}
