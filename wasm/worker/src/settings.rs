//! The Worker's variables, read from `env`.
//!
//! Owns how a variable becomes text. Refuses to know names, defaults and ranges: those are the
//! core's one table.

use foldlog_core::settings::{HostKind, InvalidSetting, Settings};
use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// Reads all settings, or says which one is wrong.
pub fn read(env: &JsValue) -> Result<Settings, InvalidSetting> {
    Settings::read(HostKind::Worker, &mut |setting| {
        // Settings of the native host alone have no variable.
        Some(setting.variable).filter(|name| !name.is_empty()).and_then(|name| variable(env, name))
    })
}

/// Variables are texts; wrangler's JSON form also has numbers and booleans.
fn variable(env: &JsValue, name: &str) -> Option<String> {
    let value = Reflect::get(env, &JsValue::from_str(name)).ok()?;
    let plain = value.as_f64().map(|number| number.to_string());
    let plain = plain.or_else(|| value.as_bool().map(|flag| flag.to_string()));
    plain.or_else(|| value.as_string())
}
