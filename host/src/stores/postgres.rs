//! Logs in a PostgreSQL database: `foldlog serve --store postgres://…`.
//!
//! Owns what is known of the database as a whole: that it is this host's, its partitions, their
//! owners. A schema a partition, with the two tables and the view `lss`; what is kept beside logs is
//! in the schema `foldlog_host`. Refuses to know what is stored.
//!
//! | module | owns |
//! |---|---|
//! | `lock` | one host a database |
//! | `session` | one partition's connection, its lock and transactions |
//! | `store` | the driver's port over that |
//! | `statements`, `values` | SQL, and what goes in and out |

mod lock;
mod session;
mod statements;
mod store;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use foldlog_core::chain::{hex, unhex};
use foldlog_core::driver::{NOBODY, SqlError};
use foldlog_core::ids::is_partition;
use foldlog_core::settings::Secret;
use foldlog_core::time::Time;
use postgres::config::{Host, SslMode};
use postgres::{Client, Config, NoTls};

use super::{AnyStore, Stores};
use crate::metrics::Metrics;
use crate::world::entropy;
use store::DatabaseStore;
use values::{failed, with_causes};

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A peer that is silent for so long is asked whether it is there.
const IDLE: Duration = Duration::from_secs(10);
/// Connections beside those of partitions: the lock's, and two that come and go.
const BESIDE: i64 = 3;

/// A database that this host has to itself.
#[derive(Debug)]
pub struct Postgres {
    place: Arc<Place>,
    keeper: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

/// What sessions share.
#[derive(Debug)]
pub struct Place {
    config: Config,
    /// For people, without a password.
    pub shown: String,
    /// Server and database: an owner that came along with a dump is none.
    pub home: String,
    /// Connections that readers beside writers may have.
    readers: AtomicI64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Why the lock is not held.
    lost: Option<String>,
    /// How often it was lost.
    epoch: u64,
    /// Partitions to which something was written.
    known: BTreeSet<String>,
    /// Those whose log has begun, as far as that was asked.
    begun: BTreeSet<String>,
    owners: BTreeMap<String, [u8; 16]>,
}

impl Postgres {
    /// Takes the database's lock. Partitions each have a connection while they are open.
    pub fn take(url: &str, partitions: u32, standby: bool) -> Result<Self, String> {
        let parsed = url.parse();
        let mut config: Config = parsed.map_err(|e| format!("--store: {}", with_causes(&e)))?;
        if matches!(config.get_ssl_mode(), SslMode::Require) {
            return Err("--store: sslmode=require: connections to PostgreSQL are not encrypted; \
                        reach it through a tunnel"
                .into());
        }
        // A password in the command line is seen by all users of a machine.
        if let (None, Ok(password)) = (config.get_password(), std::env::var("PGPASSWORD")) {
            config.password(password);
        }
        config.connect_timeout(CONNECT_MAX).keepalives_idle(IDLE).tcp_user_timeout(2 * IDLE);
        let shown = shown(&config);
        let failed = |detail: SqlError| format!("{shown}: {}", text(detail));
        let mut client = connect(&config, "").map_err(failed)?;
        let readers = AtomicI64::new(room(&mut client, partitions, &shown)?);
        lock::take(&mut client, &shown, standby)?;
        let home = home(&mut client).map_err(failed)?;
        let created = client.batch_execute(statements::CREATE_KEPT);
        created.map_err(|e| failed(values::failed(e)))?;
        let place = Place { config, shown, home, readers, state: Mutex::default() };
        place.look(&mut client)?;
        let place = Arc::new(place);
        let (stop, stopped) = channel();
        let of = place.clone();
        let thread = std::thread::Builder::new().name("database-lock".into());
        let thread = thread.spawn(move || lock::keep(&of, client, &stopped));
        let thread = thread.map_err(|e| format!("no thread to hold the lock with: {e}"))?;
        Ok(Self { place, keeper: Mutex::new(Some((stop, thread))) })
    }
}

impl Stores for Postgres {
    fn shown(&self) -> String {
        self.place.shown.clone()
    }

    fn writer(&self, name: &str, metrics: &Arc<Metrics>) -> Result<AnyStore, String> {
        Ok(AnyStore::new(DatabaseStore::new(&self.place, name, Some(metrics.clone()))))
    }

    fn reader(&self, name: &str) -> AnyStore {
        AnyStore::new(DatabaseStore::new(&self.place, name, None))
    }

    fn owner(&self, name: &str) -> [u8; 16] {
        self.place.state().owners.get(name).copied().unwrap_or(NOBODY)
    }

    fn is_blank(&self, name: &str) -> bool {
        let state = self.place.state();
        // Another host may have begun it meanwhile: opening it tells that it can not be said.
        state.lost.is_none() && !state.known.contains(name)
    }

    fn names(&self, after: &str, limit: usize) -> Result<Vec<String>, String> {
        self.place.hold().map_err(text)?;
        let (known, mut begun) = {
            let state = self.place.state();
            (state.known.clone(), state.begun.clone())
        };
        let mut client = None;
        let mut found = Vec::new();
        for name in known.into_iter().filter(|name| name.as_str() > after) {
            if found.len() >= limit {
                break;
            }
            if begun.contains(&name) || self.place.has_begun(&mut client, &name)? {
                begun.insert(name.clone());
                found.push(name);
            }
        }
        self.place.state().begun.extend(begun);
        Ok(found)
    }

    fn all(&self) -> Result<Vec<String>, String> {
        Ok(self.place.state().known.iter().cloned().collect())
    }

    fn due(&self, name: &str) -> Option<Time> {
        let mut store = DatabaseStore::new(&self.place, name, None);
        let rest = match store.opened().and_then(|sql| sql.rest()) {
            Ok(rest) => rest?,
            // What can not be read is opened: that tells why, and tries again.
            Err(_) => return Some(Time(0)),
        };
        let own = self.owner(name);
        let held = rest.incarnation.is_some_and(|newest| own == NOBODY || own != newest);
        (!held).then_some(rest.due)
    }

    /// Kept in the database: whichever host serves it makes the same keys.
    fn secret(&self) -> Result<Secret, String> {
        let failed = |error| format!("{}: {}", self.place.shown, text(error));
        let mut client = self.place.connect("").map_err(failed)?;
        let made = hex(&[entropy(), entropy()].concat());
        let told = |error| failed(values::failed(error));
        client.execute(statements::KEEP_FIRST, &[&"secret", &made]).map_err(told)?;
        let kept: String = client.query_one(statements::KEPT, &[&"secret"]).map_err(told)?.get(0);
        let secret = Secret::new(&kept).filter(|_| kept.len() >= 32);
        secret.ok_or_else(|| format!("{} holds no secret that foldlog made", self.place.shown))
    }

    fn epoch(&self) -> u64 {
        self.place.state().epoch
    }

    fn release(&self) {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = keeper {
            drop(stop);
            // A panic was already told by the hook.
            let _ = thread.join();
        }
    }
}

impl Place {
    fn state(&self) -> MutexGuard<'_, State> {
        // It holds at every step: a panic elsewhere does not make it wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection; its name is shown to whoever looks at the database's sessions.
    pub fn connect(&self, partition: &str) -> Result<Client, SqlError> {
        connect(&self.config, partition)
    }

    /// Whether this host has the database to itself.
    pub fn hold(&self) -> Result<(), SqlError> {
        match &self.state().lost {
            None => Ok(()),
            Some(why) => Err(SqlError::Failed(format!("the database is not this host's: {why}"))),
        }
    }

    /// The lock is held, or is not any more.
    pub fn set_held(&self, held: Result<(), String>) {
        let mut state = self.state();
        if state.lost.is_none() && held.is_err() {
            state.epoch += 1;
        }
        state.lost = held.err();
    }

    /// Reads which partitions there are, and whose.
    pub fn look(&self, client: &mut Client) -> Result<(), String> {
        let failed = |error| format!("{}: {}", self.shown, text(failed(error)));
        let partitions = client.query(statements::PARTITIONS, &[]).map_err(failed)?;
        let known = partitions.iter().map(|row| row.get::<_, String>(0));
        let known = known.filter(|name| is_partition(name)).collect();
        let mut owners = BTreeMap::new();
        for row in client.query(statements::OWNERS, &[]).map_err(failed)? {
            let value: String = row.get(1);
            let owner = value.split_once(' ').filter(|(_, home)| *home == self.home);
            let owner = owner.and_then(|(owner, _)| unhex::<16>(owner));
            owners.extend(owner.map(|owner| (row.get(0), owner)));
        }
        let mut state = self.state();
        (state.known, state.owners) = (known, owners);
        state.begun.clear();
        Ok(())
    }

    /// Something was written to a partition.
    pub fn wrote(&self, partition: &str, begun: bool) {
        let mut state = self.state();
        if !state.known.contains(partition) {
            state.known.insert(partition.to_string());
        }
        if begun {
            state.begun.insert(partition.to_string());
        }
    }

    /// An owner was stored.
    pub fn owns(&self, partition: &str, incarnation: [u8; 16]) {
        self.state().owners.insert(partition.to_string(), incarnation);
    }

    /// A reader wants a connection; false when writers need what is left.
    pub fn reader_comes(&self) -> bool {
        let left = self.readers.fetch_sub(1, Ordering::Relaxed);
        if left <= 0 {
            self.reader_goes();
        }
        left > 0
    }

    /// A reader gives its connection back.
    pub fn reader_goes(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    fn has_begun(&self, client: &mut Option<Client>, name: &str) -> Result<bool, String> {
        let failed = |error| format!("{}: {}", self.shown, text(error));
        if client.is_none() {
            *client = Some(self.connect("").map_err(failed)?);
        }
        let Some(client) = client else { return Ok(false) };
        let sql = format!("SELECT 1 FROM \"{name}\".log WHERE first_position = 0");
        // What can not be read now may be asked for again.
        Ok(client.query_opt(sql.as_str(), &[]).is_ok_and(|row| row.is_some()))
    }
}

fn connect(config: &Config, partition: &str) -> Result<Client, SqlError> {
    let mut config = config.clone();
    let process = std::process::id();
    let name = format!("foldlog (process {process}) {partition}");
    config.application_name(name.trim_end());
    let mut client = config.connect(NoTls).map_err(failed)?;
    // Tables that are there already are no news.
    client.batch_execute("SET client_min_messages TO warning").map_err(failed)?;
    Ok(client)
}

/// Connections that readers may have, when each partition has one.
fn room(client: &mut Client, partitions: u32, shown: &str) -> Result<i64, String> {
    let sql = "SELECT current_setting('max_connections')::bigint \
         - current_setting('superuser_reserved_connections')::bigint";
    let row = client.query_one(sql, &[]).map_err(|e| format!("{shown}: {}", text(failed(e))))?;
    let all: i64 = row.get(0);
    let left = all - i64::from(partitions) - BESIDE;
    if left < 0 {
        return Err(format!(
            "{shown} allows {all} connections, and {partitions} partitions may be open with one \
             each: raise its max_connections, or lower --partitions-open-max to {}",
            (all - BESIDE).max(1)
        ));
    }
    Ok(left)
}

/// Server and database; of a server that does not tell its number, the database alone.
fn home(client: &mut Client) -> Result<String, SqlError> {
    let told = client.query_one(statements::HOME, &[]);
    let told = told.or_else(|_| {
        let sql = "SELECT '/' || oid::text FROM pg_database WHERE datname = current_database()";
        client.query_one(sql, &[])
    });
    told.map(|row| row.get(0)).map_err(failed)
}

/// The URL without what is secret.
fn shown(config: &Config) -> String {
    let host = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    };
    let hosts: Vec<String> = config.get_hosts().iter().map(host).collect();
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("the database {database} at {}", hosts.join(", "))
}

fn text(error: SqlError) -> String {
    match error {
        SqlError::Full => "the database is full".into(),
        SqlError::Corrupt(detail) | SqlError::Failed(detail) => detail,
    }
}
