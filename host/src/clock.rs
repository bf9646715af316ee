//! The clock of guests' calls: what stops a call that takes too long, and has a long read give way.
//!
//! Owns one thread that moves the engine's epoch on. Refuses to know what is called.
//!
//! The scheduler leaves a thread that computes on its processor for some milliseconds although
//! others wait, whatever their priorities. While reads are answered beside a writer, the clock
//! therefore ticks faster, and at each tick the reader lets others go first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use wasmtime::{Engine, Store, StoreContextMut, StoreLimits, UpdateDeadline};

/// How often it ticks: so much later a call that takes too long may be stopped.
const TICK: Duration = Duration::from_millis(10);
/// How often while someone gives way: so long a command may wait for a read at each step.
const SHORT_TICK: Duration = Duration::from_millis(1);

/// The thread, as those see it who give way.
#[derive(Debug)]
pub struct Clock {
    thread: Thread,
    /// How many calls are under way that give way.
    giving_way: Arc<AtomicU32>,
}

/// What a store holds for its calls.
#[derive(Debug)]
pub struct Held {
    /// Bounds on memory.
    pub limits: StoreLimits,
    /// When the call under way is stopped.
    until: Instant,
    /// Given for calls that give way.
    way: Option<Arc<Clock>>,
}

impl Clock {
    /// Moves the engine's epoch on for as long as the engine lives.
    pub fn start(engine: &Engine) -> Result<Arc<Self>, String> {
        let engine = engine.weak();
        let giving_way = Arc::new(AtomicU32::new(0));
        let count = giving_way.clone();
        let thread = std::thread::Builder::new().name("ticker".into()).spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                let short = count.load(Ordering::Relaxed) > 0;
                std::thread::park_timeout(if short { SHORT_TICK } else { TICK });
            }
        });
        let thread = thread.map_err(|e| format!("no thread for the guest's clock: {e}"))?;
        Ok(Arc::new(Self { thread: thread.thread().clone(), giving_way }))
    }
}

impl Held {
    /// For a store whose calls give way by this clock, or do not.
    pub fn new(limits: StoreLimits, way: Option<Arc<Clock>>) -> Self {
        Self { limits, until: Instant::now(), way }
    }
}

/// Has the clock look after the calls of a store.
pub fn watch(store: &mut Store<Held>) {
    store.epoch_deadline_callback(|held: StoreContextMut<'_, Held>| {
        let held = held.data();
        if Instant::now() >= held.until {
            return Ok(UpdateDeadline::Interrupt);
        }
        if held.way.is_some() {
            std::thread::yield_now();
        }
        Ok(UpdateDeadline::Continue(1))
    });
}

/// From now on the store's calls may take so long.
pub fn begin(store: &mut Store<Held>, time: Duration) {
    store.data_mut().until = Instant::now() + time;
    store.set_epoch_deadline(1);
}

/// Makes a call, at a faster clock if it gives way.
pub fn during<R>(store: &mut Store<Held>, call: impl FnOnce(&mut Store<Held>) -> R) -> R {
    let Some(clock) = store.data().way.clone() else { return call(store) };
    if clock.giving_way.fetch_add(1, Ordering::Relaxed) == 0 {
        clock.thread.unpark();
    }
    let result = call(store);
    clock.giving_way.fetch_sub(1, Ordering::Relaxed);
    result
}
