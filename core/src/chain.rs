//! Bytes on disk: the hash chain over commit lines, blocks of lines, and checksums of rows.
//!
//! Owns the stored form that `docs/format.md` describes. Refuses to know what a commit means:
//! of a line it reads its first position, its last 75 bytes and how many events it has. Runs in the hosts; the
//! guest leaves zeros where a hash belongs.
//!
//! Invariants: a line starts `{"position":N,` and ends `,"hash":"<64 hex>"}`; no line contains a
//! line feed, so `,\n` separates lines without ambiguity.

use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::commit::Commit;
use crate::time::Time;

/// Version of the stored format. Raise it only when a reader of the old one would misread the
/// new one: a new optional member is not a reason.
pub const FORMAT_VERSION: u32 = 1;

/// SHA-256.
pub type Hash = [u8; 32];

/// What stands before genesis.
pub const NO_HASH: Hash = [0; 32];

/// 64 zeros: what a line and an answer hold until the hash is known.
pub const HASH_HOLE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// `,"hash":"` + 64 digits + `"}`.
pub const HASH_MEMBER_BYTES: usize = 75;
const HASH_PREFIX: &str = ",\"hash\":\"";
const POSITION_PREFIX: &str = "{\"position\":";

/// A block takes further commits until it would pass this many bytes.
pub const BLOCK_BYTES_MAX: usize = 64 * 1024;

/// SHA-256 of the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    String::from_utf8(digits).unwrap_or_default()
}

/// The bytes of exactly `N` pairs of lower-case hexadecimal digits.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        let (high, low) = (nibble(*high), nibble(*low));
        // What is no digit has bits beyond the lower four.
        if (high | low) > 15 {
            return None;
        }
        *byte = (high << 4) | low;
    }
    Some(out)
}

/// The values of lower-case hexadecimal digits. Each line of a log is looked up here 64 times.
const NIBBLES: [u8; 256] = {
    let mut table = [u8::MAX; 256];
    let digits = b"0123456789abcdef";
    let mut value = 0;
    while value < 16 {
        #[expect(clippy::indexing_slicing, reason = "sixteen digits, all of them bytes")]
        {
            table[digits[value] as usize] = value as u8;
        }
        value += 1;
    }
    table
};

fn nibble(digit: u8) -> u8 {
    NIBBLES.get(usize::from(digit)).copied().unwrap_or(u8::MAX)
}

/// The first position that a line states.
pub fn position(line: &str) -> Option<u64> {
    let digits = line.strip_prefix(POSITION_PREFIX)?;
    let end = digits.find(',')?;
    let digits = digits.get(..end)?;
    // One spelling per number: no sign, no leading zero.
    let plain =
        digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}

/// The hash that a line ends in.
pub fn stored_hash(line: &str) -> Option<Hash> {
    let (_, member) = split_hash(line)?;
    unhex(member.strip_prefix(HASH_PREFIX)?.strip_suffix("\"}")?)
}

/// The hash that a line should end in.
pub fn line_hash(previous: &Hash, line: &str) -> Option<Hash> {
    let (content, _) = split_hash(line)?;
    Some(sha256(&[previous, content.as_bytes()]))
}

/// The line with its hash written where the zeros are, and that hash.
pub fn seal(previous: &Hash, line: &str) -> Option<(String, Hash)> {
    let mut sealed = String::from(line);
    let hash = seal_in_place(previous, &mut sealed)?;
    Some((sealed, hash))
}

/// Writes a line's hash where its zeros are. A line may be a megabyte long: it is not copied.
pub fn seal_in_place(previous: &Hash, line: &mut String) -> Option<Hash> {
    let hash = line_hash(previous, line)?;
    let (content, _) = split_hash(line)?;
    line.truncate(content.len());
    line.push_str(HASH_PREFIX);
    line.push_str(&hex(&hash));
    line.push_str("\"}");
    Some(hash)
}

fn split_hash(line: &str) -> Option<(&str, &str)> {
    line.split_at_checked(line.len().checked_sub(HASH_MEMBER_BYTES)?)
}

/// Follows a log line by line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Hash of the last line seen.
    pub hash: Hash,
    /// Position of the last event seen, 0 after genesis; `None` before it.
    pub position: Option<u64>,
}

/// The first line that does not follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not a commit line at all.
    #[error("position {0}: the line is not a commit")]
    NotACommit(u64),
    /// Its position is not beyond the one before.
    #[error("position {0}: the line's own position is out of order")]
    OutOfOrder(u64),
    /// Its bytes, or those of a line before, are not what was hashed.
    #[error("position {0}: the hash does not match")]
    Hash(u64),
}

impl Broken {
    /// First position that can not be trusted.
    pub const fn position(&self) -> u64 {
        match self {
            Self::NotACommit(position) | Self::OutOfOrder(position) | Self::Hash(position) => {
                *position
            }
        }
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self { hash: NO_HASH, position: None }
    }
}

impl Chain {
    /// Takes the next line in, or says why it does not follow.
    pub fn take(&mut self, line: &str) -> Result<(), Broken> {
        // What a damaged line says of itself is not believed: the error names what had to come.
        let expected = self.position.map_or(0, |p| p.saturating_add(1));
        let found = position(line).ok_or(Broken::NotACommit(expected))?;
        if found != expected {
            return Err(Broken::OutOfOrder(expected));
        }
        let hash = line_hash(&self.hash, line).ok_or(Broken::NotACommit(expected))?;
        if stored_hash(line) != Some(hash) {
            return Err(Broken::Hash(expected));
        }
        let last = match found {
            0 => 0,
            _ => {
                let commit = Commit::parse(line).map_err(|_| Broken::NotACommit(expected))?;
                if commit.events.is_empty() {
                    return Err(Broken::NotACommit(expected));
                }
                commit.last_position()
            }
        };
        *self = Self { hash, position: Some(last) };
        Ok(())
    }
}

/// The lines of a block's body.
pub fn lines(body: &str) -> impl DoubleEndedIterator<Item = &str> {
    // No line holds a line feed, so a plain split finds the separators.
    inner(body).split('\n').map(|line| line.strip_suffix(',').unwrap_or(line))
}

/// The commit that holds `position`: the last one that starts at or before it; and where the next
/// one starts, if the block has one.
pub fn line_and_next(body: &str, position: u64) -> Option<(&str, Option<u64>)> {
    let starts_by = |line: &str| self::position(line).map(|first| first <= position);
    let text = inner(body);
    // A line starts at `from`; those that start at or behind `to` start beyond the position.
    let (mut from, mut to) = (0, text.len());
    while let Some(start) = start_between(text, from, to) {
        match starts_by(text.get(start..)?) {
            Some(true) => from = start,
            Some(false) => to = start.saturating_sub(1),
            // A damaged line tells nothing of where to look: all are looked at.
            None => {
                let line = lines(body).rev().find(|line| starts_by(line) == Some(true));
                return line.map(|line| (line, None));
            }
        }
    }
    let mut lines = text.get(from..)?.split('\n');
    let line = lines.next()?;
    let line = line.strip_suffix(',').unwrap_or(line);
    starts_by(line)?.then(|| (line, lines.next().and_then(self::position)))
}

/// When a commit was recorded, by its line: `time` is its second member.
pub fn time(line: &str) -> Option<Time> {
    let (_, rest) = line.split_once(",\"time\":\"")?;
    Time::parse_iso(rest.split_once('"')?.0)
}

/// Where a line starts between two places, beyond the first, as near to the middle as is simple.
fn start_between(text: &str, from: usize, to: usize) -> Option<usize> {
    let (bytes, middle) = (text.as_bytes(), from.midpoint(to));
    let feed = |byte: &u8| *byte == b'\n';
    let before = bytes.get(from..middle)?.iter().rposition(feed).map(|at| from.saturating_add(at));
    let after = || bytes.get(middle..to)?.iter().position(feed).map(|at| middle.saturating_add(at));
    before.or_else(after).map(|at| at.saturating_add(1))
}

/// A block's body without its brackets.
pub fn inner(body: &str) -> &str {
    // Each by itself: a damaged bracket must not spoil the line at the other end.
    let body = body.strip_prefix('[').unwrap_or(body);
    body.strip_suffix(']').unwrap_or(body)
}

/// One row of the table `log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// First position of its first commit.
    pub first: u64,
    /// Position of its last commit's last event.
    pub last: u64,
    /// A JSON array of commits, one per line.
    pub body: String,
}

/// Joins sealed commits `(first, last, line)` to blocks of at most [`BLOCK_BYTES_MAX`], unless
/// one commit is larger.
pub fn pack(commits: impl IntoIterator<Item = (u64, u64, String)>) -> Vec<StoredBlock> {
    let mut packer = Packer::default();
    let mut blocks = Vec::new();
    for (first, last, line) in commits {
        blocks.extend(packer.add(first, last, &line));
    }
    blocks.extend(packer.finish());
    blocks
}

/// The same, commit by commit.
#[derive(Debug, Default)]
pub struct Packer(Option<StoredBlock>);

impl Packer {
    /// Adds a sealed commit; returns the block that has no room for it, which it closes.
    pub fn add(&mut self, first: u64, last: u64, line: &str) -> Option<StoredBlock> {
        if let Some(block) = &mut self.0
            && block.body.len().saturating_add(line.len()).saturating_add(3) <= BLOCK_BYTES_MAX
        {
            block.body.push_str(",\n");
            block.body.push_str(line);
            block.last = last;
            return None;
        }
        let mut body = String::with_capacity(line.len().saturating_add(2));
        body.push('[');
        body.push_str(line);
        let full = self.0.replace(StoredBlock { first, last, body });
        full.map(closed)
    }

    /// The last block, when there is one.
    pub fn finish(&mut self) -> Option<StoredBlock> {
        self.0.take().map(closed)
    }
}

fn closed(mut block: StoredBlock) -> StoredBlock {
    block.body.push(']');
    block
}

const CRC: crc::Crc<u32, crc::Table<16>> = crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISCSI);

/// CRC-32C of some bytes.
pub const fn crc32c(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// CRC-32C over what names a row and what it says, so that a row moved is a row damaged.
fn row_checksum(view: &str, generation: u32, key: &[u8], value: &[u8]) -> [u8; 4] {
    let mut digest = CRC.digest();
    digest.update(view.as_bytes());
    digest.update(&[0]);
    digest.update(&generation.to_le_bytes());
    digest.update(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    digest.update(key);
    digest.update(value);
    digest.finalize().to_le_bytes()
}

/// A row's value as it is stored: with its checksum at the end.
pub fn seal_row(view: &str, generation: u32, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(value.len().saturating_add(4));
    sealed.extend_from_slice(value);
    sealed.extend_from_slice(&row_checksum(view, generation, key, value));
    sealed
}

/// A stored value without its checksum; `None` when they do not match.
pub fn unseal_row<'a>(
    view: &str,
    generation: u32,
    key: &[u8],
    stored: &'a [u8],
) -> Option<&'a [u8]> {
    let (value, sum) = stored.split_last_chunk::<4>()?;
    (*sum == row_checksum(view, generation, key, value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_line_of_a_position_is_found_in_any_block_damaged_or_not() {
        // Commits of 1 to 4 events, of very different lengths.
        for count in 0..40_u64 {
            let mut firsts = Vec::new();
            let mut next = 100;
            for n in 0..count {
                firsts.push(next);
                next += 1 + n * 7 % 4;
            }
            let line = |(n, first): (usize, &u64)| {
                format!("{{\"position\":{first},\"x\":\"{}\"}}", "y".repeat(n * n * 31 % 97))
            };
            let body = firsts.iter().enumerate().map(line).collect::<Vec<String>>().join(",\n");
            for damaged in 0..=count {
                let damage = |(n, one): (u64, &str)| {
                    String::from(if n == damaged { "{\"posit" } else { one })
                };
                let body: Vec<String> = (0..).zip(body.split('\n')).map(damage).collect();
                let body = format!("[{}]", body.join("\n"));
                for wanted in 99..=next {
                    let starts = |l: &&str| position(l).is_some_and(|p| p <= wanted);
                    let linear = lines(&body).rev().find(starts);
                    assert_eq!(
                        line_and_next(&body, wanted).map(|(line, _)| line),
                        linear,
                        "{wanted} in {body}"
                    );
                }
            }
        }
    }
}
