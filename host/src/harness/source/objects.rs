//! Which of the files below a state directory, of wrangler or workerd, has a partition's log.
//!
//! Owns how a Durable Object's file is named, and the search. Refuses to write there.
//!
//! An object's file is `<key of the class>/<id>.sqlite`, and its id follows from that key and the
//! name that the Worker calls it by, which is the partition's. Where another Worker named it
//! otherwise, the name in genesis tells.

use std::path::{Path, PathBuf};

use foldlog_core::chain::{hex, inner, sha256};
use foldlog_core::commit::Genesis;
use foldlog_core::webhook::hmac_sha256;

use super::file;

/// wrangler's state has `v3/do/<key>` in it.
const DEPTH_MAX: u32 = 5;
const ID_CHARS: usize = 64;

/// The file of the object that has the partition; `None` when there are no objects at all.
pub fn find(directory: &Path, partition: &str) -> Result<Option<PathBuf>, String> {
    let mut files = Vec::new();
    collect(directory, DEPTH_MAX, &mut files);
    files.sort_unstable();
    if files.is_empty() {
        return Ok(None);
    }
    if let Some(file) = files.iter().find(|file| is_named(file, partition)) {
        return Ok(Some(file.clone()));
    }
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for file in files {
        found.extend(partition_in(&file)?.map(|name| (name, file)));
    }
    let here = directory.display();
    let mut matching = found.iter().filter(|(name, _)| name == partition);
    match (matching.next(), matching.next()) {
        (Some((_, file)), None) => Ok(Some(file.clone())),
        (Some((_, one)), Some((_, other))) => Err(format!(
            "{here} has several objects with a log of partition `{partition}`: name the file, {} or {}",
            one.display(),
            other.display()
        )),
        _ => {
            found.sort_unstable();
            let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            let there = if names.is_empty() { "no log at all".into() } else { names.join(", ") };
            Err(format!("{here} has no object with partition `{partition}`; it has {there}"))
        }
    }
}

/// Whether the object is the one that a Worker calls by this name.
fn is_named(file: &Path, name: &str) -> bool {
    let key = file.parent().and_then(Path::file_name).and_then(|key| key.to_str());
    let id = file.file_stem().and_then(|id| id.to_str());
    let Some((key, id)) = key.zip(id) else { return false };
    let key = sha256(&[key.as_bytes()]);
    // The platform's rule: the second half vouches for the first one.
    let half =
        |of: &[u8]| hmac_sha256(&key, &[of]).first_chunk::<16>().copied().unwrap_or_default();
    let first = half(name.as_bytes());
    id == hex(&[first, half(&first)].concat())
}

fn collect(directory: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, found);
            }
        } else if is_object(&path) {
            found.push(path);
        }
    }
}

fn is_object(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let id = name.strip_suffix(".sqlite").unwrap_or_default();
    id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The partition that a log says it is of, if the file has one.
fn partition_in(path: &Path) -> Result<Option<String>, String> {
    let (raw, _copy) = file::connect(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let sql = "SELECT body FROM log WHERE first_position = 0";
    // Objects of other classes have no such table.
    let body = raw.query_row(sql, [], |row| row.get::<_, String>(0)).ok();
    let name = body.and_then(|body| Some(Genesis::parse(inner(&body)).ok()?.partition.to_string()));
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objects_id_follows_from_its_name() {
        let id = "2284f54541045ecb7a0d815411b02a827d75e9e7befb969ae6eaa4bfd5bcb2f4";
        let file = PathBuf::from(format!("state/foldlog-Partition/{id}.sqlite"));
        assert!(is_object(&file) && is_named(&file, "main") && !is_named(&file, "copy"));
        assert!(!is_object(Path::new("state/foldlog-Partition/metadata.sqlite")));
    }
}
