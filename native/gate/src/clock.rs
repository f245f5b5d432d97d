//! The two clocks: one for times, one for durations.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the epoch.
pub fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds since this library was first asked; never less than before.
pub fn steady_ns() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    // A bucket that was never used is empty since 0, so the clock must not begin there.
    let since = BEGAN.get_or_init(Instant::now).elapsed().as_nanos() + 1;
    u64::try_from(since).unwrap_or(u64::MAX)
}
