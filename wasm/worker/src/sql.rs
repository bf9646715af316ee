//! SQL over the object's own database, and what is stored beside it: owner, secret, alarm.
//!
//! Owns binding, reading, the one transaction, and rules of the platform: values pass as
//! JavaScript has them, rows stay within 2 MB, the alarm is only ever moved forward. Refuses to
//! know tables and statements: those come from the driver's SQLite store.
//!
//! Durability: the platform holds every answer back until what was written before it is safe, and
//! resets the object when that fails. So `Ok` here means: safe before anyone hears of it.

use foldlog_core::chain::hex;
use foldlog_core::driver::{SqlError, SqlValue, Sqlite};
use foldlog_core::settings::Secret;
use js_sys::{Array, ArrayBuffer, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

use crate::platform::{Sql, Storage, TextEncoder, log_error, message_of, now_ms};
use crate::secret;

/// Bytes of one row. The local runtime would take more than production does.
const ROW_BYTES_MAX: usize = 2_000_000;
/// 2^53−1: a larger number would be rounded on its way.
const INTEGER_MAX: i64 = 9_007_199_254_740_991;
/// Where the incarnation is kept that this object may act for.
pub const OWNER_KEY: &str = "owner";

/// The object's database.
pub struct Connection {
    storage: Storage,
    sql: Sql,
    text: TextEncoder,
    /// When the alarm is set to go off, as far as is known.
    alarm_ms: Option<f64>,
    idle_ms: f64,
    /// The secret that is set.
    secret: Option<Secret>,
    last_write_ms: f64,
    /// Writes set no alarm: it is the alarm that writes.
    resting: bool,
    /// A write failed in a way that leaves open what is stored.
    failed: bool,
}

impl Connection {
    /// `alarm_ms` is the alarm that is set already.
    pub fn new(
        storage: Storage,
        idle_ms: f64,
        alarm_ms: Option<f64>,
        secret: Option<Secret>,
    ) -> Self {
        let (sql, text) = (storage.sql(), TextEncoder::new());
        let (last_write_ms, resting, failed) = (0.0, false, false);
        Self { storage, sql, text, alarm_ms, idle_ms, secret, last_write_ms, resting, failed }
    }

    /// Whether a write failed: the object has to start anew from what is stored.
    pub const fn failed(&self) -> bool {
        self.failed
    }

    /// When the next idle checkpoint is due, if writes are too recent for one.
    pub fn idle_from(&self) -> Option<f64> {
        let due = self.last_write_ms + self.idle_ms;
        (due > now_ms()).then_some(due)
    }

    /// The alarm went off: none is set now.
    pub const fn alarm_rang(&mut self) {
        self.alarm_ms = None;
    }

    /// While resting, writes set no alarm and do not count as work.
    pub const fn rest(&mut self, resting: bool) {
        self.resting = resting;
    }

    /// Sets the alarm, unless one is set that goes off earlier.
    pub fn wake_at(&mut self, due_ms: f64) -> Result<(), SqlError> {
        if self.alarm_ms.is_none_or(|set| due_ms < set) {
            let _safe_with_the_transaction =
                self.storage.set_alarm(due_ms).map_err(|e| failure(&e))?;
            self.alarm_ms = Some(due_ms);
        }
        Ok(())
    }

    /// What every transaction stores beside what it is for.
    fn store_along(&mut self) -> Result<(), SqlError> {
        if self.resting {
            return Ok(());
        }
        let now = now_ms();
        self.last_write_ms = now;
        self.wake_at(now + self.idle_ms)
    }

    fn note_failure(&mut self, result: Result<(), SqlError>) -> Result<(), SqlError> {
        self.failed |= matches!(result, Err(SqlError::Corrupt(_) | SqlError::Failed(_)));
        result
    }

    fn run(&mut self, sql: &'static str, values: &[SqlValue]) -> Result<Array, SqlError> {
        let bound = bind(values)?;
        let cursor = self.sql.exec(sql, &bound).map_err(|e| failure(&e))?;
        // Read to its end at once: an open cursor would see later writes.
        cursor.raw().and_then(|rows| rows.to_array()).map_err(|e| failure(&e))
    }
}

impl Sqlite for Connection {
    fn execute(&mut self, sql: &'static str, values: &[SqlValue]) -> Result<(), SqlError> {
        let bound = bind(values)?;
        self.sql.exec(sql, &bound).map(drop).map_err(|e| failure(&e))
    }

    fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue],
    ) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        let rows = self.run(sql, values)?;
        let columns = |row: JsValue| row.unchecked_into::<Array>();
        let read = |value| read(&self.text, value);
        rows.iter().map(|row| columns(row).iter().map(read).collect()).collect()
    }

    fn own(&mut self, incarnation: &[u8; 16]) -> Result<(), SqlError> {
        // In the same turn as the write beside it: both are stored or neither.
        let put = self.storage.kv().put(OWNER_KEY, &hex(incarnation)).map_err(|e| failure(&e));
        // What a log begins with is there before it: also the secret, where the object has its own.
        let done = put.and_then(|()| secret::of(&self.storage, self.secret.as_ref()).map(drop));
        self.failed |= done.is_err();
        done
    }

    fn secret(&mut self) -> Option<Secret> {
        let found = secret::of(&self.storage, self.secret.as_ref());
        found.map_err(|error| log_error("secret", "", &format!("{error:?}"))).ok()
    }

    fn transaction(
        &mut self,
        body: &mut dyn FnMut(&mut Self) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let (storage, alarm_ms) = (self.storage.clone(), self.alarm_ms);
        let mut outcome = None;
        let result = storage.transaction_sync(&mut || {
            let done = self.store_along().and_then(|()| body(self));
            let undo = done.is_err();
            outcome = Some(done);
            // The error itself stays here; what is thrown only makes JavaScript roll back.
            if undo { Err(JsValue::from_str("rolled back")) } else { Ok(JsValue::UNDEFINED) }
        });
        let result = match (outcome, result) {
            (Some(Ok(())), Ok(_)) => return Ok(()),
            (Some(Ok(())), Err(thrown)) => Err(failure(&thrown)),
            (Some(Err(error)), _) => Err(error),
            // The body was left half-way: a panic or a full stack. This instance must not go on.
            (None, Err(thrown)) => wasm_bindgen::throw_val(thrown),
            (None, Ok(_)) => Err(SqlError::Failed("the transaction did not run".into())),
        };
        self.alarm_ms = alarm_ms;
        self.note_failure(result)
    }

    fn alone(&mut self, sql: &'static str, values: &[SqlValue]) -> Result<(), SqlError> {
        // A statement is undone whole when it fails; an alarm without a write does no harm.
        let result = self.store_along().and_then(|()| self.execute(sql, values));
        self.note_failure(result)
    }
}

fn bind(values: &[SqlValue]) -> Result<Array, SqlError> {
    let bound = Array::new();
    let mut bytes = 0_usize;
    for value in values {
        let value = match value {
            SqlValue::Null => JsValue::NULL,
            SqlValue::Integer(number) => JsValue::from_f64(exact(*number)?),
            SqlValue::Text(text) => {
                bytes = bytes.saturating_add(text.len());
                JsValue::from_str(text)
            }
            SqlValue::Blob(blob) => {
                bytes = bytes.saturating_add(blob.len());
                Uint8Array::from(blob.as_slice()).into()
            }
        };
        bound.push(&value);
    }
    if bytes > ROW_BYTES_MAX {
        return Err(SqlError::Failed(format!("a row of {bytes} bytes; the platform takes 2 MB")));
    }
    Ok(bound)
}

#[expect(clippy::cast_precision_loss, reason = "the bound is what a double holds exactly")]
fn exact(number: i64) -> Result<f64, SqlError> {
    if (-INTEGER_MAX..=INTEGER_MAX).contains(&number) {
        Ok(number as f64)
    } else {
        Err(SqlError::Failed(format!("{number} does not pass JavaScript unharmed")))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and the bound was checked"
)]
fn read(text: &TextEncoder, value: JsValue) -> Result<SqlValue, SqlError> {
    if value.is_null() {
        return Ok(SqlValue::Null);
    }
    if let Some(number) = value.as_f64() {
        let whole = number as i64;
        if number.fract() == 0.0 && (-INTEGER_MAX..=INTEGER_MAX).contains(&whole) {
            return Ok(SqlValue::Integer(whole));
        }
        return Err(SqlError::Failed(format!("{number} is no integer that passed unharmed")));
    }
    if value.is_string() {
        let bytes = text.encode(&value).to_vec();
        let text = String::from_utf8(bytes).map_err(|e| SqlError::Failed(e.to_string()))?;
        return Ok(SqlValue::Text(text));
    }
    match value.dyn_into::<ArrayBuffer>() {
        Ok(buffer) => Ok(SqlValue::Blob(Uint8Array::new(&buffer).to_vec())),
        Err(_) => Err(SqlError::Failed("a column of an unknown type".into())),
    }
}

/// A thrown error by what it says: the platform gives codes in its messages only.
fn failure(thrown: &JsValue) -> SqlError {
    let message = message_of(thrown);
    let full = ["SQLITE_FULL", "database or disk is full"];
    if full.iter().any(|sign| message.contains(sign)) {
        return SqlError::Full;
    }
    if message.contains("SQLITE_CORRUPT") {
        return SqlError::Corrupt(message);
    }
    SqlError::Failed(message)
}
