//! Effects: what is handed to JavaScript to call, and what comes back of it.
//!
//! Owns plain values for both. Refuses to wait: entry.mjs does. Refuses the secret on its way out:
//! JavaScript adds it to the request; here it is only hidden in what comes back.

use foldlog_core::driver::senders::{LOGGED, Outgoing, Plan, answered, late, plan, unanswered};
use foldlog_core::protocol::EffectCall;
use js_sys::Array;
use wasm_bindgen::prelude::*;

use crate::platform::{log_error, log_info, now_ms};
use crate::{Ready, Shim, export};

#[wasm_bindgen]
impl Shim {
    /// Calls to make now, each as position, number, how it was done when it succeeds, and the
    /// partition to list, or nothing and method, URL, headers (name, value, …), name of the secret
    /// to send along or nothing, and body. Should this object be gone before they end, which takes
    /// as long as a call may take at most, its alarm makes them again.
    pub fn take_effects(&mut self) -> Array {
        let calls = Array::new();
        let Ok(ready) = &mut self.state else { return calls };
        let effects = ready.partition.take_effects();
        let until = now_ms() + export::number(ready.effect_deadline_ms);
        if !effects.is_empty() && ready.connection().wake_at(until).is_err() {
            log_error("alarm", &self.name, "the alarm could not be set");
        }
        for effect in &effects {
            let first = [export::number(effect.position).into(), effect.n.into()];
            match plan(effect, &ready.mail) {
                Plan::List(partition) => {
                    calls.push(&array(first.into_iter().chain(["".into(), partition.into()])));
                }
                Plan::Send(call) => {
                    calls.push(&array(first.into_iter().chain(plain(call))));
                }
                Plan::Log(email) => {
                    let told =
                        [("effect", &effect.id), ("to", &email.to), ("subject", &email.subject)];
                    log_info("email", &self.name, &told);
                    ready.ended(effect, Ok(LOGGED));
                }
                Plan::Refuse(why) => ready.ended(effect, Err(why)),
            }
        }
        calls
    }

    /// What a call came to: `status` and `reply` of an answer, or why there was none, in no words
    /// when it was late. Neither: it is done.
    pub fn effect_ended(
        &mut self,
        position: f64,
        n: u32,
        detail: &str,
        status: Option<u16>,
        reply: Option<Vec<u8>>,
        why: Option<String>,
    ) {
        let Ok(ready) = &mut self.state else { return };
        let secret = ready.mail.key.as_ref().filter(|_| !detail.is_empty());
        let came_to = match (status, why) {
            (Some(status), _) => answered(status, &reply.unwrap_or_default(), secret),
            (None, None) => Ok(()),
            (None, Some(why)) if why.is_empty() => Err(late(ready.effect_deadline_ms)),
            (None, Some(why)) => Err(unanswered(&why, secret)),
        };
        let came_to = came_to.map(|()| detail);
        ready.partition.effect_ended((export::position(position), n), came_to);
    }
}

impl Ready {
    fn ended(&mut self, effect: &EffectCall, came_to: Result<&'static str, String>) {
        self.partition.effect_ended((effect.position, effect.n), came_to);
    }
}

fn plain(call: Outgoing) -> [JsValue; 7] {
    let Outgoing { method, url, headers, bearer, body, detail } = call;
    let headers = array(headers.iter().flat_map(|(name, value)| [(*name).into(), (*value).into()]));
    let bearer = bearer.map_or(JsValue::UNDEFINED, JsValue::from_str);
    let no_partition = JsValue::UNDEFINED;
    [detail.into(), no_partition, method.into(), url.into(), headers.into(), bearer, body.into()]
}

fn array(values: impl IntoIterator<Item = JsValue>) -> Array {
    values.into_iter().collect()
}
