//! The Cloudflare host of Foldlog: the driver's ports, filled by one Durable Object per partition.
//!
//! ```text
//!   entry.mjs      sockets, bodies, deadlines, waiting requests, restarts of this module
//!      │ push, run, page, import, wake: plain values in, plain values out, never a promise
//!   Shim           this file
//!      │
//!   driver         foldlog-core: stage, batch, hash, store, recover
//!      │ guest, sql, world: its ports
//!   guest.wasm · SQLite of the object · clock and entropy
//! ```
//!
//! What is absent: domains, HTTP semantics, asynchronous code. Each call ends before the next
//! event of the object, so nothing can happen between reading, deciding and writing (law 5), and
//! a restart of this module finds nothing half-done.
//!
//! The law of use: an exception out of any of these functions means that this instance of the
//! module is of no use any more (a panic, a full stack, no memory). entry.mjs makes another.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

mod deliveries;
mod effects;
mod export;
mod guest;
mod owner;
mod plain;
mod platform;
mod secret;
mod settings;
mod sql;
mod world;

use foldlog_core::chain::unhex;
use foldlog_core::driver::{
    Config, Feed, InParts, OwnedBody, OwnedRequest, Partition, Reply, SqlStore, Step, Supervision,
    TestStamps, Throttle, World,
};
use foldlog_core::errors::Code;
use foldlog_core::limits::{IMPORT_BYTES_MAX, PUBLISH_BYTES_MAX, REPLY_BYTES_MAX};
use foldlog_core::settings::{Mail, Settings};
use js_sys::{Array, Uint8Array, WebAssembly};
use wasm_bindgen::prelude::*;

use crate::guest::Module;
use crate::plain::plain;
use crate::platform::{Storage, log_error, now_ms};
use crate::sql::Connection;
use crate::world::Platform;

/// Makes a panic say where it happened before it ends this instance of the module.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| log_error("panic", "", &panic.to_string())));
}

/// `[deadline_ms, body_bytes_max, publish_bytes_max, import_bytes_max, effect_deadline_ms,
/// reply_bytes_max, live_heartbeat_ms, live_stall_ms]`, for entry.mjs. Nothing when a setting is wrong: the objects, which then answer nothing else, say
/// which.
#[wasm_bindgen]
pub fn bounds(env: &JsValue) -> Vec<f64> {
    let settings = settings::read(env);
    settings.map_or_else(
        |_| Vec::new(),
        |settings| {
            let Settings { deadline_ms, body_bytes_max, effect_deadline_ms, .. } = settings;
            let publish_bytes_max = body_bytes_max.max(PUBLISH_BYTES_MAX);
            let requests = [deadline_ms, body_bytes_max, publish_bytes_max, IMPORT_BYTES_MAX];
            let effects = [effect_deadline_ms, REPLY_BYTES_MAX as u64];
            let live = [settings.live_heartbeat_ms, settings.live_stall_ms];
            requests.into_iter().chain(effects).chain(live).map(export::number).collect()
        },
    )
}

/// One object's partition.
#[wasm_bindgen]
pub struct Shim {
    name: String,
    waiting: Vec<OwnedRequest>,
    state: Result<Ready, String>,
    supervision: Supervision,
    /// What was said of failures lately.
    lines: Throttle,
}

struct Ready {
    partition: Partition<Module, InParts<SqlStore<Connection>>, Platform>,
    batch_commands_max: usize,
    effect_deadline_ms: u64,
    mail: Mail,
    allow_private_callbacks: bool,
}

#[wasm_bindgen]
impl Shim {
    /// Reads settings and owner; the guest is opened by the first request.
    ///
    /// `alarm_ms` is when the object's alarm is set to go off, `digest` the SHA-256 of the module.
    #[wasm_bindgen(constructor)]
    pub fn new(
        name: String,
        storage: Storage,
        env: &JsValue,
        guest: WebAssembly::Module,
        digest: &str,
        alarm_ms: Option<f64>,
    ) -> Self {
        let state = settings::read(env)
            .map(|settings| {
                let guest = Module::new(guest, unhex(digest).unwrap_or_default());
                Ready::new(&name, storage, settings, guest, alarm_ms)
            })
            .map_err(|invalid| format!("the setting {invalid}"));
        if let Err(detail) = &state {
            log_error("settings", &name, detail);
        }
        let (supervision, lines) = (Supervision::default(), Throttle::default());
        Self { name, waiting: Vec::new(), state, supervision, lines }
    }

    /// Adds a request to the batch that the next [`Shim::run`] answers.
    ///
    /// `head` has the method, the target and `name:value` of each header, a line each; no `body`
    /// means that it was longer than allowed or, of an import, that it was not read yet.
    pub fn push(&mut self, head: &str, body: Option<Vec<u8>>, unread: bool) {
        let mut lines = head.split('\n');
        let mut line = || lines.next().unwrap_or_default().to_string();
        let (method, target) = (line(), line());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        let body = match body {
            Some(body) => OwnedBody::Whole(body),
            None if unread => OwnedBody::Unread,
            None => OwnedBody::TooLarge,
        };
        self.waiting.push(OwnedRequest { method, target, headers, body });
    }

    /// Decides and answers what was pushed: an array per request, in order, of status, headers
    /// (`Name: value`, a line each) and body; then, where there are any, the bounds of an export,
    /// excluded and included, the listing to fill, the number to feed an import by, and, at place 8,
    /// how it goes on with events: what to ask for, after which position, the head, whether over a
    /// WebSocket.
    ///
    /// Of a long read that is pushed alone `in_parts` does a part: `true` at place 9 says that there
    /// is more to do, by pushing it again.
    pub fn run(&mut self, in_parts: bool) -> Array {
        self.run_waiting(in_parts).into_iter().map(plain).collect()
    }

    /// A page of an export: its bytes, and the bound after which the next one starts.
    /// Nothing at its end, and `null` when the log could not be read.
    pub fn page(&mut self, after: f64, to: f64) -> JsValue {
        let Ok(ready) = &mut self.state else { return JsValue::NULL };
        if self.supervision.closed(Platform::new().micros()) {
            return JsValue::NULL;
        }
        match export::page(&mut ready.partition, after, to) {
            Ok(Some((bytes, next))) => {
                Array::of2(&Uint8Array::from(bytes.as_slice()).into(), &next.into()).into()
            }
            Ok(None) => JsValue::UNDEFINED,
            Err(error) => {
                log_error("export", &self.name, &error.to_string());
                JsValue::NULL
            }
        }
    }

    /// Position of the last event that was written; nothing while no guest is open.
    pub fn head(&mut self) -> Option<f64> {
        let ready = self.state.as_ref().ok()?;
        ready.partition.head().map(|head| export::number(head.position))
    }

    /// What comes after a position for those who follow: the bytes to send, and up to where they
    /// lead. Nothing when the partition can not be read now.
    pub fn live_page(&mut self, target: &str, after: f64) -> Option<Array> {
        let page = OwnedRequest::page(target, export::position(after));
        self.waiting.push(page);
        let reply = self.run_waiting(false).into_iter().next()?;
        let to = reply.live?.after;
        let bytes = Uint8Array::from(reply.response.body.as_slice());
        Some(Array::of2(&bytes.into(), &export::number(to).into()))
    }

    /// A step of an import: `bytes` of its body, or none. `how` is 0 to go on, 1 when the body has
    /// ended, 2 when it broke off. Gives 0 for another turn, 1 for the next bytes, or the answer,
    /// which ends in whether there is a log now.
    pub fn import_step(&mut self, token: f64, bytes: Vec<u8>, how: u8) -> JsValue {
        let Ok(ready) = &mut self.state else { return JsValue::UNDEFINED };
        let feed = match how {
            0 if bytes.is_empty() => Feed::Nothing,
            0 => Feed::Bytes(bytes),
            1 => Feed::End,
            _ => Feed::CutOff,
        };
        let step = ready.partition.import(export::position(token), feed);
        let done = matches!(&step, Step::Done(reply) if reply.response.status == 200);
        let log = done && ready.partition.open().is_ok_and(|head| head.position > 0);
        self.ended();
        match step {
            Step::Turn => 0.into(),
            Step::Body => 1.into(),
            Step::Done(reply) => {
                let done = plain(reply);
                done.set(7, log.into());
                done.into()
            }
        }
    }

    /// The alarm went off: stores a checkpoint, or waits until the object has been idle.
    pub fn wake(&mut self) {
        let Ok(ready) = &mut self.state else { return };
        ready.connection().alarm_rang();
        if self.supervision.waits(Platform::new().micros()).is_none()
            && let Err(detail) = ready.wake()
        {
            log_error("checkpoint", &self.name, &detail);
        }
        self.ended();
    }

    /// In how many milliseconds [`Shim::work`] should be called; nothing when there is nothing to
    /// do. What is further away than `patience_ms` is left to the alarm, which this sets.
    pub fn work_due(&mut self, patience_ms: f64) -> Option<f64> {
        let ready = self.state.as_mut().ok()?;
        let waits = self.supervision.waits(Platform::new().micros()).unwrap_or_default();
        let micros = ready.partition.work_due()?.max(waits);
        let due = export::number(micros) / 1000.0;
        if due <= patience_ms {
            return Some(due);
        }
        // The alarm goes off when something falls due, however far away that is.
        let next = ready.partition.next_due().map_or(0.0, |time| export::number(time.0));
        let next = next.max(now_ms() + export::number(waits) / 1000.0);
        if ready.connection().wake_at(next).is_err() {
            log_error("alarm", &self.name, "the alarm could not be set");
        }
        None
    }

    /// Does some milliseconds of what is due beside requests.
    pub fn work(&mut self) {
        if let Ok(ready) = &mut self.state
            && self.supervision.waits(Platform::new().micros()).is_none()
        {
            ready.partition.work();
        }
        self.ended();
    }

    /// Whether a write failed: the object must be reset, so that it goes by what is stored.
    pub fn failed(&mut self) -> bool {
        self.state.as_mut().is_ok_and(|ready| ready.connection().failed())
    }
}

impl Shim {
    /// Runs what was pushed.
    fn run_waiting(&mut self, in_parts: bool) -> Vec<Reply> {
        let waiting = core::mem::take(&mut self.waiting);
        let replies = match &mut self.state {
            Ok(ready) => {
                let now = Platform::new().micros();
                let of = (self.name.as_str(), "worker");
                ready.partition.supervised(&self.supervision);
                self.supervision.run(of, waiting, now, |waiting| ready.run(waiting, in_parts))
            }
            Err(detail) => {
                waiting.iter().map(|_| Reply::problem(Code::Restarting, detail)).collect()
            }
        };
        self.ended();
        replies
    }

    /// Something was tried, or left. What does not open is tried again by the alarm.
    fn ended(&mut self) {
        let Ok(ready) = &mut self.state else { return };
        let now = Platform::new().micros();
        for detail in ready.partition.take_failures() {
            let Some(left_out) = self.lines.take(now) else { continue };
            let more = if left_out > 0 { format!(" ({left_out} left out)") } else { String::new() };
            log_error("failure", &self.name, &format!("{detail}{more}"));
        }
        for note in ready.partition.take_notes() {
            deliveries::tell(&self.name, &note);
        }
        let ran = ready.partition.take_ran();
        // While it is left alone nothing is run that could tell that it works again.
        if ran.trouble.is_some() || !self.supervision.closed(now) {
            self.supervision.ended(ran, now);
        }
        if let Some(left) = self.supervision.waits(now) {
            let at = now_ms() + export::number(left) / 1000.0;
            if ready.connection().wake_at(at).is_err() {
                log_error("alarm", &self.name, "the alarm could not be set");
            }
        }
    }
}

impl Ready {
    fn new(
        name: &str,
        storage: Storage,
        settings: Settings,
        guest: Module,
        alarm_ms: Option<f64>,
    ) -> Self {
        let batch_commands_max = usize::try_from(settings.batch_commands_max).unwrap_or(1);
        let idle_ms = export::number(settings.checkpoint_idle_ms);
        let secret = settings.secret.clone();
        let connection = Connection::new(storage.clone(), idle_ms, alarm_ms, secret);
        let store = InParts::new(SqlStore::new(connection));
        let config = Config {
            partition: name.to_string(),
            incarnation: owner::of(&storage),
            settings: settings.open(),
            host: "worker",
            tail_events_max: settings.tail_events_max,
            batch_commands_max,
            effects_in_flight_max: settings.effects_in_flight_max,
            rejected_bytes_max: settings.rejected_bytes_max,
            // The object's own, where none is set, is made with its log: the store has it then.
            secret: settings.secret.clone(),
            test_stamps: settings.test_stamps.map(|seed| TestStamps { seed, offset_ms: 0 }),
        };
        let partition = Partition::new(guest, store, Platform::new(), config);
        let allow_private_callbacks = settings.allow_private_callbacks;
        let Settings { effect_deadline_ms, mail, .. } = settings;
        Self { partition, batch_commands_max, effect_deadline_ms, mail, allow_private_callbacks }
    }

    fn run(&mut self, mut waiting: Vec<OwnedRequest>, in_parts: bool) -> Vec<Reply> {
        if in_parts {
            return waiting.into_iter().map(|read| self.partition.run_part(read)).collect();
        }
        let mut replies = Vec::with_capacity(waiting.len());
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(self.batch_commands_max));
            replies.extend(self.partition.run(waiting));
            waiting = rest;
        }
        replies
    }

    fn wake(&mut self) -> Result<(), String> {
        if let Some(due_ms) = self.connection().idle_from() {
            return self.connection().wake_at(due_ms).map_err(|e| format!("{e:?}"));
        }
        self.partition.wake();
        if self.partition.checkpoint_useful() {
            self.connection().rest(true);
            let result = self.partition.checkpoint();
            self.connection().rest(false);
            result.map_err(|failure| failure.to_string())?;
        }
        Ok(())
    }

    fn connection(&mut self) -> &mut Connection {
        self.partition.store().store().connection()
    }
}
