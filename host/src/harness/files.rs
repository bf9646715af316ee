//! `foldlog export --layout files`: an event a file, `data/<topic>/<day>/<group>/<event id>.json`.
//!
//! Owns that tree: days are UTC, a group holds a topic's events 1 to 1,000, 1,001 to 2,000 and so
//! on, and a file is what `GET /topics/{topic}/events` shows of the event. Whatever a log from
//! elsewhere calls things, no name leads out of the tree.
//!
//! Invariants: memory does not grow with the log, but with the number of its topics; a file that is
//! there is never written over. One that says something else ends it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use foldlog_core::http::{Form, push_record};
use foldlog_core::ids;
use foldlog_core::record::{Decoded, Record};

use super::commits;
use super::progress::Progress;
use super::source::Source;
use crate::cli::{Export, print};
use crate::json::Object;

/// Events of a topic in one folder.
const GROUP: u64 = 1_000;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files.
    pub written: u64,
    /// Files that were there already.
    pub there: u64,
}

/// Writes it and tells how much.
pub fn run(source: &Source, dir: &Path, export: &Export) -> Result<ExitCode, String> {
    let Written { written, there } = write(source, dir, export.all_topics)?;
    if export.place.json {
        let object = Object::default().token("written", written).token("there", there);
        print(&object.end());
    } else {
        print(&format!("files     {written} written, {there} were there"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a source's events below a directory: those of topics, or of all of them, the read-only
/// ones too.
pub fn write(source: &Source, dir: &Path, all_topics: bool) -> Result<Written, String> {
    let genesis = commits::genesis(source)?;
    let progress = Progress::new(source.head()?);
    let mut tree = Tree { data: dir.join("data"), ..Tree::default() };
    let chain = commits::checked(source, &genesis, &mut |line| {
        let room = Decoded::room(line.commit);
        for record in Record::all(line.commit, line.time, &room) {
            tree.take(&record, all_topics)?;
            progress.at(record.position);
        }
        Ok(())
    });
    progress.end();
    chain.map(|_| tree.written)
}

#[derive(Debug, Default)]
struct Tree {
    data: PathBuf,
    /// Events so far of each topic that does not number its own.
    counts: BTreeMap<String, u64>,
    /// Folders that are known to be there, by topic: the last one of each.
    folders: BTreeMap<String, PathBuf>,
    written: Written,
}

impl Tree {
    fn take(&mut self, record: &Record<'_>, all_topics: bool) -> Result<(), String> {
        let (topic, number) = match record.aggregate_type {
            ids::TOPIC => (record.aggregate_id.to_string(), record.event.version),
            _ if !all_topics => return Ok(()),
            kind => {
                let topic = format!("@{kind}");
                let count = self.counts.entry(topic.clone()).or_default();
                *count += 1;
                (topic, *count)
            }
        };
        let mut day = String::new();
        record.time.push_day(&mut day);
        let group = number.saturating_sub(1) / GROUP;
        let folder = self.data.join(name(&topic)).join(day).join(format!("{group:04}"));
        let failed = |path: &Path, e: io::Error| format!("{}: {e}", path.display());
        if self.folders.get(&topic) != Some(&folder) {
            std::fs::create_dir_all(&folder).map_err(|e| failed(&folder, e))?;
            self.folders.insert(topic, folder.clone());
        }
        let mut event = String::new();
        push_record(&mut event, "", record, Form::Topic);
        event.push('\n');
        let path = folder.join(format!("{}.json", name(&record.id())));
        match std::fs::read(&path) {
            Ok(there) if there == event.as_bytes() => {
                self.written.there += 1;
                Ok(())
            }
            Ok(there) if !event.as_bytes().starts_with(&there) => Err(format!(
                "{}: it is there and says something else: another log's?",
                path.display()
            )),
            // None, or the beginning of it, left by an export that was cut off.
            _ => {
                self.written.written += 1;
                std::fs::write(&path, &event).map_err(|e| failed(&path, e))
            }
        }
    }
}

/// A name of a log as the name of one file or folder, whatever it is. Names that Foldlog gives or
/// accepts stay as they are, but for a leading dot.
fn name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-' | b'@');
        if plain || (byte == b'.' && index > 0) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn no_name_leads_anywhere_else() {
        for (text, expected) in [
            ("user-events", "user-events"),
            ("a.b_c", "a.b_c"),
            ("@Issue", "@Issue"),
            ("..", "%2E."),
            (".", "%2E"),
            ("/etc", "%2Fetc"),
            ("a/../b", "a%2F..%2Fb"),
            ("ä\0", "%C3%A4%00"),
            ("%2F", "%252F"),
        ] {
            assert_eq!(name(text), expected);
        }
    }
}
