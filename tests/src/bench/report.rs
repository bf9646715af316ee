//! The report: repeats both sides of a comparison in turns, takes medians, prints aligned tables,
//! and writes the same figures as JSON.
//!
//! Owns: the order of runs, medians, what is known about the machine's disk, the report's shape.
//! Refuses to know: what a side does; it is a closure that gives one figure.
//!
//! Invariant: a ratio is never made of figures that were not measured in turns. The machine drifts
//! (other processes, turbo, the disk's mood), and only neighbours in time compare.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// How often each side of a comparison runs.
pub const RUNS: usize = 5;
/// How many fsyncs the disk's figure is the median of.
const FSYNCS: usize = 200;
/// What one of them makes durable: a page of SQLite.
const FSYNC_BYTES: usize = 4096;
/// How long the processors are watched before anything runs.
const WATCH: Duration = Duration::from_millis(500);
/// Above this share of one processor the report warns. With both of two processors taken by
/// neighbours a server lost five sixths of its throughput (1,500 to 250 commands/s at one
/// connection): a thread that waits for the disk gives up its turn and waits 4 ms for the next.
const BUSY_PERCENT_MAX: u64 = 20;

/// Two sides measured in turns.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The figures of side A, in order of time.
    pub a: Vec<f64>,
    /// The figures of side B; `b[i]` was measured right after `a[i]`.
    pub b: Vec<f64>,
}

impl Pair {
    /// Runs A B A B ... until each side has [`RUNS`] figures.
    ///
    /// # Errors
    /// The first error of either side; figures of a broken run are worth nothing.
    pub fn measure<E>(
        mut a: impl FnMut() -> Result<f64, E>,
        mut b: impl FnMut() -> Result<f64, E>,
    ) -> Result<Self, E> {
        let mut pair = Self { a: Vec::with_capacity(RUNS), b: Vec::with_capacity(RUNS) };
        for _ in 0..RUNS {
            pair.a.push(a()?);
            pair.b.push(b()?);
        }
        Ok(pair)
    }

    /// The median of A over B among neighbours. Unlike the ratio of two medians it never sets a
    /// figure of a quiet minute against one of a busy minute.
    pub fn ratio(&self) -> f64 {
        median(&self.ratios())
    }

    /// A over B, run by run.
    fn ratios(&self) -> Vec<f64> {
        self.a.iter().zip(&self.b).map(|(a, b)| a / b).collect()
    }
}

/// The median; the mean of the middle two of an even number; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len().wrapping_sub(1) / 2), sorted.get(sorted.len() / 2)) {
        (Some(low), Some(high)) => low.midpoint(*high),
        _ => f64::NAN,
    }
}

/// A table of text: the first column is aligned to the left, figures to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub fn new(heads: &[&str]) -> Self {
        Self { rows: vec![heads.iter().map(ToString::to_string).collect()] }
    }

    /// Adds one row; missing cells stay empty.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(line, "{cell:<width$}")?,
                    _ => write!(line, "  {cell:>width$}")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// What one `make bench` found.
pub struct Report {
    machine: Map<String, Value>,
    figures: Map<String, Value>,
    singles: Table,
    pairs: Table,
}

impl Report {
    /// An empty report on a bench whose data lies under `data`; measures its disk.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn new(data: &Path) -> io::Result<Self> {
        let mut machine = Map::new();
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        machine.insert("cpus".into(), json!(cpus));
        machine.insert("busyPercent".into(), json!(busy_percent()));
        machine.insert("fileSystem".into(), json!(file_system(data)));
        machine.insert("fsyncMicros".into(), rounded(fsync_us(data)?));
        Ok(Self {
            machine,
            figures: Map::new(),
            singles: Table::new(&["measured", "median", "unit", "lowest", "highest", "runs"]),
            pairs: Table::new(&["compared", "A", "B", "unit", "A/B", "lowest", "highest"]),
        })
    }

    /// Takes in a figure without a counterpart, measured once or more.
    pub fn single(&mut self, name: &str, unit: &str, values: &[f64]) {
        let (low, high) = span(values);
        self.singles.row(vec![
            name.into(),
            figure(median(values)),
            unit.into(),
            figure(low),
            figure(high),
            values.len().to_string(),
        ]);
        let runs: Vec<Value> = values.iter().copied().map(rounded).collect();
        let value = json!({"unit": unit, "median": rounded(median(values)), "runs": runs});
        self.figures.insert(name.into(), value);
    }

    /// Takes in a comparison.
    pub fn pair(&mut self, name: &str, unit: &str, pair: &Pair) {
        let (low, high) = span(&pair.ratios());
        self.pairs.row(vec![
            name.into(),
            figure(median(&pair.a)),
            figure(median(&pair.b)),
            unit.into(),
            format!("{:.2}", pair.ratio()),
            format!("{low:.2}"),
            format!("{high:.2}"),
        ]);
        let side = |values: &[f64]| -> Value {
            let runs: Vec<Value> = values.iter().copied().map(rounded).collect();
            json!({"median": rounded(median(values)), "runs": runs})
        };
        let ratio = json!({
            "median": rounded(pair.ratio()), "lowest": rounded(low), "highest": rounded(high),
        });
        let value = json!({"unit": unit, "a": side(&pair.a), "b": side(&pair.b), "ratio": ratio});
        self.figures.insert(name.into(), value);
    }

    /// Writes machine and figures as JSON, directories included.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let report = json!({"machine": self.machine, "figures": self.figures});
        File::create(path)?.write_all(format!("{report:#}\n").as_bytes())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |name: &str| self.machine.get(name).cloned().unwrap_or(Value::Null);
        writeln!(
            f,
            "{} processors; data on {}; {} us for 4 KiB and fdatasync (median of {FSYNCS})\n",
            of("cpus"),
            of("fileSystem").as_str().unwrap_or("?"),
            of("fsyncMicros"),
        )?;
        if let Some(busy) = of("busyPercent").as_u64().filter(|&busy| busy > BUSY_PERCENT_MAX) {
            writeln!(f, "WARNING: others kept {busy} % of a processor busy: do not compare\n")?;
        }
        writeln!(f, "{}", self.singles)?;
        write!(f, "{}", self.pairs)
    }
}

/// The lowest and the highest value.
fn span(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::NAN, f64::NAN), |(low, high), &v| (v.min(low), v.max(high)))
}

/// A figure for people: enough digits to compare, none that are noise.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A figure for the file: a thousandth is below any noise, and keeps diffs short.
fn rounded(value: f64) -> Value {
    json!((value * 1e3).round() / 1e3)
}

/// How busy other processes keep this machine, in percent of one processor; this thread sleeps
/// meanwhile. `None` where the kernel does not tell.
fn busy_percent() -> Option<u64> {
    // `cpu user nice system idle ...` in ticks of 10 ms.
    let busy_ticks = || -> Option<u64> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let fields = stat.lines().next()?.split_whitespace().skip(1).take(3);
        fields.map(|field| field.parse::<u64>().ok()).sum()
    };
    let before = busy_ticks()?;
    std::thread::sleep(WATCH);
    let ticks = busy_ticks()?.saturating_sub(before);
    Some(ticks * 1000 / WATCH.as_millis() as u64)
}

/// The type of the file system that holds `path` (`ext4`, `tmpfs`, ...), or `unknown`. Figures from
/// memory and from a disk differ tenfold, so a report has to say which it is.
pub fn file_system(path: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let path = path.canonicalize().unwrap_or_else(|_| path.into());
    let holds = |line: &str| {
        // `36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/root rw`
        let (place, kind) = line.split_once(" - ")?;
        let point = place.split(' ').nth(4)?;
        let kind = kind.split(' ').next()?;
        path.starts_with(point).then(|| (point.len(), kind.to_owned()))
    };
    // The longest mount point wins; of equal ones the last, which hides those before it.
    mounts
        .lines()
        .filter_map(holds)
        .max_by_key(|(length, _)| *length)
        .map_or_else(|| "unknown".into(), |(_, kind)| kind)
}

/// The median time, in microseconds, of writing 4 KiB and making them durable. The file has its
/// full size beforehand, like a WAL after its first round: what grows pays for metadata as well.
///
/// # Errors
/// The directory cannot be written to.
pub fn fsync_us(dir: &Path) -> io::Result<f64> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join("fsync-probe");
    let measured = (|| {
        let file = File::create(&path)?;
        file.write_all_at(&vec![1; FSYNC_BYTES * FSYNCS], 0)?;
        file.sync_all()?;
        let mut times_us = Vec::with_capacity(FSYNCS);
        for i in 0..FSYNCS {
            let started = Instant::now();
            file.write_all_at(&[2; FSYNC_BYTES], (i * FSYNC_BYTES) as u64)?;
            file.sync_data()?;
            times_us.push(started.elapsed().as_secs_f64() * 1e6);
        }
        Ok(median(&times_us))
    })();
    // Also after a failure; what failed is more telling than a file that stays.
    let _ = std::fs::remove_file(&path);
    measured
}

#[cfg(test)]
mod tests {
    use super::{Pair, Table, median};

    #[test]
    fn medians_and_ratios() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        let mut order = Vec::new();
        let order = std::cell::RefCell::new(&mut order);
        let side = |name, value| {
            order.borrow_mut().push(name);
            Ok::<_, ()>(value)
        };
        let pair = Pair::measure(|| side('A', 6.0), || side('B', 2.0));
        assert_eq!(pair.map(|pair| pair.ratio()), Ok(3.0));
        assert_eq!(order.borrow().iter().collect::<String>(), "ABABABABAB");
    }

    #[test]
    fn columns_are_aligned_without_trailing_spaces() {
        let mut table = Table::new(&["name", "n"]);
        table.row(vec!["a".into(), "100".into()]);
        table.row(vec!["longer".into()]);
        assert_eq!(table.to_string(), "name      n\na       100\nlonger\n");
    }
}
