//! Queues of what is due: their fronts are found in the same time however much of them is done.
//!
//! Symptom to look for: transfers that are refused, or a partition that slows down, because done
//! commands are looked through again.

use foldlog_core::driver::{Linked, Partition};

use super::counting::Counting;
use super::kit::{self, Clock, NEW_YEAR_MS, Setup, done, get, open_account, request};

#[test]
fn what_is_done_since_the_last_checkpoint_is_not_looked_through_again() {
    const TRANSFERS: usize = 300;
    let setup = Setup::default();
    // The system's own commands come between batches only: all transfers wait together.
    let config = foldlog_core::driver::Config { batch_commands_max: 0, ..setup.config() };
    let clock = Clock::at(NEW_YEAR_MS);
    let mut bank = Partition::new(Linked(setup.registry), Counting::default(), clock, config);
    for (id, balance) in [("a", TRANSFERS as u64), ("b", 0)] {
        done(&mut bank, open_account(id, balance));
    }
    let transfers = (0..TRANSFERS).map(|n| {
        let body =
            format!(r#"{{"transferId":"t-{n}","fromAccountId":"a","toAccountId":"b","amount":1}}"#);
        request("POST", "/commands/transfer", &body, &[])
    });
    assert!(bank.run(transfers.collect()).iter().all(|reply| reply.response.status == 202));
    // From now on each command that is done leaves a row in the store that is gone in memory.
    bank.checkpoint().expect("a checkpoint is stored");
    let before = bank.store().rows;
    let mut commands = 0;
    while bank.work_due() == Some(0) {
        bank.work();
        commands += 1;
    }
    assert!(commands >= 2 * TRANSFERS, "only {commands} commands were done");
    let rows = bank.store().rows - before;
    assert!(rows <= 10 * commands, "{rows} rows were read for {commands} commands");
    let (status, body) = kit::run(&mut bank, get("/queries/account/b"));
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(&format!("\"balance\":{TRANSFERS},")), "{body}");
}
