//! The dispatchers' rules, each by a small script: who is sent what, when, and what it leads to.

use alloc::vec;

use super::*;

const SECOND: u64 = 1_000_000;

fn consumer(id: &str, topics: &[(&str, u64)], on_failure: OnFailure) -> Consumer {
    let place = |position| Place { position, id: None };
    let topics = topics.iter().map(|(topic, at)| ((*topic).into(), place(*at))).collect();
    let callback = format!("https://{id}.example/hook?key=1");
    let (attempts, generation, older) = (Vec::new(), 1, Vec::new());
    Consumer { id: id.into(), callback, topics, attempts, on_failure, generation, older }
}

fn with(slots: u32, all: Vec<Consumer>) -> Dispatch {
    let mut dispatch = Dispatch::new(slots);
    dispatch.listed(all, true, false);
    dispatch
}

/// A page of one event, at the head.
fn page(position: u64) -> Page {
    let last = Place { position, id: Some(format!("e{position}")) };
    Page { events: "[1]".into(), count: 1, last, looked: position, hops: 0 }
}

fn ways(dispatch: &mut Dispatch, now: u64) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(wanted) = dispatch.next(0, now) {
        all.push(format!("{}/{}>{}", wanted.way.0, wanted.way.1, wanted.after));
        let position = wanted.after + 1;
        dispatch.begin(wanted.way, &page(position), position, now);
    }
    all
}

#[test]
fn of_a_consumer_and_a_topic_one_delivery_is_under_way_and_the_next_begins_where_it_ended() {
    let both = [("x", 0), ("y", 4)];
    let mut dispatch = with(64, vec![consumer("a", &both, OnFailure::Remove)]);
    assert_eq!(ways(&mut dispatch, 0), ["a/x>0", "a/y>4"]);
    for _ in 0..3 {
        dispatch.touched(&["x".into(), "z".into()]);
        assert_eq!(ways(&mut dispatch, 0), Vec::<String>::new());
    }
    dispatch.ended(0, CameTo::Accepted, 1, 0);
    assert_eq!(ways(&mut dispatch, 1), ["a/x>1"], "it got events meanwhile");
    dispatch.ended(1, CameTo::Accepted, 1, 0);
    assert_eq!(ways(&mut dispatch, 1), Vec::<String>::new(), "this one did not");
    dispatch.touched(&["y".into()]);
    assert_eq!(ways(&mut dispatch, 1), ["a/y>5"]);
    // Told again, or of what never was, it changes nothing.
    dispatch.ended(1, CameTo::Failed("late".into()), 1, 0);
    dispatch.ended(99, CameTo::Gone("who?".into()), 1, 0);
    assert_eq!(dispatch.leaving(), []);
}

#[test]
fn what_the_page_left_out_comes_next_and_nothing_is_nothing() {
    let mut dispatch = with(64, vec![consumer("a", &[("x", 0)], OnFailure::Remove)]);
    let wanted = dispatch.next(0, 0).expect("its turn");
    assert_eq!((wanted.after, wanted.limit), (0, DELIVERY_EVENTS_MAX));
    // The log goes on to 9, the page ends at 3.
    let id = dispatch.begin(wanted.way, &page(3), 9, 0).expect("a delivery");
    dispatch.ended(id, CameTo::Accepted, 0, 0);
    let wanted = dispatch.next(0, 0).expect("its turn again");
    assert_eq!(wanted.after, 3);
    let looked = |looked| Page { looked, ..Page::default() };
    assert_eq!(dispatch.begin(wanted.way, &looked(7), 9, 0), None);
    let wanted = dispatch.next(0, 0).expect("the index was not looked through to its end");
    assert_eq!(wanted.after, 7);
    assert_eq!(dispatch.begin(wanted.way, &looked(9), 9, 0), None);
    assert_eq!(dispatch.next(0, 0), None);
    assert!(dispatch.is_idle());
}

#[test]
fn effects_and_slow_consumers_leave_slots_for_the_others() {
    let all = (0..9).map(|n| consumer(&format!("c{n}"), &[("x", 0)], OnFailure::Retry));
    let mut dispatch = with(6, all.collect());
    assert_eq!(ways(&mut dispatch, 0).len(), 5, "of those that are not known yet all but one");
    assert_eq!(dispatch.turn_at(0), None, "the last slot is for those that are");
    // Four of them are slow to answer, one is not.
    for id in 0..4 {
        dispatch.ended(id, CameTo::Accepted, SLOW_MICROS + 1, 0);
    }
    dispatch.ended(4, CameTo::Accepted, SLOW_MICROS, 0);
    dispatch.touched(&["x".into()]);
    let next = ways(&mut dispatch, 2 * SECOND);
    let slow = |way: &&String| ["c0", "c1", "c2", "c3"].iter().any(|c| way.starts_with(c));
    assert_eq!(next.iter().filter(slow).count(), 3, "half of the slots: {next:?}");
    assert!(next.iter().any(|way| way.starts_with("c4")), "{next:?}");
    assert_eq!(next.len(), 6, "{next:?}");
    assert_eq!(dispatch.turn_at(0), None, "no slot is free");
    let mut busy = with(6, vec![consumer("a", &[("x", 0), ("y", 0)], OnFailure::Remove)]);
    assert_eq!((busy.turn_at(6), busy.next(6, 0)), (None, None), "effects hold all slots");
    assert!(busy.next(5, 0).is_some());
}

#[test]
fn many_that_never_answer_leave_a_slot_for_one_that_does() {
    let all = (0..100).map(|n| consumer(&format!("hangs-{n}"), &[("x", 0)], OnFailure::Remove));
    let known = consumer("a", &[("y", 0)], OnFailure::Remove);
    let mut dispatch = with(64, vec![known.clone()]);
    assert_eq!(ways(&mut dispatch, 0), ["a/y>0"]);
    dispatch.ended(0, CameTo::Accepted, 1, 0);
    dispatch.listed([known].into_iter().chain(all).collect(), true, false);
    assert_eq!(ways(&mut dispatch, 2).len(), 57, "56 that are not known, and the one that is");
    // However long they take, its turn comes at once.
    for n in 1..10 {
        dispatch.ended(56 + n, CameTo::Accepted, SECOND * n, 0);
        dispatch.touched(&["x".into(), "y".into()]);
        assert_eq!(ways(&mut dispatch, SECOND * n), [format!("a/y>{}", n + 1)]);
    }
}

#[test]
fn one_that_fails_is_removed_at_once_and_nothing_more_is_sent_to_it() {
    for (mode, came_to) in [
        (OnFailure::Remove, CameTo::of(Err("answered 500".into()))),
        (OnFailure::Remove, CameTo::of(Err("no answer in 30000 ms".into()))),
        (OnFailure::Remove, CameTo::of(Err("answered 410".into()))),
        (OnFailure::Retry, CameTo::of(Err("answered 410: gone, thanks".into()))),
    ] {
        let mut dispatch = with(1, vec![consumer("a", &[("x", 0), ("y", 0)], mode)]);
        assert_eq!(ways(&mut dispatch, 0), ["a/x>0"]);
        let (CameTo::Failed(why) | CameTo::Gone(why)) = came_to.clone() else {
            panic!("a failure")
        };
        dispatch.ended(0, came_to, 1, 0);
        assert_eq!(dispatch.leaving(), [("a".into(), format!("topic x: {why}"))]);
        assert_eq!(dispatch.record_at(), Some(0));
        assert_eq!(ways(&mut dispatch, 1), Vec::<String>::new());
        dispatch.take_notes();
        dispatch.listed(vec![], false, true);
        let notes = dispatch.take_notes();
        assert!(notes.contains(&Note::Stopped("y".into())), "{notes:?}");
        let reason = format!("topic x: {why}");
        assert_eq!(notes.last(), Some(&Note::Removed { consumer: "a".into(), reason }));
        assert!(dispatch.is_empty() && dispatch.record_at().is_none());
    }
}

#[test]
fn one_that_is_tried_again_gets_the_same_batch_after_growing_waits_and_goes_after_ten() {
    let mut dispatch = with(64, vec![consumer("a", &[("x", 7)], OnFailure::Retry)]);
    let wanted = dispatch.next(0, 0).expect("its turn");
    let batch = Page { count: 3, ..page(12) };
    let mut id = dispatch.begin(wanted.way, &batch, 12, 0).expect("a delivery");
    let mut now = 0;
    for attempt in 1..DELIVERY_ATTEMPTS_MAX {
        dispatch.touched(&["x".into()]);
        dispatch.ended(id, CameTo::Failed("answered 503".into()), now, u64::MAX);
        assert_eq!(dispatch.retrying(), ["a"]);
        let due = dispatch.turn_at(0).expect("it is tried again");
        let longest = (SECOND << (attempt - 1)).min(300 * SECOND);
        assert!(due - now >= longest / 2 && due - now <= longest, "attempt {attempt}");
        assert_eq!(dispatch.next(0, due - 1), None);
        now = due;
        let wanted = dispatch.next(0, now).expect("its turn again");
        assert_eq!((wanted.after, wanted.limit), (7, 3), "the same batch");
        id = dispatch.begin(wanted.way, &batch, 99, now).expect("a delivery");
        assert_eq!(dispatch.flight(id).map(|(_, _, attempt)| attempt), Some(attempt + 1));
    }
    assert_eq!(dispatch.leaving(), []);
    dispatch.ended(id, CameTo::Failed("answered 503".into()), now, 0);
    let reason = "topic x, attempt 10: answered 503";
    assert_eq!(dispatch.leaving(), [("a".into(), reason.into())]);
}

#[test]
fn attempts_are_counted_on_after_a_restart() {
    let mut one = consumer("a", &[("x", 7)], OnFailure::Retry);
    one.attempts = vec![("x".into(), DELIVERY_ATTEMPTS_MAX - 1)];
    let mut dispatch = with(64, vec![one]);
    assert_eq!(dispatch.retrying(), ["a"]);
    assert_eq!(ways(&mut dispatch, 0), ["a/x>7"]);
    dispatch.ended(0, CameTo::Failed("answered 503".into()), 0, 0);
    assert_eq!(dispatch.leaving().len(), 1);
    let mut other = with(64, vec![consumer("a", &[("x", 7)], OnFailure::Retry)]);
    assert_eq!(ways(&mut other, 0), ["a/x>7"]);
    other.ended(0, CameTo::Failed("answered 503".into()), 0, 0);
    let place = Place { position: 7, id: None };
    assert_eq!(other.take_moved(1), [(("a".into(), "x".into()), Some((place, 1)))]);
}

#[test]
fn an_accepted_attempt_ends_the_retries() {
    let mut dispatch = with(64, vec![consumer("a", &[("x", 0)], OnFailure::Retry)]);
    assert_eq!(ways(&mut dispatch, 0), ["a/x>0"]);
    dispatch.ended(0, CameTo::Failed("no answer".into()), 0, 0);
    assert_eq!(ways(&mut dispatch, SECOND), ["a/x>0"]);
    dispatch.ended(1, CameTo::Accepted, SECOND, 0);
    assert_eq!(dispatch.retrying(), Vec::<String>::new());
    dispatch.touched(&["x".into()]);
    let wanted = dispatch.next(0, SECOND).expect("its turn");
    assert_eq!((wanted.after, wanted.limit), (1, DELIVERY_EVENTS_MAX));
}

#[test]
fn places_are_saved_at_once_and_then_five_times_a_second_at_most() {
    let mut dispatch = with(64, vec![consumer("a", &[("x", 0)], OnFailure::Remove)]);
    assert_eq!(dispatch.save_at(), None);
    let deliver = |dispatch: &mut Dispatch, now: u64| {
        dispatch.touched(&["x".into()]);
        let wanted = dispatch.next(0, now).expect("its turn");
        let next = wanted.after + 1;
        let id = dispatch.begin(wanted.way, &page(next), next, now).expect("a delivery");
        dispatch.ended(id, CameTo::Accepted, now, 0);
    };
    deliver(&mut dispatch, 5 * SECOND);
    assert!(dispatch.save_at().is_some_and(|at| at <= 5 * SECOND), "at once");
    let saved = dispatch.take_moved(5 * SECOND);
    let place = |position| Some((Place { position, id: Some(format!("e{position}")) }, 0));
    assert_eq!(saved, [(("a".into(), "x".into()), place(1))]);
    assert_eq!(dispatch.save_at(), None);
    deliver(&mut dispatch, 5 * SECOND + 1);
    deliver(&mut dispatch, 5 * SECOND + 2);
    assert_eq!(dispatch.save_at(), Some(5 * SECOND + SAVE_MICROS));
    let saved = dispatch.take_moved(5 * SECOND + SAVE_MICROS);
    assert_eq!(saved, [(("a".into(), "x".into()), place(3))]);
    dispatch.not_saved(saved);
    assert!(dispatch.save_at().is_some(), "what could not be saved is saved later");
    dispatch.listed(vec![], false, true);
    assert_eq!(dispatch.take_moved(9 * SECOND), [(("a".into(), "x".into()), None)]);
}

#[test]
fn the_log_tells_how_far_one_has_got_every_thousand_deliveries_or_ten_minutes() {
    let mut dispatch = with(64, vec![consumer("a", &[("x", 0), ("y", 3)], OnFailure::Remove)]);
    let wanted = dispatch.next(0, 0).expect("x");
    assert_eq!(
        dispatch.next(0, 0).map(|y| dispatch.begin(y.way, &Page::default(), 0, 0)),
        Some(None)
    );
    let mut id = dispatch.begin(wanted.way, &page(1), 1, 0).expect("a delivery");
    assert_eq!(dispatch.record_at(), None);
    for n in 1..=1_000 {
        dispatch.touched(&["x".into()]);
        dispatch.ended(id, CameTo::Accepted, n, 0);
        let due = if n < 1_000 { 1 + ADVANCE_MICROS } else { 1_000 };
        assert_eq!(dispatch.record_at(), Some(due), "after {n}");
        let wanted = dispatch.next(0, n).expect("its turn");
        id = dispatch.begin(wanted.way, &page(n + 1), n + 1, n).expect("a delivery");
    }
    assert_eq!(dispatch.take_advances(999), []);
    let place = Place { position: 1_000, id: Some("e1000".into()) };
    assert_eq!(dispatch.take_advances(1_000), [("a".into(), vec![("x".into(), place)])]);
    assert_eq!(dispatch.record_at(), None);
}

#[test]
fn a_log_that_grew_unseen_is_looked_through_again_from_where_each_one_is() {
    let both = || vec![consumer("a", &[("x", 0)], OnFailure::Remove)];
    let mut dispatch = with(64, both());
    assert_eq!(ways(&mut dispatch, 0), ["a/x>0"]);
    dispatch.ended(0, CameTo::Accepted, 0, 0);
    dispatch.listed(both(), false, true);
    assert_eq!(ways(&mut dispatch, 0), Vec::<String>::new(), "nothing new");
    dispatch.listed(both(), true, true);
    assert_eq!(ways(&mut dispatch, 0), ["a/x>1"], "what was accepted stays so");
    dispatch.given_up();
    assert_eq!(ways(&mut dispatch, 0), ["a/x>1"], "and what was given up is made again");
    let more = vec![consumer("b", &[("x", 0)], OnFailure::Remove)];
    dispatch.listed([both(), more].concat(), false, true);
    assert_eq!(ways(&mut dispatch, 0), ["b/x>0"], "one that came");
    let host = "b.example".to_string();
    let came = Note::Registered { consumer: "b".into(), host };
    assert!(dispatch.take_notes().contains(&came));
    assert_eq!(dispatch.busy_topics(), ["x"]);
}
