//! The tree itself: layout, lengths, headers, reasons. A rule without a test here is no rule.
//!
//! Owns the lists of what may be where. Looks at what git tracks or would track, never at what
//! was built. `source` blanks comments and strings, so that words in them do not count.

mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use source::{Function, blanked, functions, unstable_fields};

/// What the root may hold; dotfiles besides.
const ROOT: [&str; 16] = [
    "Cargo.toml",
    "core",
    "wasm",
    "host",
    "wrangler.toml",
    "tests",
    "README.md",
    "docs",
    "Cargo.lock",
    "Makefile",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "package.json",
    "package-lock.json",
    "rust-toolchain.toml",
    "rustfmt.toml",
];

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Exemptions from the lengths: file, or file and function; since when; why. At most three.
const EXEMPT: [(&str, &str, &str); 0] = [];

/// Where unsafe code may be.
const UNSAFE: [&str; 2] = ["wasm/guest/src/lib.rs", "host/src/wasm_cache.rs"];

fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
}

/// All files that git tracks or would track.
fn files() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap_or_else(|e| panic!("git starts: {e}"));
    assert!(output.status.success(), "git lists the files of {}", root().display());
    let names =
        String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect::<Vec<_>>();
    let there: Vec<String> = names.into_iter().filter(|name| root().join(name).is_file()).collect();
    assert!(there.len() > 40, "the tree has files: {there:?}");
    there
}

fn named(suffix: &str) -> Vec<(String, String)> {
    let wanted = files().into_iter().filter(|name| name.ends_with(suffix));
    wanted.map(|name| (text(&name), name)).map(|(text, name)| (name, text)).collect()
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

fn exempt(name: &str) -> bool {
    EXEMPT.iter().any(|(what, _, _)| *what == name)
}

#[test]
fn the_root_is_fixed() {
    let entries: BTreeSet<String> =
        files().iter().filter_map(|name| name.split('/').next()).map(String::from).collect();
    let strange: Vec<String> = entries
        .into_iter()
        .filter(|entry| !entry.starts_with('.') && !ROOT.contains(&entry.as_str()))
        .collect();
    assert_none("not at home in the root (DESIGN, layout)", &strange);
}

#[test]
fn every_file_says_what_it_is() {
    let silent = named(".rs").into_iter().filter(|(_, text)| !text.starts_with("//!"));
    assert_none(
        "files that do not open with `//!`",
        &silent.map(|(name, _)| name).collect::<Vec<_>>(),
    );
}

#[test]
fn files_and_functions_are_short() {
    assert!(EXEMPT.len() <= 3, "at most three exemptions");
    let mut long = Vec::new();
    for suffix in [".rs", ".mjs", ".js", ".py", ".sh"] {
        for (name, text) in named(suffix) {
            let lines = text.lines().count();
            if lines > FILE_LINES_MAX && !exempt(&name) {
                long.push(format!("{name}: {lines} lines, at most {FILE_LINES_MAX}"));
            }
        }
    }
    for (name, text) in named(".rs") {
        for Function { name: function, line, lines } in functions(&blanked(&text)) {
            if lines > FUNCTION_LINES_MAX && !exempt(&format!("{name}:{function}")) {
                let most = FUNCTION_LINES_MAX;
                long.push(format!("{name}:{line}: `{function}` has {lines} lines, at most {most}"));
            }
        }
    }
    assert_none("too long", &long);
}

#[test]
fn every_package_takes_the_workspace_lints() {
    let manifests = named("Cargo.toml");
    let members = manifests.iter().filter(|(_, text)| text.contains("[package]"));
    let without = members.filter(|(_, text)| !text.contains("[lints]\nworkspace = true"));
    let without: Vec<String> = without.map(|(name, _)| name.clone()).collect();
    assert_none("manifests without `[lints] workspace = true`", &without);
}

#[test]
fn every_exception_from_a_lint_has_a_reason() {
    let mut bare = Vec::new();
    for (name, text) in named(".rs") {
        let code = blanked(&text);
        for kind in ["allow(", "expect("] {
            for (at, _) in code.match_indices(kind) {
                let attribute = ["#[", "#![", ", "].iter().any(|p| code[..at].ends_with(p));
                let in_attribute =
                    code[..at].rfind('#').is_some_and(|hash| !code[hash..at].contains(']'));
                let end = source::closing(&code, at + kind.len() - 1).unwrap_or(code.len());
                if attribute && in_attribute && !code[at..end].contains("reason") {
                    bare.push(format!("{name}:{}", source::line_of(&code, at)));
                }
            }
        }
    }
    assert_none("`allow` or `expect` without a reason", &bare);
}

#[test]
fn no_example_is_ignored_and_nothing_is_left_to_do() {
    let mut found = Vec::new();
    // Spelled apart, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
    ];
    for suffix in [".rs", ".toml", ".mjs", ".py", ".sh", ".md", "Makefile"] {
        for (name, text) in named(suffix) {
            for (number, line) in text.lines().enumerate() {
                let doc = line.trim_start();
                let ignored = ["//! ```", "/// ```"].iter().any(|start| {
                    doc.strip_prefix(start).is_some_and(|tags| tags.contains("ignore"))
                });
                // In a comment, or as a macro: the state of an issue (document 001) is a string.
                let undone = words.iter().filter_map(|word| line.find(word)).any(|at| {
                    line[..at].contains("//")
                        || line[..at].contains('#')
                        || line[at..].contains("!(")
                });
                if ignored || undone {
                    found.push(format!("{name}:{}: {}", number + 1, doc));
                }
            }
        }
    }
    assert_none("ignored examples, or things left to do", &found);
}

#[test]
fn the_guided_tour_names_modules_that_exist() {
    let tour = text("core/src/lib.rs");
    let modules: Vec<&str> = tour
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod ")))
        .filter_map(|rest| rest.strip_suffix(';'))
        .collect();
    assert!(modules.len() > 10, "{modules:?}");
    let doc: String = tour.lines().take_while(|line| line.starts_with("//!")).collect();
    let mut missing = Vec::new();
    for link in doc.split("[`").skip(1).filter_map(|rest| rest.split('`').next()) {
        let module = link.split("::").next().unwrap_or(link);
        if !modules.contains(&module) {
            missing.push(format!("core/src/lib.rs names `{link}`"));
        }
    }
    assert_none("no such module", &missing);
}

#[test]
fn paths_named_in_documents_exist() {
    let mut missing = Vec::new();
    let tops: BTreeSet<String> =
        files().iter().filter_map(|name| name.split_once('/')).map(|(top, _)| top.into()).collect();
    for (name, text) in named(".md") {
        for token in text.split('`').skip(1).step_by(2) {
            let path = token.split(':').next().unwrap_or(token).trim_end_matches('/');
            let plain = !path.is_empty()
                && path.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
            let top = path.split('/').next().unwrap_or_default();
            if plain && path.contains('/') && tops.contains(top) && !root().join(path).exists() {
                missing.push(format!("{name} names `{token}`"));
            }
        }
    }
    assert_none("no such path", &missing);
}

#[test]
fn every_dependency_says_why() {
    let mut silent = Vec::new();
    for (name, text) in named("Cargo.toml") {
        let mut within = false;
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            if line.starts_with('[') {
                within = line.contains("dependencies") && !line.contains("dependencies.");
                continue;
            }
            let dependency = within && line.contains('=') && !line.starts_with(['#', ' ', ']']);
            let ours = ["workspace = true", "path = "].iter().any(|word| line.contains(word));
            let why = index > 0 && lines[index - 1].starts_with('#');
            if dependency && !ours && !why {
                silent.push(format!("{name}:{}: {line}", index + 1));
            }
        }
    }
    assert_none("dependencies without a comment right above", &silent);
}

#[test]
fn unsafe_code_is_where_it_is_said_to_be() {
    let word = concat!("un", "safe");
    let mut found = Vec::new();
    for (name, text) in
        named(".rs").into_iter().filter(|(name, _)| !UNSAFE.contains(&name.as_str()))
    {
        for (number, line) in blanked(&text).lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if words.any(|w| w == word) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none("unsafe code elsewhere than in the two files that may have it", &found);
}

#[test]
fn what_is_stored_or_sent_has_one_width_everywhere() {
    let mut found = Vec::new();
    let mut items = 0;
    for (name, text) in named(".rs").into_iter().filter(|(name, _)| name.starts_with("core/src/")) {
        let (seen, unstable) = unstable_fields(&blanked(&text));
        items += seen;
        found.extend(unstable.into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
    }
    assert!(items > 30, "{items} types that are serialized");
    assert_none("usize, isize or floats in a type that serde writes", &found);
}
