//! A JSON text, in pieces, becomes the few values that somebody asked for.
//!
//! Checks the grammar of RFC 8259, keeps no tree, and copies only names and strings that are asked for. It does not
//! check that strings are UTF-8: whoever takes one does.

use crate::number::Part;
use crate::plain::plain_until;

/// A number that a `Reader` gave to a place in the text.
pub type Place = u8;
/// A place that nobody asked for.
pub const NOWHERE: Place = 0;
/// The place of the whole text.
pub const TOP: Place = 1;
/// A text that is nested deeper is not JSON to us, as it is not to Envoy's own filter.
pub const DEPTH_MAX: usize = 1_000;
const PLACES: usize = 5;
const KEY_MAX: usize = 64;
const SCALAR_MAX: usize = 32;
/// Longer strings are cut.
pub const TEXT_MAX: usize = 4_096;

/// Who asks for values.
pub trait Reader {
    /// The place of the value that has this name in the object at `place`, which is never NOWHERE.
    fn member(&mut self, place: Place, name: &[u8]) -> Place;
    /// The place of the elements of the array at `place`, which is never NOWHERE.
    fn element(&mut self, place: Place) -> Place;
    /// A string at a place; None if its escapes are not text.
    fn string(&mut self, place: Place, text: Option<&[u8]>);
    /// A number, true, false or null at a place.
    fn scalar(&mut self, place: Place, text: &[u8]);
    /// An object, or else an array, began at a place.
    fn composite(&mut self, place: Place, object: bool);
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Start,
    Mark,
    Value,
    FirstElement,
    FirstName,
    Name,
    Colon,
    After,
    Text,
    Escape,
    Hex,
    Number,
    Word,
    Done,
    Bad,
}

/// A text that is being read.
pub struct Scan {
    state: State,
    part: Part,
    /// The string is a name.
    names: bool,
    /// The escapes of the string were text so far.
    sound: bool,
    /// How many bytes of the string or scalar to keep.
    room: usize,
    kept: Vec<u8>,
    /// The digits of an escape, how many, and the first half of a pair.
    unit: u16,
    digits: u8,
    high: u16,
    word: &'static [u8],
    /// How far the word, or the byte order mark, has come.
    step: usize,
    depth: usize,
    /// One bit for each level: an object.
    objects: [u64; DEPTH_MAX.div_ceil(64)],
    places: [Place; PLACES],
    place: Place,
}

impl Scan {
    /// Begin with a text.
    pub fn new() -> Scan {
        Scan {
            state: State::Start,
            part: Part::Zero,
            names: false,
            sound: true,
            room: 0,
            kept: Vec::new(),
            unit: 0,
            digits: 0,
            high: 0,
            word: b"",
            step: 0,
            depth: 0,
            objects: [0; DEPTH_MAX.div_ceil(64)],
            places: [NOWHERE; PLACES],
            place: TOP,
        }
    }

    /// Begin with another text.
    pub fn reset(&mut self) {
        self.state = State::Start;
        self.depth = 0;
        self.place = TOP;
    }

    /// End the text, and return whether it was one JSON value.
    pub fn finish<R: Reader>(&mut self, reader: &mut R) -> bool {
        if self.state == State::Number && self.depth == 0 && self.part.is_end() {
            self.end_scalar(reader);
        }
        self.state == State::Done
    }

    /// Read on. What follows an error is ignored.
    pub fn feed<R: Reader>(&mut self, bytes: &[u8], reader: &mut R) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match self.state {
                State::Text => {
                    let end = plain_until(bytes, at - 1);
                    self.keep(&bytes[at - 1..end]);
                    match bytes.get(end) {
                        Some(b'"') => self.end_text(reader),
                        Some(b'\\') => self.state = State::Escape,
                        Some(_) => self.state = State::Bad,
                        None => return,
                    }
                    at = end + 1;
                }
                State::Escape => self.escape(byte),
                State::Hex => self.hex(byte),
                State::Number => {
                    if !self.number(byte, reader) {
                        at -= 1; // it belongs to what follows the number
                    }
                }
                State::Word => self.letter(byte, reader),
                State::Mark => self.mark(byte),
                State::Bad => return,
                _ if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') => {}
                State::Start | State::Value => self.begin(byte, reader),
                State::FirstElement if byte == b']' => self.close(),
                State::FirstElement => {
                    self.place = self.element(reader);
                    self.begin(byte, reader);
                }
                State::FirstName if byte == b'}' => self.close(),
                State::FirstName | State::Name => {
                    self.state = State::Bad;
                    if byte == b'"' {
                        self.begin_text(true);
                    }
                }
                State::Colon => self.state = if byte == b':' { State::Value } else { State::Bad },
                State::After => self.after(byte, reader),
                State::Done => self.state = State::Bad,
            }
        }
    }

    fn begin<R: Reader>(&mut self, byte: u8, reader: &mut R) {
        match byte {
            b'"' => self.begin_text(false),
            b'{' | b'[' => self.open(byte == b'{', reader),
            b'-' => self.begin_number(Part::Minus, byte),
            b'0' => self.begin_number(Part::Zero, byte),
            b'1'..=b'9' => self.begin_number(Part::Whole, byte),
            b't' => self.begin_word(b"true"),
            b'f' => self.begin_word(b"false"),
            b'n' => self.begin_word(b"null"),
            0xef if self.state == State::Start => {
                self.step = 1;
                self.state = State::Mark;
            }
            _ => self.state = State::Bad,
        }
    }

    /// A byte order mark before the text. Envoy's filter and llama.cpp pass over it.
    fn mark(&mut self, byte: u8) {
        self.step += 1;
        self.state = match (self.step, byte) {
            (2, 0xbb) => State::Mark,
            (3, 0xbf) => State::Value,
            _ => State::Bad,
        };
    }

    fn is_object(&self) -> bool {
        let level = self.depth - 1;
        self.objects[level / 64] >> (level % 64) & 1 == 1
    }

    /// The place of the array or object that we are in.
    fn around(&self) -> Place {
        if self.depth == 0 { NOWHERE } else { self.places.get(self.depth - 1).copied().unwrap_or(NOWHERE) }
    }

    fn open<R: Reader>(&mut self, object: bool, reader: &mut R) {
        if self.depth == DEPTH_MAX {
            self.state = State::Bad;
            return;
        }
        let level = self.depth;
        let bit = 1 << (level % 64);
        if object {
            self.objects[level / 64] |= bit;
        } else {
            self.objects[level / 64] &= !bit;
        }
        if let Some(place) = self.places.get_mut(level) {
            *place = self.place;
        }
        self.depth += 1;
        if self.place != NOWHERE {
            reader.composite(self.place, object);
        }
        self.state = if object { State::FirstName } else { State::FirstElement };
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.end_value();
    }

    fn end_value(&mut self) {
        self.state = if self.depth == 0 { State::Done } else { State::After };
    }

    fn element<R: Reader>(&self, reader: &mut R) -> Place {
        match self.around() {
            NOWHERE => NOWHERE,
            array => reader.element(array),
        }
    }

    fn after<R: Reader>(&mut self, byte: u8, reader: &mut R) {
        let object = self.is_object();
        match byte {
            b',' if object => self.state = State::Name,
            b',' => {
                self.place = self.element(reader);
                self.state = State::Value;
            }
            b'}' if object => self.close(),
            b']' if !object => self.close(),
            _ => self.state = State::Bad,
        }
    }

    fn begin_text(&mut self, names: bool) {
        self.names = names;
        self.sound = true;
        self.high = 0;
        self.kept.clear();
        let place = if names { self.around() } else { self.place };
        self.room = match (place, names) {
            (NOWHERE, _) => 0,
            (_, true) => KEY_MAX,
            (_, false) => TEXT_MAX,
        };
        self.state = State::Text;
    }

    fn end_text<R: Reader>(&mut self, reader: &mut R) {
        self.sound &= self.high == 0;
        if self.names {
            let around = self.around();
            let known = around != NOWHERE && self.sound && self.kept.len() < KEY_MAX;
            self.place = if known { reader.member(around, &self.kept) } else { NOWHERE };
            self.state = State::Colon;
            return;
        }
        if self.place != NOWHERE {
            reader.string(self.place, self.sound.then_some(&self.kept));
        }
        self.end_value();
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.room == 0 || bytes.is_empty() {
            return;
        }
        self.sound &= self.high == 0;
        let rest = self.room - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(rest)]);
    }

    fn escape(&mut self, byte: u8) {
        self.state = State::Text;
        match byte {
            b'"' | b'\\' | b'/' => self.keep(&[byte]),
            b'b' => self.keep(b"\x08"),
            b'f' => self.keep(b"\x0c"),
            b'n' => self.keep(b"\n"),
            b'r' => self.keep(b"\r"),
            b't' => self.keep(b"\t"),
            b'u' => {
                (self.unit, self.digits) = (0, 0);
                self.state = State::Hex;
            }
            _ => self.state = State::Bad,
        }
    }

    fn hex(&mut self, byte: u8) {
        let Some(digit) = char::from(byte).to_digit(16) else {
            self.state = State::Bad;
            return;
        };
        self.unit = self.unit << 4 | digit as u16;
        self.digits += 1;
        if self.digits < 4 {
            return;
        }
        self.state = State::Text;
        if self.room == 0 {
            return;
        }
        match (self.high, self.unit) {
            (0, 0xd800..0xdc00) => self.high = self.unit,
            (high @ 1.., low @ 0xdc00..0xe000) => {
                self.high = 0;
                let point = 0x10000 + (u32::from(high & 0x3ff) << 10) + u32::from(low & 0x3ff);
                self.keep_char(char::from_u32(point));
            }
            (0, unit) => self.keep_char(char::from_u32(u32::from(unit))),
            _ => self.sound = false,
        }
    }

    fn keep_char(&mut self, found: Option<char>) {
        match found {
            Some(found) => self.keep(found.encode_utf8(&mut [0; 4]).as_bytes()),
            None => self.sound = false,
        }
    }

    fn begin_number(&mut self, part: Part, byte: u8) {
        self.begin_scalar();
        self.keep(&[byte]);
        self.part = part;
        self.state = State::Number;
    }

    fn begin_scalar(&mut self) {
        self.kept.clear();
        self.high = 0;
        self.room = if self.place == NOWHERE { 0 } else { SCALAR_MAX };
    }

    /// One more byte of a number, or the one after it: then the result is false.
    fn number<R: Reader>(&mut self, byte: u8, reader: &mut R) -> bool {
        match self.part.then(byte) {
            Some(part) => {
                self.part = part;
                self.keep(&[byte]);
                return true;
            }
            None if self.part.is_end() => self.end_scalar(reader),
            None => self.state = State::Bad,
        }
        false
    }

    fn begin_word(&mut self, word: &'static [u8]) {
        self.begin_scalar();
        self.word = word;
        self.step = 1;
        self.state = State::Word;
    }

    fn letter<R: Reader>(&mut self, byte: u8, reader: &mut R) {
        if byte != self.word[self.step] {
            self.state = State::Bad;
            return;
        }
        self.step += 1;
        if self.step == self.word.len() {
            self.keep(self.word);
            self.end_scalar(reader);
        }
    }

    fn end_scalar<R: Reader>(&mut self, reader: &mut R) {
        if self.place != NOWHERE {
            reader.scalar(self.place, &self.kept);
        }
        self.end_value();
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
