//! Finds the end of a run of ordinary bytes of a JSON string, 32 at a time, and then eight.

const WIDE: usize = 32;
const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

/// Where the run of ordinary bytes of a string ends: at a quote, a backslash, a control byte, or the end.
pub fn plain_until(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    // The compiler compares 16 of them in one instruction: most of a prompt is ordinary.
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<WIDE>()) {
        let ends = |byte: &u8| u8::from(*byte == b'"') | u8::from(*byte == b'\\') | u8::from(*byte < 0x20);
        if block.iter().map(ends).fold(0, |found, end| found | end) != 0 {
            break;
        }
        at += WIDE;
    }
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = ends(u64::from_le_bytes(*block));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20));
    rest.map_or(bytes.len(), |more| at + more)
}

/// Whether a text is its own JSON string: ASCII without quotes, backslashes and control bytes.
pub fn is_plain(bytes: &[u8]) -> bool {
    let plain = |block: &[u8; 8]| {
        let block = u64::from_le_bytes(*block);
        (ends(block) | block) & HIGHS == 0
    };
    let (blocks, _) = bytes.as_chunks::<8>();
    // The last eight bytes are looked at as a whole, some of them twice.
    match bytes.last_chunk::<8>() {
        Some(last) => plain(last) && blocks.iter().all(plain),
        None => bytes.iter().all(|byte| !matches!(byte, b'"' | b'\\' | ..0x20 | 0x80..)),
    }
}

/// Eight bytes: the highest bit of the first one at which a run of ordinary bytes ends is set, and none before it.
fn ends(block: u64) -> u64 {
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let controls = block.wrapping_sub(ONES * 0x20) & !block;
    // The first byte that is found is right; those after it may be wrong, because of the borrow.
    (zeros(block ^ (ONES * u64::from(b'"'))) | zeros(block ^ (ONES * u64::from(b'\\'))) | controls) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::{is_plain, plain_until};

    #[test]
    fn a_text_is_plain_if_nothing_in_it_is_escaped() {
        assert!(is_plain(b"") && is_plain(b"/v1/chat/completions"));
        for text in [&b"\""[..], b"a long text with a \\ in it", b"line\n", "a\u{e9}".as_bytes(), b"12345678\xff"] {
            assert!(!is_plain(text), "{text:?}");
        }
    }

    #[test]
    fn the_end_of_ordinary_bytes_is_found_at_each_place() {
        for stop in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for at in 0..40 {
                for filler in [b'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff] {
                    let mut text = vec![filler; 40];
                    text[at] = stop;
                    assert_eq!(plain_until(&text, 0), at, "{stop} {filler}");
                    text[39] = b'"';
                    assert_eq!(plain_until(&text, at), at);
                }
            }
        }
        assert_eq!(plain_until(&[b'a'; 17], 3), 17);
    }
}
