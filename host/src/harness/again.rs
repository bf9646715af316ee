//! One guest that decides a log again, a page at a time, whatever it does on the way.
//!
//! Owns what is done about a trap: the commit is left out, or the projection or stream that trapped
//! on it, and the guest goes on from its last checkpoint. Refuses to judge what comes out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use foldlog_core::chain::{lines, position};
use foldlog_core::commit::Commit;
use foldlog_core::driver::{
    Bulk, Config, Failure, Spawn, Store, Trap, describe, quarantine_of, same_target,
};
use foldlog_core::engine::{trapped_again, trapped_reaction};
use foldlog_core::protocol::{
    Answer, Description, Kind, Quarantine, Quarantined, Query, Report, Response, Verdict,
};

use super::fold::{self, Broken, refusal, split};
use super::rejected::Entry;
use super::scratch::Scratch;
use super::source::Source;
use crate::wasm::{Instance, Module};

/// A guest that traps more often is not worth to go on with.
const TRAPS_MAX: usize = 100;
/// Commits that are folded at a time on the way back to where a trap was.
const REFOLD_COMMITS: u32 = 10_000;

/// What trapped or failed outside of any decision, and where: it was left out from there on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// Position of the event.
    pub position: u64,
    /// Name of the projection; none for a stream.
    pub projection: Option<String>,
    /// What happened.
    pub detail: String,
}

/// What a request came to that was tried and not taken in.
#[derive(Debug)]
pub enum Tried {
    /// To this answer.
    Came(Kind, Response),
    /// The guest trapped on it.
    Trapped(String),
}

/// See the module's description.
pub struct Run {
    module: Module,
    config: Config,
    genesis: String,
    head: u64,
    bulk: Bulk<Instance>,
    /// Rows so far, and the log.
    pub store: Scratch,
    /// What the module says of itself.
    pub described: Description,
    /// What was left out.
    pub left_out: Vec<LeftOut>,
    quarantined: Vec<Quarantine>,
    skip: BTreeSet<u64>,
    traps: usize,
    /// All that the guest was given is taken in up to here.
    done: u64,
    /// Time spent in the guest and its rows.
    pub spent: Duration,
}

impl Run {
    /// A guest at the beginning of a source's log.
    pub fn new(source: &Source, mut module: Module, genesis: &str) -> Result<Self, String> {
        // A reader of its own: whoever reads the log in order holds the other one.
        let source = source.again()?;
        let (config, head) = (fold::config(genesis)?, source.head()?);
        let failed = |failure: Failure| failure.to_string();
        let bulk = Bulk::open(&mut module, &config, genesis, head, None, Vec::new());
        let described = describe(&mut module).map_err(failed)?;
        Ok(Self {
            bulk: bulk.map_err(failed)?,
            config,
            genesis: genesis.to_string(),
            head,
            store: Scratch::new(source)?,
            module,
            described,
            left_out: Vec::new(),
            quarantined: Vec::new(),
            skip: BTreeSet::new(),
            traps: 0,
            done: 0,
            spent: Duration::ZERO,
        })
    }

    /// Decides the lines of a page again and takes them in.
    pub fn page(&mut self, texts: &[&str]) -> Result<Report, Broken> {
        let started = Instant::now();
        let mut report = Report::default();
        let result = self.decide(texts, &mut report);
        self.spent += started.elapsed();
        report.others.sort_by_key(|(position, _)| *position);
        result.map(|()| report)
    }

    fn decide(&mut self, texts: &[&str], report: &mut Report) -> Result<(), Broken> {
        loop {
            let (_, rest) = split(texts, self.done);
            if rest.is_empty() {
                return Ok(());
            }
            let skip: Vec<u64> = self.skip.range(self.done + 1..).copied().collect();
            let Self { bulk, store, done, .. } = self;
            let decided = bulk.decide(store, rest.clone(), &skip, &mut |part| {
                *done = part.position;
                add(report, part);
            });
            match decided {
                Ok(()) => return Ok(()),
                Err(Failure::Trap(trap)) => {
                    if let Some(at) = self.trapped(&trap, &rest)? {
                        report.others.push((at, Verdict::Trapped(trap.detail)));
                    }
                    self.return_to(self.done)?;
                }
                Err(failure) => return Err(refusal(&failure, self.done + 1)),
            }
        }
    }

    /// Leaves out what trapped; gives the first position of the commit, when that is left out.
    fn trapped(&mut self, trap: &Trap, rest: &[&str]) -> Result<Option<u64>, Broken> {
        self.traps += 1;
        let given_up = |why: &str| Broken {
            position: self.done + 1,
            detail: format!("the guest trapped: {}; {why}", trap.detail),
        };
        if self.traps > TRAPS_MAX {
            return Err(given_up("it does so all the time"));
        }
        let caused = trapped_reaction(trap.progress);
        let commit = trapped_again(trap.progress).or_else(|| {
            caused.and_then(|which| {
                commit_where(rest, |commit| {
                    commit.cause.as_ref().is_some_and(|cause| (cause.position, cause.n) == which)
                })
            })
        });
        let quarantine = quarantine_of(trap);
        // A stream may have trapped on an event that only this guest decides.
        let commit = commit.or_else(|| {
            let on = quarantine.as_ref().filter(|q| q.what == Quarantined::Stream)?.position;
            commit_where(rest, |commit| (commit.position..=commit.last_position()).contains(&on))
        });
        if let Some(at) = commit.filter(|at| self.skip.insert(*at)) {
            return Ok(Some(at));
        }
        let new =
            quarantine.filter(|new| !self.quarantined.iter().any(|old| same_target(old, new)));
        let new = new.ok_or_else(|| given_up("nothing can be left out"))?;
        let (Quarantined::Projection(index) | Quarantined::Building(index)) = new.what else {
            self.leave_out(new, None);
            return Ok(None);
        };
        let named = usize::try_from(index).ok().and_then(|at| self.described.projections.get(at));
        let name = named.map_or_else(|| index.to_string(), |(name, _)| name.clone());
        self.leave_out(new, Some(name));
        Ok(None)
    }

    fn leave_out(&mut self, quarantine: Quarantine, projection: Option<String>) {
        let detail = quarantine.reason.clone();
        self.left_out.push(LeftOut { position: quarantine.position, projection, detail });
        self.quarantined.push(quarantine);
    }

    /// A fresh instance, which has taken in all up to a position.
    fn return_to(&mut self, position: u64) -> Result<(), Broken> {
        loop {
            match self.try_return(position) {
                Ok(()) => return Ok(()),
                Err(Failure::Trap(trap)) => drop(self.trapped(&trap, &[])?),
                Err(failure) => return Err(refusal(&failure, position)),
            }
        }
    }

    fn try_return(&mut self, to: u64) -> Result<(), Failure> {
        let (checkpoint, quarantined) = (self.store.checkpoint.clone(), self.quarantined.clone());
        let Self { module, config, genesis, head, store, .. } = self;
        self.bulk = Bulk::open(module, config, genesis, *head, checkpoint, quarantined)?;
        if !self.bulk.opened().rows_usable {
            store.erase_rows()?;
        }
        let mut after = self.bulk.opened().fold_after;
        while after < to {
            let query = Query::CommitsAfter { after, limit: REFOLD_COMMITS, descending: false };
            let Some(Answer::Commits(mut found)) = store.read(&[query])?.pop() else { break };
            found.retain(|line| position(line).is_some_and(|position| position <= to));
            if found.is_empty() {
                break;
            }
            after = self.bulk.fold(store, found.iter().map(String::as_str).collect())?;
        }
        Ok(())
    }

    /// Has the store hold all rows.
    pub fn finish(&mut self) -> Result<(), String> {
        self.bulk.finish(&mut self.store).map(drop).map_err(|failure| failure.to_string())
    }

    /// Tries a refused command as of here.
    pub fn attempt(&mut self, entry: &Entry) -> Result<Tried, Broken> {
        let broken = |detail| Broken { position: entry.after, detail };
        let (request, stamp) = (entry.request(), entry.stamp().map_err(broken)?);
        match self.bulk.attempt(&mut self.store, &request, stamp) {
            Ok((kind, response)) => Ok(Tried::Came(kind, response)),
            Err(Failure::Trap(trap)) => {
                self.return_to(self.done)?;
                Ok(Tried::Trapped(trap.detail))
            }
            Err(failure) => Err(refusal(&failure, entry.after)),
        }
    }

    /// The route that a refused command came by.
    pub fn route_of(&self, entry: &Entry) -> String {
        let path = entry.target.split('?').next().unwrap_or_default();
        let of = |route: &&String| {
            let Some((method, template)) = route.split_once(' ') else { return false };
            let (mut asked, mut there) = (path.split('/'), template.split('/'));
            let alike = |(asked, there): (&str, &str)| asked == there || there.starts_with('{');
            method == entry.method
                && asked.clone().count() == there.clone().count()
                && asked.by_ref().zip(there.by_ref()).all(alike)
        };
        let mut routes: Vec<&String> = self.described.routes.iter().filter(of).collect();
        // The one with the fewest parameters is meant.
        routes.sort_by_key(|route| route.matches('{').count());
        routes.first().map_or_else(|| format!("{} {path}", entry.method), |route| (*route).clone())
    }

    /// Asks like a client who only reads.
    pub fn read(&mut self, target: &str) -> Result<Response, Failure> {
        self.bulk.read(&mut self.store, target)
    }

    /// SHA-256 of the module.
    pub fn digest(&self) -> [u8; 32] {
        self.module.digest()
    }

    /// Bytes of the guest's memory.
    pub fn memory_bytes(&self) -> usize {
        self.bulk.guest().memory_bytes()
    }
}

fn commit_where(texts: &[&str], wanted: impl Fn(&Commit<'_>) -> bool) -> Option<u64> {
    let mut commits =
        texts.iter().flat_map(|text| lines(text)).filter_map(|l| Commit::parse(l).ok());
    commits.find(wanted).map(|commit| commit.position)
}

fn add(report: &mut Report, part: Report) {
    report.position = part.position;
    for (sum, more) in report.same.iter_mut().zip(part.same) {
        *sum += more;
    }
    report.lifted += part.lifted;
    report.others.extend(part.others);
    report.upcasts.extend(part.upcasts);
}
