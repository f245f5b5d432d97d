//! The grammar of numbers in JSON.

/// The part of a number that its last byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Part {
    /// Whether a number may end here.
    pub fn is_end(self) -> bool {
        matches!(self, Part::Zero | Part::Whole | Part::Fraction | Part::Exponent)
    }

    /// The part that one more byte belongs to; None if the byte is not of the number.
    pub fn then(self, byte: u8) -> Option<Part> {
        Some(match (self, byte) {
            (Part::Minus, b'0') => Part::Zero,
            (Part::Minus, b'1'..=b'9') | (Part::Whole, b'0'..=b'9') => Part::Whole,
            (Part::Zero | Part::Whole, b'.') => Part::Point,
            (Part::Point | Part::Fraction, b'0'..=b'9') => Part::Fraction,
            (Part::Zero | Part::Whole | Part::Fraction, b'e' | b'E') => Part::E,
            (Part::E, b'+' | b'-') => Part::Sign,
            (Part::E | Part::Sign | Part::Exponent, b'0'..=b'9') => Part::Exponent,
            _ => return None,
        })
    }
}
