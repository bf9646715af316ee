//! Probe: proves that a two-module Worker builds, loads and answers. To be replaced by the shim.
#![allow(missing_docs, reason = "the worker macros generate undocumented items")]

use js_sys::{Object, Reflect, WebAssembly};
use wasm_bindgen::{JsCast, JsValue};
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

#[durable_object(fetch)]
pub struct Partition {
    state: State,
    guest: std::result::Result<WebAssembly::Instance, JsValue>,
}

impl DurableObject for Partition {
    fn new(state: State, _env: Env) -> Self {
        let guest = Reflect::get(&js_sys::global(), &"foldlogGuest".into())
            .and_then(|module| WebAssembly::Instance::new(module.unchecked_ref(), &Object::new()));
        Self { state, guest }
    }

    async fn fetch(&self, _request: Request) -> Result<Response> {
        let exports = match &self.guest {
            Ok(instance) => Object::keys(&instance.exports()).join(","),
            Err(error) => return Response::error(format!("{error:?}"), 500),
        };
        let sql = self.state.storage().sql();
        sql.exec("CREATE TABLE IF NOT EXISTS hits(n INTEGER PRIMARY KEY) STRICT", None)?;
        sql.exec("INSERT INTO hits DEFAULT VALUES", None)?;
        let rows = sql.exec("SELECT count(*) FROM hits", None)?;
        let hits = rows.raw().flatten().count();
        let stamps = worker::js_sys::Date::now();
        Response::ok(format!("guest exports: {exports}; rows {hits}; size {}; {stamps}\n", sql.database_size()))
    }
}
