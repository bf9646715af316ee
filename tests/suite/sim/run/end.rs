//! The end of a run: faults are off, and everything comes to its end in bounded steps.
//!
//! Owns that nothing stays open: no command, no transfer, no timer, no effect, no projection that is
//! out of service.

use serde_json::{Value, json};

use super::super::super::engine::kit::{self, get};
use super::super::guests::{codes, projections};
use super::super::plan::LONG;
use super::super::rows::Checked;
use super::{Run, Told};

impl Run {
    pub(super) fn end(mut self) -> Checked<Told> {
        self.world.borrow_mut().calm = true;
        self.faults = self.world.borrow().faults;
        self.start_again()?;
        self.bank.open().map_err(|failure| failure.to_string())?;
        if self.is_held() {
            self.resume()?;
        }
        self.take_effects()?;
        self.open_commands()?;
        self.take_effects()?;
        self.build_all()?;
        self.settle()?;
        self.sums()?;
        self.bank.checkpoint().map_err(|failure| failure.to_string())?;
        self.refolds = 0;
        self.rows_are_the_fold(true)?;
        let long = self.plan(|plan| plan.events >= LONG);
        if long && self.model.position < LONG {
            return Err(format!("a long run has {} events", self.model.position));
        }
        let mut happened = self.world.borrow().happened.clone();
        happened.add(&self.model.happened);
        Ok(Told { events: self.model.position, trace: self.trace(), happened })
    }

    /// What is sent again without faults has an outcome.
    fn open_commands(&mut self) -> Checked<()> {
        for command in std::mem::take(&mut self.open) {
            let replies = self.ask(vec![command.request()]).ok_or("no reply")?;
            let lines = self.new_lines()?;
            let reply = replies.first().ok_or("no reply")?;
            let mut lines = lines.iter().peekable();
            self.answer(&command, reply, &mut lines)
                .map_err(|what| format!("{command:?}: {what}"))?;
            lines.try_for_each(|line| self.take(line))?;
        }
        if !self.open.is_empty() {
            return Err(format!("without faults these stay open: {:?}", self.open));
        }
        Ok(())
    }

    /// All projections serve in the end; those that were quarantined are built anew.
    fn build_all(&mut self) -> Checked<()> {
        let list: Value = self.read("/projections")?;
        for status in list.as_array().into_iter().flatten() {
            let name = status["name"].as_str().unwrap_or_default();
            if status["state"] == "faulted" || self.below(4) == 0 {
                let body = format!("{{\"name\":\"{name}\"}}");
                let request = kit::request("POST", "/projections/rebuild", &body, &[]);
                let (status, body) = kit::run(&mut self.bank, request);
                if status != 202 {
                    return Err(format!("rebuilding {name}: {status} {body}"));
                }
                self.model.happened.note("a projection is rebuilt");
            }
        }
        // As many slices as there are hundreds of events, and some for what is to be deleted.
        for _ in 0..self.model.position / 10 + 1_000 {
            if self.bank.work_due() != Some(0) {
                break;
            }
            self.work()?;
        }
        let list = self.read("/projections")?;
        let served = list.as_array().into_iter().flatten().all(|status| status["state"] == "live");
        if served { Ok(()) } else { Err(format!("without faults these do not serve: {list}")) }
    }

    fn read(&mut self, target: &str) -> Checked<Value> {
        let (status, body) = kit::run(&mut self.bank, get(target));
        self.read_log()?;
        self.take_effects()?;
        let value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        if status == 200 { Ok(value) } else { Err(format!("{target}: {status} {body}")) }
    }

    /// Timers come and effects end, each step at the time of the last that waits: there are at most
    /// as many steps as a chain of them is long.
    fn settle(&mut self) -> Checked<()> {
        for _ in 0..40 {
            let last = self.model.waiting.last_due().max(self.model.outbox.last_due());
            let Some(last) = last else { break };
            {
                let mut world = self.world.borrow_mut();
                world.now = world.now.max(last) + 1_000;
                world.micros += 60_000_000;
            }
            // One at a time may be attempted, and each is settled in a batch of its own.
            for _ in 0..10 + 2 * self.model.outbox.pending.len() {
                if self.bank.work_due() == Some(0) {
                    self.work()?;
                }
                self.end_effects()?;
            }
        }
        if let Some(asked) = self.model.waiting.first() {
            return Err(format!("{asked:?} is never done"));
        }
        match self.model.outbox.pending.first() {
            Some(which) => Err(format!("{:?} never ends", self.model.outbox.all.get(which))),
            None => Ok(()),
        }
    }

    /// Sums and rows of all that there is.
    fn sums(&mut self) -> Checked<()> {
        let on_its_way = self.model.transfers.settled()?;
        if self.model.bank.held != on_its_way {
            return Err(format!("{} is on its way for ever", self.model.bank.held));
        }
        let balances = self.whole("AccountBalances", "balances")?;
        let shown = balances.as_object().into_iter().flatten();
        let sum: u128 = shown.filter_map(|(_, b)| b["balance"].as_u64()).map(u128::from).sum();
        if sum != self.model.bank.balances {
            return Err(format!("balances sum up to {sum}, not {}", self.model.bank.balances));
        }
        let release = self.world.borrow().release;
        let code = codes(release).0;
        let rows = self.model.streams.iter();
        let book: serde_json::Map<String, Value> =
            rows.map(|(id, (count, last))| (id.clone(), json!([code, count, last]))).collect();
        if self.whole("Book", "")? != Value::Object(book) {
            return Err("the book has other rows".into());
        }
        if projections(release).contains(&"Types")
            && self.whole("Types", "")? != json!(self.model.types)
        {
            return Err("the types have other rows".into());
        }
        Ok(())
    }
}
