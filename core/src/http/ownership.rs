//! Whose log it is, over HTTP: what a partition refuses that this host does not own, and
//! `POST /effects/resume`, which makes it this host's.
//!
//! Owns those refusals and answers, and what is refused while an import is not complete. Refuses to compare incarnations and to store the owner: the
//! driver does (law 7).

use alloc::format;

use super::answer::Answer;
use super::routes::{Action, Of};
use super::{Handled, read};
use crate::chain::{HASH_HOLE, hex};
use crate::engine::{Access, Engine, Missing};
use crate::errors::{Code, Problem};
use crate::protocol::{Kind, Ownership, Process, Stamp, Standing};
use crate::read::Stop;

/// Why this may not be done now, if it changes anything and the log is not this host's.
pub fn refusal(action: Action, process: &Process) -> Option<Problem> {
    let changes = matches!(
        action,
        Action::Command { .. }
            | Action::TakeSnapshot { .. }
            | Action::Rebuild
            | Action::RetryEffect
            | Action::Consumers(Of::Register | Of::Remove | Of::Rotate)
            | Action::Publish
    );
    match process.standing {
        Standing::Importing if changes || matches!(action, Action::Resume) => Some(Problem::new(
            Code::InProgress,
            "an import into this partition is not complete; POST /log/import goes on with it",
        )),
        Standing::Held if changes => Some(Problem::new(
            Code::Held,
            "the log of this partition belongs to another host; POST /effects/resume makes it this host's",
        )),
        _ => None,
    }
}

/// `POST /effects/resume`. Of a log that is this host's already it changes nothing.
pub fn resume(
    engine: &Engine,
    access: Access<'_>,
    stamp: &Stamp,
    process: &Process,
) -> Result<Handled, Missing> {
    if process.standing != Standing::Held {
        return Ok(read(resumed(engine.head().position, &engine.head().incarnation), Kind::Read));
    }
    Ok(match engine.propose_adoption(access, stamp)? {
        Ok(proposal) => {
            let mut answer = resumed(proposal.last(), &stamp.entropy);
            answer.ownership = Some(Ownership::Adopt(stamp.entropy));
            Handled { proposal: Some(*proposal), ..read(answer, Kind::Command) }
        }
        Err(Stop::Fault(what)) => super::refused(&Problem::new(Code::Internal, what)),
        Err(Stop::Miss) => super::refused(&Problem::new(Code::Internal, "a read was lost")),
    })
}

fn resumed(position: u64, incarnation: &[u8; 16]) -> Answer {
    let start = format!(
        "{{\"ok\":true,\"incarnation\":\"{}\",\"position\":{position},\"hash\":\"",
        hex(incarnation)
    );
    let offset = start.len();
    Answer::json(format!("{start}{HASH_HOLE}\"}}")).hash_at(offset, position)
}
