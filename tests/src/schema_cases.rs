//! The official tests of JSON Schema, draft 2020-12, the required part, as cases to be asked.
//!
//! Owns getting them: they lie in the source distribution of PyPI's `jsonschema`, of one version
//! and one hash, and are unpacked below `target`. Refuses to know who is asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::scratch::target;

/// How pip is asked for it.
const PACKAGE: &str = "jsonschema==4.26.0 \
    --hash=sha256:0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326";
const NAME: &str = "jsonschema-4.26.0";

/// One payload, and whether its schema is fulfilled.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file's name, without its ending.
    pub file: String,
    /// What the group that shares the schema is about.
    pub group: String,
    /// What this payload is about.
    pub test: String,
    /// A schema document.
    pub schema: String,
    /// A JSON text.
    pub payload: String,
    /// Whether it is as the schema asks.
    pub valid: bool,
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{wrong}");
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// Where the tests are; they are fetched when they are not there, by whoever asks first.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(fetched)
}

fn fetched() -> PathBuf {
    let unpacked = target().join("json-schema-tests");
    if !unpacked.exists() {
        // Moved when it is complete: an interrupted installation is begun anew.
        let new = target().join("json-schema-tests.new");
        fs::create_dir_all(&new).unwrap_or_else(|e| panic!("{}: {e}", new.display()));
        let wanted = new.join("wanted.txt");
        write(&wanted, PACKAGE);
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--no-binary", "jsonschema", "--require-hashes", "--dest"]).arg(&new);
        run(pip.arg("--requirement").arg(&wanted));
        let mut tar = Command::new("python3");
        tar.args(["-m", "tarfile", "--extract"]).arg(new.join(format!("{NAME}.tar.gz")));
        run(tar.arg(&new));
        fs::rename(&new, &unpacked).unwrap_or_else(|e| panic!("{}: {e}", unpacked.display()));
    }
    unpacked.join(NAME).join("json/tests/draft2020-12")
}

/// A member that is a string.
fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}")).into()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no array: {value}"))
}

/// All cases, in the order of their files.
///
/// # Panics
/// When they can not be fetched or read.
pub fn cases() -> Vec<Case> {
    let folder = folder();
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort_unstable();
    let mut cases = Vec::new();
    for path in paths {
        let all = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let all: Value = serde_json::from_slice(&all).unwrap_or_else(|e| panic!("{e}"));
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for group in list(&all) {
            for test in list(&group["tests"]) {
                cases.push(Case {
                    file: file.clone(),
                    group: text(group, "description"),
                    test: text(test, "description"),
                    schema: group["schema"].to_string(),
                    payload: test["data"].to_string(),
                    valid: test["valid"].as_bool().unwrap_or_else(|| panic!("no verdict: {test}")),
                });
            }
        }
    }
    cases
}
