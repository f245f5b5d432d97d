//! A configuration of the filter, and what its requests share.

use crate::abi::Ptr;
use crate::envoy;
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
        let counters = match (counter("lines_written"), counter("lines_lost"), counter("panics")) {
            (Some(written), Some(lost), Some(panics)) => Some(Counters { written, lost, panics }),
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
