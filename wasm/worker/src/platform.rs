//! The platform's JavaScript interfaces, as far as they are used, and what is said to its log.
//!
//! Owns declarations. Refuses to know why anything is called.
//!
//! Every function that may throw is declared `catch`, so that a throw is an `Err` here. The rest
//! can not throw; if one did, the exception would leave this module and entry.mjs would start a
//! fresh instance of it.

use foldlog_core::json::push_string;
use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// `ctx.storage` of a Durable Object.
    #[derive(Clone)]
    pub type Storage;
    #[wasm_bindgen(method, getter)]
    pub fn sql(this: &Storage) -> Sql;
    #[wasm_bindgen(method, getter)]
    pub fn kv(this: &Storage) -> Kv;
    /// Runs the function in a savepoint: undone when it throws.
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    pub fn transaction_sync(
        this: &Storage,
        body: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
    /// Takes effect at once, inside the open transaction; the promise tells nothing more.
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    pub fn set_alarm(this: &Storage, at_ms: f64) -> Result<Promise, JsValue>;

    /// `ctx.storage.sql`.
    pub type Sql;
    #[wasm_bindgen(method, catch, variadic)]
    pub fn exec(this: &Sql, sql: &str, values: &Array) -> Result<Cursor, JsValue>;

    /// Rows of a statement. `one` and `next` are not declared on purpose: they throw.
    pub type Cursor;
    #[wasm_bindgen(method, catch)]
    pub fn raw(this: &Cursor) -> Result<RawRows, JsValue>;

    /// The same rows as arrays.
    pub type RawRows;
    #[wasm_bindgen(method, catch, js_name = toArray)]
    pub fn to_array(this: &RawRows) -> Result<Array, JsValue>;

    /// Texts as bytes of UTF-8, in one piece: glue that is made takes a call for each.
    pub type TextEncoder;
    #[wasm_bindgen(constructor)]
    pub fn new() -> TextEncoder;
    #[wasm_bindgen(method)]
    pub fn encode(this: &TextEncoder, text: &JsValue) -> Uint8Array;

    /// `ctx.storage.kv`: synchronous, in the same database and transaction as SQL.
    pub type Kv;
    #[wasm_bindgen(method, catch)]
    pub fn get(this: &Kv, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn put(this: &Kv, key: &str, value: &str) -> Result<(), JsValue>;

    /// Without entropy nothing may be decided, so a throw here is meant to stop everything.
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    pub fn fill_random(bytes: &mut [u8]);
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    pub fn monotonic_ms() -> f64;
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    pub fn now_ms() -> f64;

    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(line: &str);
    #[wasm_bindgen(js_namespace = console, js_name = log)]
    fn console_log(line: &str);
}

/// The same for what is as it should be.
pub fn log_info(event: &str, partition: &str, fields: &[(&str, &String)]) {
    let mut line = String::from("{\"level\":\"info\",\"event\":");
    push_string(&mut line, event);
    line.push_str(",\"partition\":");
    push_string(&mut line, partition);
    for (name, value) in fields {
        line.push(',');
        push_string(&mut line, name);
        line.push(':');
        push_string(&mut line, value);
    }
    line.push('}');
    console_log(&line);
}

/// One JSON object per event, on one line. `detail` holds no payloads.
pub fn log_error(event: &str, partition: &str, detail: &str) {
    let mut line = String::from("{\"level\":\"error\",\"event\":");
    push_string(&mut line, event);
    line.push_str(",\"partition\":");
    push_string(&mut line, partition);
    line.push_str(",\"detail\":");
    push_string(&mut line, detail);
    line.push('}');
    console_error(&line);
}

/// What an exception says, without its stack, cut to a length fit for a log.
pub fn message_of(thrown: &JsValue) -> String {
    let text = thrown.dyn_ref::<js_sys::Error>().map_or_else(
        || thrown.as_string().unwrap_or_else(|| "a value that is no error was thrown".into()),
        |error| String::from(error.message()),
    );
    text.chars().take(500).collect()
}
