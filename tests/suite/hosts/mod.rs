//! Hosts: what holds of the processes and their files, whatever is asked of them.
//!
//! Reading order: `load` (many clients at once), `crash` (killed under it), `transfers` (killed
//! between the steps of one), `two` (on one directory), `sources` (where a log lies), `carried` (from
//! one place to another), `edge` (a log of workerd's), `verify` (rows that lie), `adopt` (logs from
//! elsewhere), `secrets` (what is kept beside a log), `at` (as of then), `gate` and `gate_ci` (another guest decides
//! the log again), `faults` (a guest that
//! misbehaves), `orders` (what a process
//! manager asks of it), `versions` (another guest, and the first one again), `partitions` (many of
//! them), `sick` (some that can not work), `wakes` (what happens though nobody asks), `emails`
//! (calls to the outside), `sent` (killed around those), `trust` (over TLS), `beside` (reads and
//! commands at once), `live` and `live_waits` (who follows), `topics` (large publications, and who
//! listens in a terminal), `large` (a partition that does not fit
//! in memory), `lss` (the file as any SQL tool sees it), `memory` and `postgres` (logs elsewhere
//! than in files).

mod load;

mod crash;
mod transfers;
mod two;
mod sources;
mod carried;
mod edge;
mod verify;

mod adopt;
mod secrets;
mod at;
mod gate;
mod gate_ci;

mod faults;
mod orders;
mod versions;
mod partitions;
mod sick;
mod wakes;
mod emails;
mod consumers;
mod sent;
mod trust;

mod beside;
mod live;
mod live_waits;
mod large;
mod topics;
mod lss;
mod memory;
mod postgres;
