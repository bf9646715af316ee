//! Lines of a log on their way in, of an import's part or of a file: bytes in, blocks of checked
//! lines out.
//!
//! Owns what a line must be to be taken in: within the size, the stored form, the chain. Refuses
//! to store anything, and to know whether the lines make sense to a guest.
//!
//! Invariant: what comes out follows the line before byte for byte as it was sent, or it is
//! refused, with the number of the line and the position that had to come.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::{Progress, StoredBlock};
use crate::chain::{self, Broken, Chain, FORMAT_VERSION, Packer};
use crate::commit::Genesis;
use crate::errors::{Code, Problem};
use crate::json::is_minified;
use crate::limits::{COMMIT_BYTES_MAX, LINE_DEPTH_MAX};

/// Lines on their way in.
#[derive(Debug)]
pub struct Lines {
    /// The genesis line and the last line taken.
    pub progress: Progress,
    /// Bytes that came.
    pub bytes: u64,
    packer: Packer,
    /// A line whose end is still to come.
    begun: Vec<u8>,
    /// Lines that were taken.
    lines: u64,
}

/// A line that is not taken in, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its number among those that came, from 1.
    pub line: u64,
    /// The position that had to come.
    pub position: u64,
    /// What is wrong with it.
    pub detail: String,
    code: Code,
    field: Option<&'static str>,
    limit: Option<u64>,
}

impl Refused {
    /// As the answer to a part of an import.
    pub(super) fn problem(&self) -> Problem {
        let Self { line, position, detail, .. } = self;
        let detail = format!("line {line} of the part, position {position}: {detail}");
        let mut problem = Problem::new(self.code, detail);
        if let Some(field) = self.field {
            problem = problem.text("field", field);
        }
        let problem = problem.number("line", *line).number("position", *position);
        self.limit.map_or(problem.clone(), |limit| problem.number("limit", limit))
    }
}

impl Lines {
    /// Those that come behind what is there.
    pub fn after(progress: Progress) -> Self {
        let (packer, begun) = (Packer::default(), Vec::new());
        Self { progress, packer, begun, lines: 0, bytes: 0 }
    }

    /// Takes the next bytes in, and adds the blocks that they complete; those before a line that
    /// is refused, too.
    pub fn take(&mut self, bytes: &[u8], blocks: &mut Vec<StoredBlock>) -> Result<(), Refused> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at_checked(end).unwrap_or_default();
            rest = after.get(1..).unwrap_or_default();
            let block = match self.begun.is_empty() {
                true => self.line(line)?,
                false => {
                    let mut whole = core::mem::take(&mut self.begun);
                    whole.extend_from_slice(line);
                    self.line(&whole)?
                }
            };
            blocks.extend(block);
        }
        self.begun.extend_from_slice(rest);
        self.fits(self.begun.len())
    }

    /// Nothing more comes; returns the last block.
    pub fn end(&mut self) -> Result<Option<StoredBlock>, Refused> {
        if !self.begun.is_empty() {
            return Err(self.cut_off());
        }
        Ok(self.rest())
    }

    /// The block that is not complete.
    pub fn rest(&mut self) -> Option<StoredBlock> {
        self.packer.finish()
    }

    /// Bytes of a line whose end is still to come.
    pub fn begun(&self) -> usize {
        self.begun.len()
    }

    /// It ended within a line.
    pub fn cut_off(&self) -> Refused {
        self.refused(Code::MalformedJson, "the body ends within it", None)
    }

    fn line(&mut self, bytes: &[u8]) -> Result<Option<StoredBlock>, Refused> {
        self.fits(bytes.len())?;
        let Ok(line) = core::str::from_utf8(bytes) else {
            return Err(self.refused(Code::MalformedJson, "it is not UTF-8", None));
        };
        let genesis = self.progress.chain.position.is_none();
        if genesis {
            // Before the chain: another format may have another one.
            self.check_format(line)?;
        }
        let mut chain = self.progress.chain;
        chain.take(line).map_err(|broken| match broken {
            Broken::NotACommit(_) => self.refused(Code::MalformedJson, "it is no commit", None),
            Broken::OutOfOrder(_) => {
                let detail = format!("it must state position {}", self.expected());
                self.refused(Code::InvalidField, &detail, Some("position"))
            }
            Broken::Hash(_) => {
                let detail =
                    "its hash does not match: it was changed, or a line before it is not there";
                self.refused(Code::InvalidField, detail, Some("hash"))
            }
        })?;
        // Well hashed and yet not what was ever stored: someone else's writing.
        if !is_minified(line, LINE_DEPTH_MAX) {
            return Err(self.refused(Code::MalformedJson, "it is no JSON as it is stored", None));
        }
        let first = self.expected();
        self.progress.chain = chain;
        self.lines = self.lines.saturating_add(1);
        if genesis {
            self.progress.genesis = line.to_string();
            return Ok(None);
        }
        Ok(self.packer.add(first, chain.position.unwrap_or_default(), line))
    }

    fn check_format(&self, line: &str) -> Result<(), Refused> {
        let unreadable = || self.refused(Code::MalformedJson, "it is no genesis line", None);
        if chain::position(line).is_some_and(|position| position > 0) {
            let detail = "a log starts with its genesis line, at position 0";
            return Err(self.refused(Code::InvalidField, detail, Some("position")));
        }
        let genesis = Genesis::parse(line).map_err(|_| unreadable())?;
        if genesis.format != FORMAT_VERSION {
            let detail = format!(
                "the log has format {}; this host reads and writes {FORMAT_VERSION}",
                genesis.format
            );
            return Err(self.refused(Code::InvalidField, &detail, Some("format")));
        }
        chain::unhex::<16>(&genesis.incarnation).map(|_| ()).ok_or_else(unreadable)
    }

    /// The position that has to come next.
    fn expected(&self) -> u64 {
        self.progress.chain.position.map_or(0, |position| position.saturating_add(1))
    }

    fn fits(&self, bytes: usize) -> Result<(), Refused> {
        if bytes <= COMMIT_BYTES_MAX {
            return Ok(());
        }
        let detail = format!("it has more than {COMMIT_BYTES_MAX} bytes");
        let limit = Some(COMMIT_BYTES_MAX as u64);
        Err(Refused { limit, ..self.refused(Code::TooLarge, &detail, None) })
    }

    fn refused(&self, code: Code, detail: &str, field: Option<&'static str>) -> Refused {
        let (line, position) = (self.lines.saturating_add(1), self.expected());
        Refused { line, position, detail: detail.to_string(), code, field, limit: None }
    }
}

/// Where a part begins that continues behind a stored line; nothing when no commit ends there.
pub(super) fn ending_at(line: &str, position: u64) -> Option<Chain> {
    let commit = crate::commit::Commit::parse(line).ok()?;
    let hash = chain::stored_hash(line)?;
    (commit.last_position() == position).then_some(Chain { hash, position: Some(position) })
}

/// The answer to a part that was taken in.
pub(super) fn taken(partition: &str, chain: &Chain, complete: bool) -> String {
    let mut body = String::from("{\"ok\":true,\"partition\":");
    crate::json::push_string(&mut body, partition);
    body.push_str(&format!(
        ",\"position\":{},\"hash\":\"{}\",\"complete\":{complete}}}",
        chain.position.unwrap_or_default(),
        chain::hex(&chain.hash)
    ));
    body
}
