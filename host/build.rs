//! Finds the guest that is built into the binary.

use std::path::Path;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guest = root.join("build/guest.wasm");
    println!("cargo::rerun-if-changed={}", guest.display());
    if guest.is_file() {
        println!("cargo::rustc-env=FOLDLOG_GUEST={}", guest.display());
    } else {
        println!("cargo::error=build/guest.wasm is missing: run `make guest` first");
    }
}
