//! A configuration of the filter, and what its requests share.

use crate::abi::Ptr;
use crate::envoy;
use crate::ledger::Ledger;
use crate::table::Table;
use std::sync::Arc;
use std::thread::{self, ThreadId};

/// Counters of Envoy, and its histogram.
#[derive(Clone, Copy)]
pub struct Counters {
    pub written: usize,
    pub lost: usize,
    pub panics: usize,
    /// The time until the first byte of an answer of a replica, by route.
    pub first_token: usize,
}

/// What all requests of one configuration share.
pub struct Config {
    pub table: Table,
    pub ledger: Option<Arc<Ledger>>,
    pub counters: Option<Counters>,
    /// Envoy's main thread.
    main: ThreadId,
}

impl Config {
    /// Read a configuration. An error says what is wrong with it.
    pub fn read(config: Ptr, text: &[u8]) -> Result<Config, String> {
        let table = Table::read(text)?;
        let path = table.ledger.as_deref().filter(|_| !envoy::is_validation());
        let ledger = path.map(Ledger::of);
        let counter = |name| envoy::define_counter(config, name);
        let first_token = envoy::define_histogram(config, "time_to_first_token", "route");
        let counted = (counter("gate_lines_written"), counter("gate_lines_lost"), counter("gate_panics"), first_token);
        let counters = match counted {
            (Some(written), Some(lost), Some(panics), Some(first_token)) => {
                Some(Counters { written, lost, panics, first_token })
            }
            _ => None,
        };
        Ok(Config { table, ledger, counters, main: thread::current().id() })
    }

    /// Have the lines of the last requests written, before the process may end.
    ///
    /// A worker, which may have the last request of an old configuration, does not wait for a disk.
    pub fn settle(&self) {
        if let (Some(ledger), true) = (&self.ledger, self.main == thread::current().id()) {
            ledger.settle();
        }
    }
}
