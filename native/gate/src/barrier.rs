//! A panic ends one request, and no other.

use crate::abi::LOG_ERROR;
use crate::envoy;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Run a hook; after a panic, run `instead`.
pub fn guarded<R>(hook: impl FnOnce() -> R, instead: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(hook)).unwrap_or_else(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        envoy::log(LOG_ERROR, "bateau_gate: a request met a bug in this filter, and was ended");
        instead()
    })
}

/// How many panics there were since this was asked last.
pub fn new_panics() -> u64 {
    if PANICS.load(Ordering::Relaxed) == 0 { 0 } else { PANICS.swap(0, Ordering::Relaxed) }
}

/// Panic if a test asks for it with a header. Only in a library for tests.
#[cfg(feature = "panics")]
pub fn panic_if_asked(http: envoy::Http, place: &[u8]) {
    let asked = http.header(crate::abi::REQUEST_HEADERS, b"x-gate-panics").is_some_and(|value| value == place);
    assert!(!asked, "asked by a test");
}

/// Nothing asks for it.
#[cfg(not(feature = "panics"))]
pub fn panic_if_asked(_: envoy::Http, _: &[u8]) {}
