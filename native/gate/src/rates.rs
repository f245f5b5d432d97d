//! The headers that tell a client what is left of its limit.

use crate::limit::Left;
use crate::line::digits;

/// What the names of all of them begin with.
pub const NAMES: &[u8] = b"x-ratelimit-";
const SECOND_NS: u64 = 1_000_000_000;

/// The headers: those of Envoy's own filter, and those of OpenAI.
///
/// Source: "RateLimit Header Fields for HTTP", draft 3; "Rate limits in headers" of OpenAI's API.
pub fn headers(limit: u64, left: Left) -> [(&'static [u8], Vec<u8>); 6] {
    let text = |number: u64| {
        let mut found = Vec::with_capacity(20);
        digits(&mut found, number);
        found
    };
    [
        (b"x-ratelimit-limit", text(limit)),
        (b"x-ratelimit-remaining", text(left.requests)),
        (b"x-ratelimit-reset", text(left.wait_ns.div_ceil(SECOND_NS))),
        (b"x-ratelimit-limit-requests", text(limit)),
        (b"x-ratelimit-remaining-requests", text(left.requests)),
        (b"x-ratelimit-reset-requests", duration(left.full_ns).into_bytes()),
    ]
}

/// After how many seconds to come back, at least one.
pub fn retry_after(left: Left) -> Vec<u8> {
    left.wait_ns.div_ceil(SECOND_NS).max(1).to_string().into_bytes()
}

/// A duration as OpenAI writes it: `120ms`, `1s`, `6m0s`.
fn duration(ns: u64) -> String {
    if ns < SECOND_NS {
        return format!("{}ms", ns.div_ceil(1_000_000));
    }
    let seconds = ns.div_ceil(SECOND_NS);
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::{duration, headers, retry_after};
    use crate::limit::Left;

    #[test]
    fn a_duration_is_written_as_openai_does() {
        for (ms, text) in
            [(0, "0ms"), (120, "120ms"), (1_000, "1s"), (1_001, "2s"), (59_500, "1m0s"), (360_000, "6m0s")]
        {
            assert_eq!(duration(ms * 1_000_000), text);
        }
    }

    #[test]
    fn what_is_left_is_told_in_both_words() {
        let left = Left { requests: 0, wait_ns: 18_200_000_000, full_ns: 60_000_000_000 };
        let found: Vec<_> = headers(3, left).into_iter().map(|(_, value)| String::from_utf8(value).unwrap()).collect();
        assert_eq!(found, ["3", "0", "19", "3", "0", "1m0s"]);
        assert_eq!(retry_after(left), b"19");
        assert_eq!(retry_after(Left { requests: 0, wait_ns: 0, full_ns: 0 }), b"1");
    }
}
