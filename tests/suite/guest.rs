//! The built guest: it imports nothing (law 1), caps its own memory, exports the ABI and no more.
//!
//! Owns a reading of the module's sections by hand, so that no engine's leniency stands between
//! the bytes and the claim. <https://webassembly.github.io/spec/core/binary/modules.html>

use std::fs;

use foldlog_tests::scratch::{built, root};

const IMPORT: u8 = 2;
const MEMORY: u8 = 5;
const EXPORT: u8 = 7;
/// 64 KiB each: 64 MiB.
const PAGES_MAX: u64 = 1024;

/// An unsigned LEB128 number at the start of `bytes`, taken off.
fn number(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = bytes.split_first().expect("a number");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], len: u64) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(usize::try_from(len).expect("a length"));
    *bytes = rest;
    taken
}

/// Number and content of every section.
fn sections(module: &[u8]) -> Vec<(u8, &[u8])> {
    let mut rest = module.strip_prefix(b"\0asm\x01\0\0\0").expect("a module of version 1");
    let mut sections = Vec::new();
    while let Some((&id, after)) = rest.split_first() {
        rest = after;
        let len = number(&mut rest);
        sections.push((id, take(&mut rest, len)));
    }
    sections
}

#[test]
fn the_guest_imports_nothing_and_exports_its_abi() {
    for name in ["guest.wasm", "guest-faults.wasm", "lending/guest.wasm"] {
        let module = fs::read(built(root().join("build").join(name), "test")).expect(name);
        let sections = sections(&module);
        let section =
            |id| sections.iter().find(|(found, _)| *found == id).map(|(_, content)| *content);
        assert_eq!(section(IMPORT).map(|mut content| number(&mut content)), None, "{name} imports");

        let mut memory = section(MEMORY).expect("a memory section");
        assert_eq!(number(&mut memory), 1, "{name}: memories");
        assert_eq!(number(&mut memory), 1, "{name}: the memory must state its maximum");
        let _least = number(&mut memory);
        assert!(number(&mut memory) <= PAGES_MAX, "{name}: pages");

        let mut exports = section(EXPORT).expect("an export section");
        let mut names: Vec<String> = (0..number(&mut exports))
            .map(|_| {
                let len = number(&mut exports);
                let name = String::from_utf8_lossy(take(&mut exports, len)).into_owned();
                let _kind = take(&mut exports, 1);
                let _index = number(&mut exports);
                name
            })
            .filter(|name| !name.starts_with("__"))
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["abi_version", "alloc", "call", "free", "memory", "progress"], "{name}");
    }
}
