//! A log as of then: what a host would have answered from it.
//!
//! Owns the cut, of whole commits, and the store that a guest sees: the source's log up to the cut,
//! rows in memory. Refuses to write to the source, and to do what was due then: to the guest the
//! log is another host's. The chain is checked from genesis to the cut, as whenever a log is folded.

use foldlog_core::chain::{self, StoredBlock, hex};
use foldlog_core::commit::Commit;
use foldlog_core::driver::{
    Config, MemoryStore, NOBODY, OwnedBody, OwnedRequest, Partition, SqlStore, Store, StoreError,
    Tail, Write,
};
use foldlog_core::protocol::{Answer, Query, Response};
use foldlog_core::time::Time;
use rusqlite::Connection;

use super::progress::Progress;
use super::source::{self, Source};
use super::{commits, fold};
use crate::plain::ReadOnly;
use crate::wasm::Module;
use crate::world::Machine;

/// The last commit that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// No event of it is beyond this position.
    Position(u64),
    /// It was recorded at this time or earlier.
    Time(Time),
}

/// Where a log was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The last position before it.
    pub position: u64,
    /// The last commit's line; genesis when there is none.
    line: String,
}

impl Cut {
    /// The hash of the last line before it.
    pub fn hash(&self) -> String {
        chain::stored_hash(&self.line).map_or_else(String::new, |hash| hex(&hash))
    }

    /// When that was recorded.
    pub fn time(&self) -> String {
        chain::time(&self.line).map_or_else(String::new, Time::to_iso)
    }
}

impl Until {
    /// A position, a time, or `head`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "head" {
            return Ok(Self::Position(u64::MAX));
        }
        let position = text.parse().map(Self::Position).ok();
        position.or_else(|| Time::parse_iso(text).map(Self::Time)).ok_or_else(|| {
            format!(
                "`{text}` is no position, no time such as 2026-01-31T12:00:00.000Z, and not head"
            )
        })
    }

    fn takes(self, commit: &Commit<'_>) -> bool {
        match self {
            Self::Position(position) => commit.last_position() <= position,
            Self::Time(time) => Time::parse_iso(&commit.time).is_some_and(|at| at <= time),
        }
    }

    /// Where that is.
    pub fn cut(self, source: &Source, genesis: &str) -> Result<Cut, String> {
        // Neither positions nor recorded times go back: the block is found by halving.
        let (mut low, mut high) = (1, source.head()?);
        let mut cut = Cut { position: 0, line: genesis.to_string() };
        while low <= high {
            let Some(block) = block_of(source, low.midpoint(high))? else { break };
            let lines = chain::lines(&block.body);
            let commits = lines.map(|line| Commit::parse(line).map(|commit| (line, commit)));
            let unreadable =
                |e| format!("{}: from position {} on: {e}", source.path.display(), block.first);
            let commits = commits.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
            let taken = commits.iter().take_while(|(_, commit)| self.takes(commit));
            match taken.last() {
                Some((line, commit)) => {
                    cut = Cut { position: commit.last_position(), line: (*line).to_string() };
                    low = block.last.saturating_add(1);
                }
                None => high = block.first.saturating_sub(1),
            }
        }
        // Of what NDJSON breaks off before, nothing is known.
        if self != Self::Position(cut.position) && cut.position == source.head()? {
            source.whole()?;
        }
        Ok(cut)
    }
}

fn block_of(source: &Source, position: u64) -> Result<Option<StoredBlock>, String> {
    let failed = |e: rusqlite::Error| format!("{}: {e}", source.path.display());
    let sql = "SELECT first_position, last_position, body FROM log \
               WHERE first_position BETWEEN 1 AND ?1 ORDER BY first_position DESC LIMIT 1";
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let mut statement = source.raw.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query([position]).map_err(failed)?;
    rows.next().map_err(failed)?.map(source::block).transpose()
}

/// The log up to a cut; its rows are of whoever folds it.
#[derive(Debug)]
struct Before<'a> {
    log: SqlStore<ReadOnly<&'a Connection>>,
    rows: MemoryStore,
    genesis: String,
    cut: Cut,
    /// While it is folded.
    progress: Option<Progress>,
}

impl Store for Before<'_> {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        let last = (self.cut.position > 0).then(|| (self.cut.position, self.cut.line.clone()));
        let checkpoint = self.rows.checkpoint.clone();
        Ok(Tail { genesis: Some(self.genesis.clone()), last, checkpoint, import: None })
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            let one = std::slice::from_ref(query);
            if let (Query::CommitsAfter { after, .. }, Some(progress)) = (query, &self.progress) {
                progress.at(*after);
            }
            let store: &mut dyn Store = match query {
                Query::Row(_) | Query::Rows { .. } => &mut self.rows,
                _ => &mut self.log,
            };
            let mut found = store.read(one)?;
            // Only what follows a position can lie beyond the cut: others name theirs.
            if let (Query::CommitsAfter { .. }, Some(Answer::Commits(lines))) =
                (query, found.first_mut())
            {
                let cut = self.cut.position;
                lines.retain(|line| chain::position(line).is_none_or(|first| first <= cut));
            }
            answers.append(&mut found);
        }
        Ok(answers)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        self.rows.write(write)
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.rows.erase_rows()
    }
}

/// A partition as of then.
#[derive(Debug)]
pub struct Past<'a> {
    partition: Partition<Module, Before<'a>, Machine>,
}

impl<'a> Past<'a> {
    /// The partition of a source as of a cut, folded.
    pub fn open(source: &'a Source, module: Module, cut: Cut) -> Result<Self, String> {
        let genesis = commits::genesis(source)?;
        let config = Config { incarnation: NOBODY, ..fold::config(&genesis)? };
        let log = SqlStore::new(ReadOnly(&source.raw));
        let rows = MemoryStore::default();
        let store = Before { log, rows, genesis, cut, progress: None };
        let partition = Partition::new(module, store, Machine::new(), config);
        let mut past = Self { partition };
        past.fold()?;
        Ok(past)
    }

    /// The same partition as of a later cut.
    pub fn move_on(&mut self, cut: Cut) -> Result<(), String> {
        self.partition.checkpoint().map_err(|failure| failure.to_string())?;
        self.partition.reset();
        self.partition.store().cut = cut;
        self.fold()
    }

    fn fold(&mut self) -> Result<(), String> {
        let store = self.partition.store();
        store.progress = Some(Progress::new(store.cut.position));
        let opened = self.partition.open().map_err(|failure| failure.to_string());
        self.partition.store().progress.take().into_iter().for_each(|progress| progress.end());
        opened.map(drop)
    }

    /// What is answered to a `GET`.
    pub fn get(&mut self, target: &str) -> Result<Response, String> {
        let body = OwnedBody::Whole(Vec::new());
        let (method, target) = ("GET".into(), target.into());
        let request = OwnedRequest { method, target, headers: Vec::new(), body };
        let reply = self.partition.run(vec![request]).pop().ok_or("the request was lost")?;
        Ok(reply.response)
    }

    /// The body of a `GET` that succeeds; else what the problem document says.
    pub fn body(&mut self, target: &str) -> Result<String, String> {
        let response = self.get(target)?;
        let body = String::from_utf8_lossy(&response.body).into_owned();
        if response.status == 200 { Ok(body) } else { Err(body) }
    }
}

/// Appends a text as one segment or value of a target, whatever it is.
pub fn escape(target: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            target.push(char::from(byte));
        } else {
            target.push_str(&format!("%{byte:02X}"));
        }
    }
}
