//! The guest under wasmtime: the driver's ports `Spawn` and `Guest`.
//!
//! Owns the engine's configuration, the ABI on the host's side, the bounds on memory and time.
//! Refuses to know what messages mean, and modules that import anything (law 1).
//!
//! Invariants: every pointer and length that the guest names is checked before it is used; an
//! instance that trapped, or broke the ABI, is never called again (the driver drops it).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use foldlog_core::chain::sha256;
use foldlog_core::driver::{Guest, Spawn, Throttle, Trap};
use foldlog_core::protocol::{ABI_VERSION, Op};
use wasmtime::{
    Config, Engine, FrameInfo, InstancePre, Linker, Memory, Module as Compiled, Store,
    StoreLimitsBuilder, TypedFunc, WasmBacktrace,
};

use crate::clock::{self, Clock, Held};
use crate::{log, wasm_cache};

/// Folding takes whole pages of blocks, checkpoints all changed rows: seconds mean it hangs.
const LONG_CALL_MS: u64 = 30_000;

/// The guest that was built with this host.
pub const BUILT_IN: &[u8] = include_bytes!(env!("FOLDLOG_GUEST"));

/// What one instance may use.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of its memory.
    pub memory_max: u64,
    /// Milliseconds of one stage; 0 for none, where a person waits and can stop it: the checks for
    /// a deadline cost about a tenth.
    pub stage_ms_max: u64,
}

/// Where guests trapped, as far as it is told: one line each, and not all of a flood.
#[derive(Clone, Debug, Default)]
struct Traces(Arc<Mutex<Throttle>>);

/// Functions of a trace that are told, the innermost first.
const FRAMES_MAX: usize = 12;

impl Traces {
    fn tell(&self, detail: &str, error: &wasmtime::Error) {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let micros = BEGAN.get_or_init(Instant::now).elapsed().as_micros();
        let mut throttle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = throttle.take(u64::try_from(micros).unwrap_or(u64::MAX));
        let Some(left_out) = left_out else { return };
        let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
        let name = |frame: &FrameInfo| frame.func_name().unwrap_or("?").to_string();
        let at: Vec<String> = frames.iter().take(FRAMES_MAX).map(name).collect();
        let line = log::error("guest trapped").with("detail", detail).with("in", at.join(" < "));
        if left_out > 0 { line.with("leftOut", left_out) } else { line }.write();
    }
}

/// A compiled module. Clones share the code.
#[derive(Clone)]
pub struct Module {
    pre: InstancePre<Held>,
    digest: [u8; 32],
    bounds: Bounds,
    traces: Traces,
    /// Given when calls are bounded in time.
    clock: Option<Arc<Clock>>,
    gives_way: bool,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

fn engine(deadlines: bool) -> Result<Engine, String> {
    let mut config = Config::new();
    config
        .epoch_interruption(deadlines)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false);
    Engine::new(&config).map_err(|e| format!("wasmtime does not run on this machine: {e}"))
}

impl Module {
    /// Compiles a module, or takes the compiled form that an earlier run left on disk.
    pub fn load(bytes: &[u8], bounds: Bounds) -> Result<Self, String> {
        let digest = sha256(&[bytes]);
        let engine = engine(bounds.stage_ms_max > 0)?;
        let compiled = wasm_cache::compile(&engine, bytes, &digest)?;
        Self::of(&engine, &compiled, digest, bounds)
    }

    fn of(
        engine: &Engine,
        compiled: &Compiled,
        digest: [u8; 32],
        bounds: Bounds,
    ) -> Result<Self, String> {
        let imports = compiled.imports();
        let imports =
            imports.map(|import| format!("`{}` from `{}`", import.name(), import.module()));
        let imports: Vec<String> = imports.collect();
        if !imports.is_empty() {
            return Err(format!(
                "it imports {}: a guest imports nothing, so this is not one",
                imports.join(", ")
            ));
        }
        let pre = Linker::new(engine).instantiate_pre(compiled).map_err(|e| e.to_string())?;
        let clock = (bounds.stage_ms_max > 0).then(|| Clock::start(engine)).transpose()?;
        let (traces, gives_way) = (Traces::default(), false);
        let module = Self { pre, digest, bounds, traces, clock, gives_way };
        // Tells at the start, not at the first request, that the module has another ABI.
        Instance::new(&module).map_err(|trap| trap.detail)?;
        Ok(module)
    }

    /// The same for calls that let other threads go first.
    pub fn giving_way(&self) -> Self {
        Self { gives_way: true, ..self.clone() }
    }
}

impl Spawn for Module {
    type Guest = Instance;

    fn spawn(&mut self) -> Result<Instance, Trap> {
        Instance::new(self)
    }

    fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// One instance; its memory is freed with it.
pub struct Instance {
    store: Store<Held>,
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    call: TypedFunc<(u32, u32, u32), u32>,
    /// Address of the progress word: after a trap the guest is not asked any more.
    progress: u32,
    stage_ms_max: u64,
    /// `Supply` continues a fold, not a stage.
    folding: bool,
    traces: Traces,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("folding", &self.folding).finish_non_exhaustive()
    }
}

impl Instance {
    fn new(module: &Module) -> Result<Self, Trap> {
        let limits = StoreLimitsBuilder::new()
            .memory_size(usize::try_from(module.bounds.memory_max).unwrap_or(usize::MAX))
            .instances(1)
            .memories(1)
            .tables(1)
            .trap_on_grow_failure(true)
            .build();
        let way = module.clock.clone().filter(|_| module.gives_way);
        let mut store = Store::new(module.pre.module().engine(), Held::new(limits, way));
        store.limiter(|held| &mut held.limits);
        clock::watch(&mut store);
        clock::begin(&mut store, Duration::from_millis(LONG_CALL_MS));
        let broken = |e: wasmtime::Error| early(&format!("the guest can not be started: {e}"));
        let instance = module.pre.instantiate(&mut store).map_err(broken)?;
        let memory = instance.get_memory(&mut store, "memory");
        let memory = memory.ok_or_else(|| early("the guest exports no memory"))?;
        let version = instance.get_typed_func::<(), u32>(&mut store, "abi_version");
        let version = version.and_then(|f| f.call(&mut store, ())).map_err(broken)?;
        if version != ABI_VERSION {
            let detail = format!(
                "the guest speaks ABI {version}, this host {ABI_VERSION}: build both from one source"
            );
            return Err(early(&detail));
        }
        let alloc = instance.get_typed_func(&mut store, "alloc").map_err(broken)?;
        let call = instance.get_typed_func(&mut store, "call").map_err(broken)?;
        let progress = instance.get_typed_func::<(), u32>(&mut store, "progress");
        let progress = progress.and_then(|f| f.call(&mut store, ())).map_err(broken)?;
        let stage_ms_max = module.bounds.stage_ms_max;
        Ok(Self {
            store,
            memory,
            alloc,
            call,
            progress,
            stage_ms_max,
            folding: false,
            traces: module.traces.clone(),
        })
    }

    /// Bytes of its memory. It never shrinks: this is also the most that it had.
    pub fn memory_bytes(&self) -> usize {
        self.memory.data_size(&self.store)
    }

    /// Writes the message into a buffer of the guest's, or nothing for an empty one.
    fn write(&mut self, message: &[u8]) -> Result<(u32, u32), Trap> {
        if message.is_empty() {
            return Ok((0, 0));
        }
        let len = u32::try_from(message.len()).map_err(|_| self.lied("a message beyond 4 GB"))?;
        let ptr = self.alloc.call(&mut self.store, len).map_err(|e| self.trapped(&e))?;
        if ptr == 0 {
            return Err(self.lied(&format!("no room for a message of {len} bytes")));
        }
        let start = ptr as usize;
        match self.memory.data_mut(&mut self.store).get_mut(start..start + message.len()) {
            Some(room) => room.copy_from_slice(message),
            None => return Err(self.lied("alloc gave what it has not")),
        }
        Ok((ptr, len))
    }

    /// The result that the 8 bytes at `header` point to.
    fn result(&self, header: u32) -> Option<Vec<u8>> {
        let data = self.memory.data(&self.store);
        let (words, _) = data.get(header as usize..)?.split_first_chunk::<8>()?;
        let [p0, p1, p2, p3, l0, l1, l2, l3] = *words;
        let ptr = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        Some(data.get(ptr..ptr.checked_add(len)?)?.to_vec())
    }

    fn left_at(&self) -> u64 {
        let data = self.memory.data(&self.store).get(self.progress as usize..);
        let word = data.and_then(|data| data.first_chunk::<8>());
        word.map_or(0, |word| u64::from_le_bytes(*word))
    }

    /// What the driver is told is short; where it happened is for the host's log alone.
    fn trapped(&self, error: &wasmtime::Error) -> Trap {
        let detail = match error.downcast_ref::<wasmtime::Trap>() {
            Some(wasmtime::Trap::Interrupt) => "it took too long".to_string(),
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        self.traces.tell(&detail, error);
        Trap { detail, progress: self.left_at() }
    }

    /// A guest that breaks the ABI is as good as trapped.
    fn lied(&self, detail: &str) -> Trap {
        Trap { detail: detail.into(), progress: self.left_at() }
    }
}

impl Guest for Instance {
    fn call(&mut self, op: Op, message: &[u8]) -> Result<Vec<u8>, Trap> {
        match op {
            Op::Fold => self.folding = true,
            Op::Stage => self.folding = false,
            _ => {}
        }
        let staging = matches!(op, Op::Stage | Op::Commit | Op::Rollback)
            || (op == Op::Supply && !self.folding);
        let limit_ms = if staging { self.stage_ms_max } else { LONG_CALL_MS };
        clock::begin(&mut self.store, Duration::from_millis(limit_ms));
        let (ptr, len) = self.write(message)?;
        let call = |store: &mut Store<Held>| self.call.call(store, (op as u32, ptr, len));
        let header = clock::during(&mut self.store, call);
        let header = header.map_err(|e| self.trapped(&e))?;
        self.result(header).ok_or_else(|| self.lied("a result outside its memory"))
    }
}

/// Before there is a progress word.
fn early(detail: &str) -> Trap {
    Trap { detail: detail.into(), progress: 0 }
}
