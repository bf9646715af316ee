//! The published contract, checked by validators not written by us, and against every transcript.
//!
//! Owns running them: npm's @seriousme/openapi-schema-validator, PyPI's openapi-spec-validator
//! (installed at a pinned version), and ajv over all requests and answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use foldlog_tests::hosts::Kind;
use foldlog_tests::scratch::{Scratch, built, root};
use serde_json::json;

use super::transcripts::{Exchange, exchanges};

const PYTHON_VALIDATOR: &str = "openapi-spec-validator==0.9.0";

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn node(script: &str, arguments: &[&Path]) {
    built(root().join("node_modules/ajv"), "setup");
    let mut command = Command::new(root().join("wasm/node"));
    run(command.arg(root().join("tests/openapi").join(script)).args(arguments));
}

/// The document as the host in process publishes it; the transcripts hold it equal on all hosts.
fn document(dir: &Scratch) -> PathBuf {
    let mut all = exchanges(Kind::InProcess).iter();
    let found = all.find(|e| e.request.target == "/openapi.json" && e.answer.status == 200);
    let body = found.map(|exchange| exchange.answer.body.clone()).unwrap_or_default();
    let path = dir.path().join("openapi.json");
    fs::write(&path, body).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    path
}

#[test]
fn the_document_is_valid_for_npms_validator() {
    let dir = Scratch::new("openapi");
    node("document.mjs", &[&document(&dir)]);
}

#[test]
fn the_document_is_valid_for_pypis_validator() {
    let dir = Scratch::new("openapi");
    let mut python = foldlog_tests::python::with(PYTHON_VALIDATOR);
    run(python.args(["-m", "openapi_spec_validator"]).arg(document(&dir)));
}

fn line(exchange: &Exchange) -> String {
    let Exchange { place, request, answer } = exchange;
    let line = json!({
        "place": place,
        "method": request.method,
        "target": request.target,
        "headers": request.headers,
        "requestBody": String::from_utf8_lossy(&request.body),
        "status": answer.status,
        "answerHeaders": answer.headers,
        "body": answer.text(),
    });
    format!("{line}\n")
}

fn all_fit(kind: Kind) {
    let dir = Scratch::new("openapi");
    let dump = dir.path().join("exchanges.jsonl");
    // Large bodies of one kind prove nothing more and take long to compare.
    let small = exchanges(kind).iter().filter(|exchange| exchange.request.body.len() < 100_000);
    let lines: String = small.map(line).collect();
    fs::write(&dump, lines).unwrap_or_else(|e| panic!("{}: {e}", dump.display()));
    node("exchanges.mjs", &[&document(&dir), &dump]);
}

#[test]
fn all_transcripts_fit_the_document_in_process() {
    all_fit(Kind::InProcess);
}

#[test]
fn all_transcripts_fit_the_document_on_native() {
    all_fit(Kind::Native);
}

#[test]
fn all_transcripts_fit_the_document_on_the_worker() {
    all_fit(Kind::Worker);
}
