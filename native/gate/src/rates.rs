//! The headers that tell a client what is left of its limit.

use crate::limit::Left;
use crate::line::digits;

/// What the names of all of them begin with.
pub const NAMES: &[u8] = b"x-ratelimit-";
const SECOND_NS: u64 = 1_000_000_000;

/// What the headers tell, as texts.
pub struct Told {
    limit: Vec<u8>,
    remaining: Vec<u8>,
    reset: Vec<u8>,
    full: Vec<u8>,
}

impl Told {
    /// What is left of a limit.
    pub fn of(limit: u64, left: Left) -> Told {
        let text = |number: u64| {
            let mut found = Vec::with_capacity(24);
            digits(&mut found, number);
            found
        };
        Told {
            limit: text(limit),
            remaining: text(left.requests),
            reset: text(left.wait_ns.div_ceil(SECOND_NS)),
            full: duration(left.full_ns),
        }
    }

    /// The headers: those of Envoy's own filter, and those of OpenAI.
    ///
    /// Source: "RateLimit Header Fields for HTTP", draft 3; "Rate limits in headers" of OpenAI's API.
    pub fn headers(&self) -> [(&'static [u8], &[u8]); 6] {
        [
            (b"x-ratelimit-limit", &self.limit),
            (b"x-ratelimit-remaining", &self.remaining),
            (b"x-ratelimit-reset", &self.reset),
            (b"x-ratelimit-limit-requests", &self.limit),
            (b"x-ratelimit-remaining-requests", &self.remaining),
            (b"x-ratelimit-reset-requests", &self.full),
        ]
    }
}

/// After how many seconds to come back, at least one.
pub fn retry_after(left: Left) -> Vec<u8> {
    left.wait_ns.div_ceil(SECOND_NS).max(1).to_string().into_bytes()
}

/// A duration as OpenAI writes it: `120ms`, `1s`, `6m0s`.
fn duration(ns: u64) -> Vec<u8> {
    let mut found = Vec::with_capacity(24);
    let mut part = |number: u64, unit: &[u8]| {
        digits(&mut found, number);
        found.extend_from_slice(unit);
    };
    let seconds = ns.div_ceil(SECOND_NS);
    if ns < SECOND_NS {
        part(ns.div_ceil(1_000_000), b"ms");
    } else if seconds < 60 {
        part(seconds, b"s");
    } else {
        part(seconds / 60, b"m");
        part(seconds % 60, b"s");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Told, duration, retry_after};
    use crate::limit::Left;

    #[test]
    fn a_duration_is_written_as_openai_does() {
        for (ms, text) in
            [(0, "0ms"), (120, "120ms"), (1_000, "1s"), (1_001, "2s"), (59_500, "1m0s"), (360_000, "6m0s")]
        {
            assert_eq!(duration(ms * 1_000_000), text.as_bytes());
        }
    }

    #[test]
    fn what_is_left_is_told_in_both_words() {
        let left = Left { requests: 0, wait_ns: 18_200_000_000, full_ns: 60_000_000_000 };
        let told = Told::of(3, left);
        let found = told.headers().map(|(_, value)| std::str::from_utf8(value).unwrap());
        assert_eq!(found, ["3", "0", "19", "3", "0", "1m0s"]);
        assert_eq!(retry_after(left), b"19");
        assert_eq!(retry_after(Left { requests: 0, wait_ns: 0, full_ns: 0 }), b"1");
    }
}
