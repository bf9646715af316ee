//! The guest's module and its instances, through JavaScript's own WebAssembly interface.
//!
//! Owns the ABI on the host's side: `alloc`, `call`, results behind an 8-byte header, and the
//! progress word. Refuses to know what messages say.
//!
//! A trap of the guest is an exception of JavaScript: caught, and told to the driver, which drops
//! the instance. Every pointer and length of the guest is checked before it is used.

use foldlog_core::driver::{Guest, Spawn, Trap};
use foldlog_core::protocol::{ABI_VERSION, Op};
use js_sys::{Object, Uint8Array, WebAssembly};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

use crate::platform::message_of;

#[wasm_bindgen]
extern "C" {
    /// What the guest exports.
    type Exports;
    #[wasm_bindgen(method, getter)]
    fn memory(this: &Exports) -> WebAssembly::Memory;
    #[wasm_bindgen(method, catch)]
    fn alloc(this: &Exports, len: u32) -> Result<u32, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn call(this: &Exports, op: u32, ptr: u32, len: u32) -> Result<u32, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn abi_version(this: &Exports) -> Result<u32, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn progress(this: &Exports) -> Result<u32, JsValue>;
}

/// A compiled module.
#[derive(Debug)]
pub struct Module {
    module: WebAssembly::Module,
    digest: [u8; 32],
}

impl Module {
    /// `digest` is the SHA-256 of the bytes that `module` was compiled from.
    pub const fn new(module: WebAssembly::Module, digest: [u8; 32]) -> Self {
        Self { module, digest }
    }
}

impl Spawn for Module {
    type Guest = Instance;

    fn spawn(&mut self) -> Result<Instance, Trap> {
        // The guest imports nothing: law 1 makes this an empty object.
        let instance =
            WebAssembly::Instance::new(&self.module, &Object::new()).map_err(|e| trap(&e, 0))?;
        let exports: Exports = instance.exports().unchecked_into();
        let version = exports.abi_version().map_err(|e| trap(&e, 0))?;
        if version != ABI_VERSION {
            let detail = format!("the guest speaks ABI {version}, this host {ABI_VERSION}");
            return Err(Trap { detail, progress: 0 });
        }
        let progress = exports.progress().map_err(|e| trap(&e, 0))?;
        let memory = exports.memory();
        let view = Uint8Array::new(&memory.buffer());
        Ok(Instance { exports, memory, view, progress })
    }

    fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// One instance. Its memory is freed when JavaScript collects it.
pub struct Instance {
    exports: Exports,
    memory: WebAssembly::Memory,
    /// All of its memory; empty as soon as that grew, and then made anew.
    view: Uint8Array,
    /// Address of the progress word: after a trap the guest is not asked any more.
    progress: u32,
}

impl Guest for Instance {
    fn call(&mut self, op: Op, message: &[u8]) -> Result<Vec<u8>, Trap> {
        let len = u32::try_from(message.len()).map_err(|_| self.lied("a message beyond 4 GB"))?;
        let ptr = self.exports.alloc(len).map_err(|e| self.trapped(&e))?;
        if ptr == 0 {
            return Err(self.lied(&format!("no room for a message of {len} bytes")));
        }
        let room = self.window(ptr, len).ok_or_else(|| self.lied("alloc gave what it has not"))?;
        room.copy_from(message);
        let header = self.exports.call(op as u32, ptr, len).map_err(|e| self.trapped(&e))?;
        self.result(header).ok_or_else(|| self.lied("a result outside its memory"))
    }
}

impl Instance {
    /// The result that the 8 bytes at `header` point to.
    fn result(&mut self, header: u32) -> Option<Vec<u8>> {
        let mut word = [0; 8];
        self.window(header, 8)?.copy_to(&mut word);
        let [p0, p1, p2, p3, l0, l1, l2, l3] = word;
        let (ptr, len) =
            (u32::from_le_bytes([p0, p1, p2, p3]), u32::from_le_bytes([l0, l1, l2, l3]));
        Some(self.window(ptr, len)?.to_vec())
    }

    /// These bytes of its memory, when it has them.
    fn window(&mut self, ptr: u32, len: u32) -> Option<Uint8Array> {
        if self.view.length() == 0 {
            self.view = Uint8Array::new(&self.memory.buffer());
        }
        // `subarray` shortens what lies outside instead of throwing.
        let window = self.view.subarray(ptr, ptr.checked_add(len)?);
        (window.length() == len).then_some(window)
    }

    fn trapped(&mut self, thrown: &JsValue) -> Trap {
        trap(thrown, self.left_at())
    }

    /// A guest that breaks the ABI is as good as trapped.
    fn lied(&mut self, detail: &str) -> Trap {
        Trap { detail: detail.into(), progress: self.left_at() }
    }

    fn left_at(&mut self) -> u64 {
        let mut word = [0; 8];
        if let Some(window) = self.window(self.progress, 8) {
            window.copy_to(&mut word);
        }
        u64::from_le_bytes(word)
    }
}

fn trap(thrown: &JsValue, progress: u64) -> Trap {
    Trap { detail: message_of(thrown), progress }
}
