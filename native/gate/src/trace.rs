//! The trace that a request belongs to, as its client says. Source: W3C Trace Context, version 00.

const LENGTH: usize = 55;

/// Whether a header is a `traceparent`. Any other value is a text of the client, which the ledger does not get.
pub fn is_parent(value: &[u8]) -> bool {
    let fits = |(at, byte): (usize, &u8)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    value.len() == LENGTH && value.starts_with(b"00") && value.iter().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::is_parent;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn only_a_traceparent_is_one() {
        assert!(is_parent(GOOD.as_bytes()));
        for (from, to) in
            [("00-0a", "01-0a"), ("af7", "AF7"), ("-b7", "_b7"), ("-01", "-0g"), ("-01", ""), ("-01", "-01-x")]
        {
            assert!(!is_parent(GOOD.replace(from, to).as_bytes()), "{from} {to}");
        }
        assert!(!is_parent(b""));
    }
}
