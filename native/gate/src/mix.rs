//! A hash of texts: no secret, the same in every process, and quick for a prompt.
//!
//! It multiplies eight bytes at a time, and folds the product: a client that wants two texts to collide can have that.

use std::hash::Hasher;

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const OTHER: u64 = 0xd6e8_feb8_6659_fd93;

/// The state of a hash.
#[derive(Default)]
pub struct Mix(u64);

impl Mix {
    fn take(&mut self, word: u64) {
        self.0 = folded(self.0 ^ word ^ OTHER, FACTOR);
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.take(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.take(u64::from_le_bytes(last));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.take(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.take(number as u64);
    }

    fn finish(&self) -> u64 {
        folded(self.0 ^ FACTOR, OTHER)
    }
}

/// Both halves of a product: each bit depends on all bits of both factors.
fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::Mix;
    use std::collections::HashSet;
    use std::hash::{Hash, Hasher};

    fn hashed(text: &[u8]) -> u64 {
        let mut mix = Mix::default();
        text.hash(&mut mix);
        mix.finish()
    }

    #[test]
    fn texts_that_differ_anywhere_have_other_numbers() {
        let mut seen = HashSet::new();
        for length in 0..70 {
            for at in 0..length {
                for byte in [0, 1, b'a', 0xff] {
                    let mut text = vec![b'x'; length];
                    text[at] = byte;
                    seen.insert(hashed(&text));
                }
            }
        }
        assert_eq!(seen.len(), 4 * (0..70).sum::<usize>());
    }

    #[test]
    fn numbers_are_spread_evenly_over_few_places() {
        let mut places = [0; 16];
        for number in 0..16_000 {
            places[(hashed(format!("request-{number}").as_bytes()) % 16) as usize] += 1;
        }
        assert!(places.iter().all(|count| (850..1_150).contains(count)), "{places:?}");
    }

    #[test]
    fn a_number_is_the_same_in_every_gateway() {
        assert_eq!(hashed(b"a conversation"), 9_379_891_910_243_714_152);
    }
}
