//! The guest's ABI: how a host passes bytes in and gets bytes out. Nothing else.
//!
//! Owns memory: buffers handed to the host, the last result, the cap on what may be allocated.
//! Refuses to know what the bytes mean, but for the one setting in `open` that is the cap.
//!
//! A module is a crate that calls [`export!`] once with its registry: `wasm/standard` is the one
//! of the domains shipped here, `tests/example-domain` one of a user's own.
//!
//! The module imports nothing. Exports:
//!
//! | export | meaning |
//! |---|---|
//! | `memory` | the linear memory |
//! | `abi_version() -> i32` | the host refuses any number but its own |
//! | `alloc(len) -> ptr` | a buffer for a message; 0 when refused |
//! | `free(ptr, len)` | gives a buffer back unused |
//! | `call(op, ptr, len) -> ptr` | runs an operation on a buffer, which it consumes; the result is the address of two little-endian u32, address and length of the answer, valid until the next call |
//! | `progress() -> ptr` | address of a little-endian u64 that a host may read after a trap |
//!
//! The only unsafe code of the repository's own is here: exporting names, and the allocator.
#![expect(unsafe_code, reason = "exported names and the global allocator need it; see each use")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldlog_core::engine::PROGRESS;
use foldlog_core::guest::Guest;
use foldlog_core::protocol::{ABI_VERSION, Op, Open};
pub use foldlog_core::registry::Registry;

/// The system's allocator, refusing what would pass the cap. A refusal traps.
#[derive(Debug)]
pub struct Capped;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static CAP: AtomicUsize = AtomicUsize::new(usize::MAX);

impl Capped {
    fn admits(more: usize) -> bool {
        ALLOCATED.load(Ordering::Relaxed).saturating_add(more) <= CAP.load(Ordering::Relaxed)
    }
}

// SAFETY: every request goes to `System` unchanged or is refused with null, which the trait allows.
unsafe impl GlobalAlloc for Capped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !Self::admits(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises about `layout` are passed on.
        let pointer = unsafe { System.alloc(layout) };
        if !pointer.is_null() {
            ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises about `pointer` and `layout` are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !Self::admits(new_size.saturating_sub(layout.size())) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are passed on.
        let moved = unsafe { System.realloc(pointer, layout, new_size) };
        if !moved.is_null() {
            ALLOCATED.fetch_add(new_size, Ordering::Relaxed);
            ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        moved
    }
}

/// The allocator of every module; other targets that link this keep theirs.
#[cfg_attr(target_arch = "wasm32", global_allocator)]
pub static ALLOCATOR: Capped = Capped;

/// What lives between calls.
struct Module {
    /// Made by the first call, which brings the registry.
    guest: Option<Guest>,
    /// Buffers handed out and not yet used: a pointer that is not among them is refused.
    buffers: Vec<Vec<u8>>,
    result: Vec<u8>,
    header: Box<[u32; 2]>,
}

thread_local! {
    static MODULE: RefCell<Module> = RefCell::new(Module {
        guest: None,
        buffers: Vec::new(),
        result: Vec::new(),
        header: Box::new([0; 2]),
    });
}

fn address<T: ?Sized>(pointer: *const T) -> u32 {
    // Addresses have 32 bits on wasm32.
    u32::try_from(pointer.cast::<u8>().addr()).unwrap_or_default()
}

impl Module {
    fn take_buffer(&mut self, pointer: u32) -> Option<Vec<u8>> {
        let index = self.buffers.iter().position(|buffer| address(buffer.as_ptr()) == pointer)?;
        Some(self.buffers.swap_remove(index))
    }

    fn call(&mut self, op: u32, pointer: u32, len: u32, registry: fn() -> Registry) -> u32 {
        let buffer = self.take_buffer(pointer).unwrap_or_default();
        // A wrong pointer or length becomes a message too short to decode, and so an error code.
        let message =
            usize::try_from(len).ok().and_then(|len| buffer.get(..len)).unwrap_or_default();
        if op == Op::Open as u32 {
            let cap =
                postcard::from_bytes::<Open>(message).map(|open| open.settings.guest_memory_max);
            let cap = cap.ok().and_then(|cap| usize::try_from(cap).ok());
            CAP.store(cap.unwrap_or(usize::MAX), Ordering::Relaxed);
        }
        let guest = self.guest.get_or_insert_with(|| Guest::new(registry()));
        self.result = guest.call(op, message);
        let len = u32::try_from(self.result.len()).unwrap_or_default();
        *self.header = [address(self.result.as_ptr()), len].map(u32::to_le);
        address(self.header.as_ptr())
    }
}

/// Makes a crate a module: exports the ABI, over the registry that the named function returns.
///
/// On other targets than wasm32 nothing is exported, so that the crate's tests link as any other's.
// SAFETY (all exports): the names are the module's own; nothing else is linked into it.
#[macro_export]
macro_rules! export {
    ($registry:path) => {
        const _: fn() -> $crate::Registry = $registry;
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[unsafe(no_mangle)]
            extern "C" fn abi_version() -> u32 {
                $crate::abi_version()
            }
            #[unsafe(no_mangle)]
            extern "C" fn alloc(len: u32) -> u32 {
                $crate::alloc(len)
            }
            #[unsafe(no_mangle)]
            extern "C" fn free(pointer: u32, len: u32) {
                $crate::free(pointer, len);
            }
            #[unsafe(no_mangle)]
            extern "C" fn call(op: u32, pointer: u32, len: u32) -> u32 {
                $crate::call(op, pointer, len, $registry)
            }
            #[unsafe(no_mangle)]
            extern "C" fn progress() -> u32 {
                $crate::progress()
            }
        };
    };
}

/// See the table above.
pub fn abi_version() -> u32 {
    ABI_VERSION
}

/// See the table above.
pub fn alloc(len: u32) -> u32 {
    let mut buffer = Vec::new();
    let len = usize::try_from(len).unwrap_or(usize::MAX).max(1);
    if !Capped::admits(len) || buffer.try_reserve_exact(len).is_err() {
        return 0;
    }
    buffer.resize(len, 0);
    let pointer = address(buffer.as_ptr());
    MODULE.with_borrow_mut(|module| module.buffers.push(buffer));
    pointer
}

/// See the table above.
pub fn free(pointer: u32, _len: u32) {
    MODULE.with_borrow_mut(|module| drop(module.take_buffer(pointer)));
}

/// See the table above.
pub fn call(op: u32, pointer: u32, len: u32, registry: fn() -> Registry) -> u32 {
    MODULE.with_borrow_mut(|module| module.call(op, pointer, len, registry))
}

/// See the table above.
pub fn progress() -> u32 {
    address(&raw const PROGRESS)
}
