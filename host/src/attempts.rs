//! Attempts at effects that are under way: what a partition's thread does not wait for.
//!
//! Owns how effects and deliveries are made natively: each call is a task of the runtime, and what it came to lies
//! in a box that the thread empties when it is nudged. Refuses to know when an effect is due and
//! what its end leads to: the driver and the guest do.
//!
//! Invariants: whatever becomes of a task, its effect ends in the box. Dropping the attempts ends
//! all calls. No task keeps a partition open: a nudge goes only where someone still listens.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use foldlog_core::driver::senders::{LOGGED, Outgoing, Plan, SENDGRID_API_KEY, plan};
use foldlog_core::driver::{CameTo, DeliveryCall};
use foldlog_core::protocol::EffectCall;
use foldlog_core::settings::{Secret, Settings};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::actor::Message;
use crate::deliveries::{Deliveries, Delivery, Undelivered};
use crate::log;
use crate::outgoing::Client;

/// What is said of an attempt whose task ended without saying anything.
const BROKE_OFF: &str = "the attempt broke off";

/// What a host makes effects and deliveries with; clones share the connections.
#[derive(Clone, Debug)]
pub struct Sender {
    runtime: Handle,
    client: Client,
    deliveries: Deliveries,
    settings: Arc<Settings>,
}

impl Sender {
    /// Calls run on this runtime.
    pub fn new(
        runtime: Handle,
        (client, deliveries): (Client, Deliveries),
        settings: Arc<Settings>,
    ) -> Self {
        Self { runtime, client, deliveries, settings }
    }

    /// The secret of this name.
    fn secret(&self, name: &str) -> Option<Secret> {
        (name == SENDGRID_API_KEY).then(|| self.settings.mail.key.clone()).flatten()
    }
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Of an effect.
    Effect {
        /// First position of the commit that asked for it.
        position: u64,
        /// Which of that commit's reactions.
        n: u32,
        /// How it was done, or why not.
        came_to: Result<&'static str, String>,
    },
    /// Of a delivery to a consumer.
    Delivery {
        /// Its number.
        id: u64,
        /// Whether it was accepted, or why not.
        came_to: CameTo,
    },
}

#[derive(Debug, Default)]
struct Ends {
    ended: Mutex<Vec<Ended>>,
    one_more: Condvar,
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, Vec<Ended>> {
        // A list holds at every step: a panic elsewhere does not make it wrong.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The attempts of one partition.
#[derive(Debug)]
pub struct Attempts {
    sender: Sender,
    /// Where the partition's thread listens.
    nudge: Weak<SyncSender<Message>>,
    partition: String,
    ends: Arc<Ends>,
    tasks: JoinSet<()>,
    running: usize,
    /// The partition closes: no more calls go out.
    closing: bool,
}

impl Attempts {
    /// None yet.
    pub fn new(sender: Sender, nudge: Weak<SyncSender<Message>>, partition: &str) -> Self {
        let (ends, tasks) = (Arc::default(), JoinSet::new());
        let partition = partition.to_string();
        Self { sender, nudge, partition, ends, tasks, running: 0, closing: false }
    }

    /// Begins to make an effect; a call does not begin when the partition closes.
    pub fn begin(&mut self, effect: &EffectCall) {
        let came_to = match plan(effect, &self.sender.settings.mail) {
            Plan::Send(_) if self.closing => return,
            Plan::Send(call) => return self.send(effect, call),
            // The data directory is the directory: a partition is listed by its file.
            Plan::List(_) => Ok(""),
            Plan::Refuse(why) => Err(why),
            Plan::Log(email) => {
                let line = log::info("email").with("partition", &self.partition);
                let line = line.with("effect", &effect.id).with("to", email.to);
                line.with("subject", email.subject).write();
                Ok(LOGGED)
            }
        };
        let (position, n) = (effect.position, effect.n);
        self.running += 1;
        self.ends.lock().push(Ended::Effect { position, n, came_to });
    }

    /// Begins to make a delivery; none begins when the partition closes.
    pub fn deliver(&mut self, call: DeliveryCall) {
        if self.closing {
            return;
        }
        let id = call.id;
        let broke_off = CameTo::Failed(BROKE_OFF.to_string());
        let attempt = self.attempt(Ended::Delivery { id, came_to: broke_off });
        let deliveries = self.sender.deliveries.clone();
        let deadline = Duration::from_millis(self.sender.settings.effect_deadline_ms);
        let DeliveryCall { url, headers, body, .. } = call;
        let delivery = Delivery { url, headers, body: body.into() };
        let task = async move {
            let came_to = match deliveries.deliver(delivery, deadline).await {
                // Where it leads inside it does so the next time too.
                Err(Undelivered::Forbidden(why)) => CameTo::Gone(why),
                Err(Undelivered::Failed(why)) => CameTo::of(Err(why)),
                Ok(()) => CameTo::Accepted,
            };
            attempt.end(Ended::Delivery { id, came_to });
        };
        self.tasks.spawn_on(task, &self.sender.runtime);
    }

    /// One more is under way.
    fn attempt(&mut self, broke_off: Ended) -> Attempt {
        self.running += 1;
        let ended = Some(broke_off);
        Attempt { ended, ends: self.ends.clone(), nudge: self.nudge.clone() }
    }

    fn send(&mut self, effect: &EffectCall, call: Outgoing) {
        let (position, n) = (effect.position, effect.n);
        let broke_off = Err(BROKE_OFF.to_string());
        let attempt = self.attempt(Ended::Effect { position, n, came_to: broke_off });
        let secret = call.bearer.and_then(|name| self.sender.secret(name));
        let (client, detail) = (self.sender.client.clone(), call.detail);
        let deadline = Duration::from_millis(self.sender.settings.effect_deadline_ms);
        let task = async move {
            let sent = client.send(call, secret.as_ref(), deadline).await;
            let came_to = sent.map(|()| detail);
            attempt.end(Ended::Effect { position, n, came_to });
        };
        self.tasks.spawn_on(task, &self.sender.runtime);
    }

    /// How many are under way, those included whose end was not taken yet.
    pub const fn running(&self) -> usize {
        self.running
    }

    /// What ended since.
    pub fn take(&mut self) -> Vec<Ended> {
        // What is finished is forgotten, else the list of tasks would only grow.
        while self.tasks.try_join_next().is_some() {}
        let ended = std::mem::take(&mut *self.ends.lock());
        self.running = self.running.saturating_sub(ended.len());
        ended
    }

    /// Waits for the calls under way, for so long at most, and lets none begin from now on. For a
    /// partition that closes.
    pub fn close(&mut self, patience: Duration) {
        self.closing = true;
        let until = Instant::now() + patience;
        let mut ended = self.ends.lock();
        while ended.len() < self.running {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.ends.one_more.wait_timeout(ended, left);
            ended = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// One attempt, which tells its end when it is dropped: by a panic too.
struct Attempt {
    ended: Option<Ended>,
    ends: Arc<Ends>,
    nudge: Weak<SyncSender<Message>>,
}

impl Attempt {
    fn end(mut self, ended: Ended) {
        self.ended = Some(ended);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(ended) = self.ended.take() else { return };
        self.ends.lock().push(ended);
        self.ends.one_more.notify_all();
        // A full inbox is one that is read: its thread looks into the box after that.
        if let Some(inbox) = self.nudge.upgrade() {
            let _ = inbox.try_send(Message::Nudge);
        }
    }
}
