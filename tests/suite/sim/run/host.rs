//! What a host does beside serving clients: effects, restarts, other releases, and logs that moved.
//!
//! Owns what attempts at effects come to. Refuses to know what is due: the partition says that.

use foldlog_core::chain;
use foldlog_core::driver::NOBODY;

use super::super::super::engine::kit;
use super::super::guests::{RELEASES, projections};
use super::super::rows::Checked;
use super::super::sabotage::Sabotage;
use super::{Run, process};

impl Run {
    /// Some milliseconds of what is due. Whatever was told of effects is taken in, unless something
    /// failed.
    pub(super) fn work(&mut self) -> Checked<()> {
        self.note_first_due();
        self.world.borrow_mut().working = true;
        self.bank.work();
        self.world.borrow_mut().working = false;
        for failure in self.bank.take_failures() {
            self.tell("failure", &failure);
        }
        self.read_log()?;
        self.take_effects()?;
        if self.is_disturbed() {
            self.model.outbox.lose_told();
        }
        match self.model.outbox.untaken() {
            Some(call) => Err(format!("it was told that this is done: {call:?}")),
            None => Ok(()),
        }
    }

    /// Starts to attempt what the partition hands out.
    pub(super) fn take_effects(&mut self) -> Checked<()> {
        if self.world.borrow().crashed {
            return Ok(());
        }
        let now = self.world.borrow().now;
        let handed = self.bank.take_effects();
        if !handed.is_empty() && self.is_held() {
            return Err(format!("the log is held, and {handed:?} is handed out"));
        }
        for call in handed {
            self.tell("handed out", &call.id);
            self.model.outbox.handed(&call, now)?;
            self.world.borrow_mut().attempt(&call);
            self.attempts.push(call);
        }
        Ok(())
    }

    /// Tells of some attempts how they ended.
    pub(super) fn end_effects(&mut self) -> Checked<()> {
        let calm = self.world.borrow().calm;
        let mut told = false;
        for call in std::mem::take(&mut self.attempts) {
            if !calm && self.below(3) == 0 {
                self.attempts.push(call);
                continue;
            }
            let [failed, lost, twice] =
                self.plan(|plan| [plan.effect_fails, plan.effect_lost, plan.effect_twice]);
            if self.chance(lost) {
                // The process never hears of it; whoever opens the partition attempts it again.
                self.model.happened.note("an effect's result is lost");
                continue;
            }
            let failed = self.chance(failed);
            let twice = self.chance(twice);
            if twice {
                self.model.happened.note("an effect's result is told twice");
            }
            self.tell(if failed { "failed" } else { "done" }, &call.id);
            for _ in 0..=u64::from(twice) {
                let error = failed.then(|| "by chance".to_string());
                self.bank.effect_ended((call.position, call.n), error.map_or(Ok(""), Err));
                self.model.outbox.told((call.position, u64::from(call.n)), failed);
            }
            told = true;
        }
        if told && (calm || self.below(4) > 0) { self.work() } else { Ok(()) }
    }

    /// The process is gone; another one opens what is stored. It may be of another release, and
    /// the log may be where another host was.
    pub(super) fn start_again(&mut self) -> Checked<()> {
        self.read_log()?;
        self.world.borrow_mut().crashed = false;
        self.rows_are_the_fold(true)?;
        let (change, moves) = self.plan(|plan| (plan.change, plan.moves));
        let pending = !self.model.waiting.is_empty() || !self.model.outbox.pending.is_empty();
        if self.chance(change) {
            let release = self.below(u64::from(RELEASES)) as u8;
            let mut world = self.world.borrow_mut();
            if world.release != release {
                world.happened.note("guest changed");
                if pending {
                    world.happened.note("guest changed with something pending");
                }
            }
            world.release = release;
        }
        if self.model.position > 0 && self.chance(moves) {
            let mut world = self.world.borrow_mut();
            if world.owner != NOBODY && pending {
                world.happened.note("log moved with something pending");
            }
            world.owner = NOBODY;
        }
        self.drawn += 1_000_000;
        self.tell("started", "again");
        let acts = self.world.borrow().broken(Sabotage::ActWhileHeld);
        let log = chain::unhex::<16>(&self.model.incarnation);
        self.acts_for = self.world.borrow().owner;
        self.bank = process(&self.world, self.drawn, log.filter(|_| acts).unwrap_or(self.acts_for));
        self.attempts.clear();
        self.model.outbox.forget();
        Ok(())
    }

    /// `POST /effects/resume`: from then on the log is this host's, unless something failed.
    pub(super) fn resume(&mut self) -> Checked<()> {
        let request = kit::request("POST", "/effects/resume", "", &[]);
        let Some(replies) = self.ask(vec![request]) else { return Ok(()) };
        self.read_log()?;
        let (status, body) = replies.first().map(kit::shown).unwrap_or_default();
        match status {
            200 => {
                self.acts_for = self.world.borrow().owner;
                let held = self.is_held();
                if held { Err(format!("it is held still: {body}")) } else { Ok(()) }
            }
            500.. if self.is_disturbed() => Ok(()),
            _ => Err(format!("resumed {status} {body}")),
        }
    }

    /// Builds a projection anew that was quarantined: what it trapped on is mended.
    pub(super) fn rebuild(&mut self) -> Checked<()> {
        let at = self.below(self.faulted.len() as u64) as usize;
        let name = self.faulted.swap_remove(at);
        let release = self.world.borrow().release;
        if self.is_held() || !projections(release).contains(&name.as_str()) {
            return Ok(());
        }
        let body = format!("{{\"name\":\"{name}\"}}");
        let request = kit::request("POST", "/projections/rebuild", &body, &[]);
        let Some(replies) = self.ask(vec![request]) else { return Ok(()) };
        let (status, body) = replies.first().map(kit::shown).unwrap_or_default();
        match status {
            202 => {
                self.model.happened.note("a projection is rebuilt after its quarantine");
                Ok(())
            }
            500.. if self.is_disturbed() => Ok(()),
            _ => Err(format!("rebuilding {name}: {status} {body}")),
        }
    }
}
