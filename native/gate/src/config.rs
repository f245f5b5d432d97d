//! A configuration of the filter, and what its requests share.

use crate::counts;
use crate::envoy::{self, Settings};
use crate::ledger::Ledger;
use crate::table::Table;
use std::sync::Arc;
use std::thread::{self, ThreadId};

/// Counters of Envoy.
#[derive(Clone, Copy)]
pub struct Counters {
    pub written: usize,
    pub lost: usize,
    pub panics: usize,
    /// Requests, by route and status.
    pub requests: usize,
    /// How long they took, by route.
    pub durations: Times,
    /// The time until the first byte of an answer of a replica, by route.
    pub first_tokens: Times,
}

impl Counters {
    fn define(settings: Settings) -> Option<Counters> {
        let counter = |name: &str, labels: &[&str]| settings.define_counter(name, labels);
        Some(Counters {
            written: counter("gate_lines_written", &[])?,
            lost: counter("gate_lines_lost", &[])?,
            panics: counter("gate_panics", &[])?,
            requests: counter("requests", &["route", "code"])?,
            durations: Times::define(settings, "request_duration")?,
            first_tokens: Times::define(settings, "time_to_first_token")?,
        })
    }
}

/// The counters of a histogram as Prometheus has them; times in milliseconds.
#[derive(Clone, Copy)]
pub struct Times {
    pub buckets: usize,
    pub sum: usize,
    pub count: usize,
}

impl Times {
    fn define(settings: Settings, name: &str) -> Option<Times> {
        let counter = |suffix: &str, labels: &[&str]| settings.define_counter(&format!("{name}_{suffix}"), labels);
        Some(Times {
            buckets: counter("bucket", &["route", "le"])?,
            sum: counter("sum", &["route"])?,
            count: counter("count", &["route"])?,
        })
    }
}

/// What all requests of one configuration share.
pub struct Config {
    pub table: Table,
    pub ledger: Option<Arc<Ledger>>,
    pub counters: Option<Counters>,
    /// The name of its scheduler.
    scheduled: Option<usize>,
    /// Envoy's main thread.
    main: ThreadId,
}

impl Config {
    /// Read a configuration. An error says what is wrong with it.
    pub fn read(settings: Settings, text: &[u8]) -> Result<Config, String> {
        let table = Table::read(text)?;
        let path = table.ledger.as_deref().filter(|_| !envoy::is_validation());
        let ledger = path.map(Ledger::of);
        let counters = Counters::define(settings);
        let scheduled = counters.filter(|_| !envoy::is_validation()).map(|counters| {
            let scheduler = settings.scheduler();
            let name = scheduler.id();
            counts::begin(settings, &counters, scheduler);
            name
        });
        Ok(Config { table, ledger, counters, scheduled, main: thread::current().id() })
    }

    /// The configuration ends: another one gives Envoy what was counted.
    pub fn end(&self) {
        counts::end(|scheduler| Some(scheduler.id()) == self.scheduled);
        self.settle();
    }

    /// Add all that was counted to Envoy's counters.
    pub fn give_counts(&self, settings: Settings) {
        if let Some(counters) = &self.counters {
            counts::give(settings, counters);
        }
    }

    /// Have the lines of the last requests written, before the process may end.
    ///
    /// A worker, which may have the last request of an old configuration, does not wait for a disk.
    fn settle(&self) {
        if let (Some(ledger), true) = (&self.ledger, self.main == thread::current().id()) {
            ledger.settle();
        }
    }
}
