//! How many requests there were and how long they took, by route: Envoy gets many of them together.
//!
//! Envoy finds a counter by its name and the values of its labels, which costs a request as much as its line in the
//! ledger does. So requests are counted here, and a thread has Envoy's main thread add them to Envoy's own counters.

use crate::config::{self, Counters};
use crate::envoy::{Scheduler, Settings};
use std::collections::HashMap;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

/// The upper edges of the buckets of times, in milliseconds, as Envoy's own histograms have them.
const EDGES_MS: [u64; 18] =
    [5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000, 30_000, 60_000, 120_000, 300_000];
/// Requests that end within this time are counted together.
const GATHER: Duration = Duration::from_millis(500);

/// Times, by the first edge that is not below them; the last bucket is for longer ones.
#[derive(Default, Clone)]
struct Times {
    within: [u64; EDGES_MS.len() + 1],
    sum_ms: u64,
}

impl Times {
    fn add(&mut self, ms: u64) {
        self.within[EDGES_MS.partition_point(|edge| *edge < ms)] += 1;
        self.sum_ms += ms;
    }

    /// Add them to Envoy's counters; with `all`, also to buckets that get nothing. One that was not there would move a
    /// percentile.
    fn give(&self, settings: Settings, to: config::Times, route: &[u8], all: bool) {
        let cumulative = self.cumulative();
        let edges = EDGES_MS.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
        for (edge, count) in edges.zip(cumulative).filter(|(_, count)| all || *count > 0) {
            settings.count(to.buckets, &[route, edge.as_bytes()], count);
        }
        let [.., count] = cumulative;
        settings.count(to.sum, &[route], self.sum_ms);
        settings.count(to.count, &[route], count);
    }

    /// How many are not above each edge, and how many there are at all.
    fn cumulative(&self) -> [u64; EDGES_MS.len() + 1] {
        let mut sum = 0;
        self.within.map(|count| {
            sum += count;
            sum
        })
    }
}

/// The requests of one route.
#[derive(Default)]
struct Row {
    codes: Vec<(u64, u64)>,
    durations: Times,
    first_tokens: Times,
}

#[derive(Default)]
struct Pending {
    rows: HashMap<Box<[u8]>, Row>,
    /// The thread knows that there are some.
    told: bool,
}

/// What Envoy has counters for, of one route.
#[derive(Default)]
struct Given {
    codes: Vec<u64>,
    durations: bool,
    first_tokens: bool,
}

static PENDING: LazyLock<Mutex<Pending>> = LazyLock::new(Mutex::default);
static GIVEN: LazyLock<Mutex<HashMap<Box<[u8]>, Given>>> = LazyLock::new(Mutex::default);
static SOME: Condvar = Condvar::new();
/// The configurations that can have Envoy's counters changed, in the order of their beginning.
static LIVE: Mutex<Vec<Scheduler>> = Mutex::new(Vec::new());
static THREAD: Once = Once::new();

/// Count a request that has ended.
pub fn request(route: &[u8], code: u64, duration_ms: u64) {
    change(route, |row| {
        match row.codes.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => row.codes.push((code, 1)),
        }
        row.durations.add(duration_ms);
    });
}

/// Count the time to the first token of an answer.
pub fn first_token(route: &[u8], ms: u64) {
    change(route, |row| row.first_tokens.add(ms));
}

fn change(route: &[u8], with: impl FnOnce(&mut Row)) {
    let mut pending = pending();
    match pending.rows.get_mut(route) {
        Some(row) => with(row),
        None => with(pending.rows.entry(route.into()).or_default()),
    }
    let told = std::mem::replace(&mut pending.told, true);
    drop(pending);
    if !told {
        SOME.notify_one();
    }
}

/// A configuration has begun, by which counts can be given to Envoy.
pub fn begin(settings: Settings, counters: &Counters, scheduler: Scheduler) {
    share(settings, counters);
    live().push(scheduler);
    THREAD.call_once(|| {
        if let Err(error) = thread::Builder::new().name("bateau-counts".into()).spawn(tell_all) {
            crate::envoy::log(crate::abi::LOG_ERROR, &format!("bateau_gate: no requests are counted: {error}"));
        }
    });
}

/// A configuration ends: nothing is scheduled for it after this.
pub fn end(is_it: impl Fn(&Scheduler) -> bool) {
    live().retain(|each| !is_it(each));
}

/// Add all that was counted to Envoy's counters, on its main thread.
pub fn give(settings: Settings, counters: &Counters) {
    let rows = std::mem::take(&mut pending().rows);
    let mut given = given();
    for (route, row) in rows {
        let given = given.entry(route.clone()).or_default();
        for (code, count) in row.codes {
            settings.count(counters.requests, &[&route, code.to_string().as_bytes()], count);
            if !given.codes.contains(&code) {
                given.codes.push(code);
            }
        }
        for (times, to, known) in [
            (row.durations, counters.durations, &mut given.durations),
            (row.first_tokens, counters.first_tokens, &mut given.first_tokens),
        ] {
            if times.within.iter().any(|count| *count > 0) {
                times.give(settings, to, &route, !std::mem::replace(known, true));
            }
        }
    }
}

/// Have a new configuration share the counters of those before it: Envoy forgets a counter that no configuration has.
fn share(settings: Settings, counters: &Counters) {
    for (route, given) in given().iter() {
        for code in &given.codes {
            settings.count(counters.requests, &[route, code.to_string().as_bytes()], 0);
        }
        for (known, to) in [(given.durations, counters.durations), (given.first_tokens, counters.first_tokens)] {
            if known {
                Times::default().give(settings, to, route, true);
            }
        }
    }
}

/// What the thread does: have the main thread call `give` some time after a request was counted.
fn tell_all() {
    loop {
        drop(SOME.wait_while(pending(), |pending| !pending.told));
        thread::sleep(GATHER);
        let live = live();
        // The newest one. Without any, what was counted waits.
        if let Some(scheduler) = live.last() {
            pending().told = false;
            scheduler.schedule();
        }
    }
}

fn pending() -> MutexGuard<'static, Pending> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn given() -> MutexGuard<'static, HashMap<Box<[u8]>, Given>> {
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn live() -> MutexGuard<'static, Vec<Scheduler>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{EDGES_MS, Times, first_token, pending, request};

    #[test]
    fn a_time_is_in_the_bucket_of_the_first_edge_that_is_not_below_it() {
        let mut times = Times::default();
        for ms in [0, 5, 6, 300_000, 300_001] {
            times.add(ms);
        }
        let cumulative = times.cumulative();
        assert_eq!((cumulative[0], cumulative[1]), (2, 3));
        assert_eq!(cumulative[EDGES_MS.len() - 1..], [4, 5]);
        assert_eq!(times.sum_ms, 600_012);
    }

    #[test]
    fn requests_are_counted_by_route_and_status() {
        for (code, ms) in [(200, 1), (200, 2), (404, 3)] {
            request(b"counted", code, ms);
        }
        first_token(b"counted", 4);
        let row = pending().rows.remove(&b"counted"[..]).unwrap();
        assert_eq!(row.codes, [(200, 2), (404, 1)]);
        assert_eq!((row.durations.sum_ms, row.first_tokens.sum_ms), (6, 4));
    }
}
