//! Bateau's filter for requests to models, as a dynamic module of Envoy.
//!
//! It checks the key of a request, its expiry and its limits, reads the model from the body, reads the usage in the
//! answer, and writes a line about it. Envoy loads the library, and calls the functions in `hooks`.
//!
//! Where it refuses a request, it says so with the status and the response code details of Envoy's own filters, so
//! that one table outside of this library has the text of each refusal.

#![allow(unsafe_code)]

mod abi;
mod admission;
mod balance;
mod balance_hooks;
mod barrier;
mod begun;
mod claims;
mod clock;
mod config;
mod content;
mod counts;
mod envoy;
mod filter;
mod glob;
mod hooks;
mod ledger;
mod ledger_file;
mod limit;
mod line;
mod mend;
mod mix;
mod model;
mod number;
mod path;
mod places;
mod plain;
mod prefix;
mod rates;
mod scan;
mod seen;
mod sse;
mod table;
mod trace;
mod turns;
mod usage;
