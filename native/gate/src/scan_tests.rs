//! Texts by the grammar: against another parser, cut anywhere, and nested as deep as they may be.

use super::{DEPTH_MAX, NOWHERE, Place, Reader, Scan};

/// Notes every value, and follows objects for some levels.
#[derive(Default, PartialEq, Debug)]
struct Notes(Vec<(Place, String)>);

impl Reader for Notes {
    fn member(&mut self, place: Place, name: &[u8]) -> Place {
        self.0.push((place, format!("name {}", String::from_utf8_lossy(name))));
        if name.is_empty() { NOWHERE } else { place + 1 }
    }

    fn string(&mut self, place: Place, text: Option<&[u8]>) {
        self.0.push((place, format!("text {:?}", text.map(String::from_utf8_lossy))));
    }

    fn scalar(&mut self, place: Place, text: &[u8]) {
        self.0.push((place, format!("scalar {}", String::from_utf8_lossy(text))));
    }

    fn element(&mut self, place: Place) -> Place {
        place + 1
    }

    fn composite(&mut self, place: Place, object: bool) {
        self.0.push((place, if object { "object" } else { "array" }.to_owned()));
    }
}

fn read(pieces: &[&[u8]]) -> (bool, Notes) {
    let (mut scan, mut notes) = (Scan::new(), Notes::default());
    pieces.iter().for_each(|piece| scan.feed(piece, &mut notes));
    (scan.finish(&mut notes), notes)
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

/// A small generator of numbers, the same on every machine (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn value(&mut self, depth: usize, out: &mut Vec<u8>) {
        match self.roll(if depth > 6 { 5 } else { 9 }) {
            0 => out.extend_from_slice([&b"true"[..], b"false", b"null"][self.roll(3)]),
            1 => self.number(out),
            2..=4 => self.text(out),
            5 | 6 => self.list(depth, out),
            _ => self.object(depth, out),
        }
        self.space(out);
    }

    fn space(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice([&b""[..], b"", b"", b" ", b"\n", b"\r\n\t "][self.roll(6)]);
    }

    fn number(&mut self, out: &mut Vec<u8>) {
        let forms = ["0", "-0", "7", "-12.50", "1e5", "3E-2", "9.0e+10", "123456789012345678901234567890"];
        out.extend_from_slice(forms[self.roll(forms.len())].as_bytes());
    }

    fn text(&mut self, out: &mut Vec<u8>) {
        let parts =
            ["model", "a", "é", "\u{1f600}", "\\n", "\\\"", "\\\\", "\\u0041", "\\ud83d\\ude00", "long text of words "];
        out.push(b'"');
        for _ in 0..self.roll(5) {
            out.extend_from_slice(parts[self.roll(parts.len())].as_bytes());
        }
        out.push(b'"');
    }

    fn list(&mut self, depth: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for number in 0..self.roll(4) {
            if number > 0 {
                out.push(b',');
            }
            self.space(out);
            self.value(depth + 1, out);
        }
        out.push(b']');
    }

    fn object(&mut self, depth: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for number in 0..self.roll(4) {
            if number > 0 {
                out.push(b',');
            }
            self.space(out);
            self.text(out);
            self.space(out);
            out.push(b':');
            self.space(out);
            self.value(depth + 1, out);
        }
        out.push(b'}');
    }

    /// Damage a text: change, remove, repeat or add a byte, or cut it off.
    fn damage(&mut self, text: &mut Vec<u8>) {
        for _ in 0..self.roll(3) {
            if text.is_empty() {
                return;
            }
            let at = self.roll(text.len());
            match self.roll(5) {
                0 => text[at] = b"{}[]\",:\\0-+.eEntf \n\x01"[self.roll(20)],
                1 => drop(text.remove(at)),
                2 => text.insert(at, text[at]),
                3 => text.insert(at, b"{}[]\",:\\ "[self.roll(9)]),
                _ => text.truncate(at),
            }
        }
    }
}

/// `BATEAU_FUZZ` sets how many texts; the seed is always the same.
#[test]
fn random_texts_are_json_exactly_if_another_parser_says_so() {
    let texts = std::env::var("BATEAU_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut good = 0;
    for number in 0..texts {
        let mut text = Vec::new();
        dice.space(&mut text);
        dice.value(0, &mut text);
        dice.damage(&mut text);
        let (found, notes) = read(&[&text]);
        assert_eq!(found, is_json(&text), "{number}: {:?}", String::from_utf8_lossy(&text));
        good += usize::from(found);
        let (one, two) = (dice.roll(text.len() + 1), dice.roll(text.len() + 1));
        let (first, second) = (one.min(two), one.max(two));
        let parts = read(&[&text[..first], &text[first..second], &text[second..]]);
        assert_eq!(
            parts,
            (found, notes),
            "{number}, cut at {first} and {second}: {:?}",
            String::from_utf8_lossy(&text)
        );
    }
    assert!(good > texts / 5 && good < texts, "{good} of {texts} were JSON: the damage is not random");
}

#[test]
fn a_text_is_read_the_same_wherever_it_is_cut() {
    let text =
        r#"{"a":"x\u00e9\ud83d\ude00\n","b":[1,-2.5e+3,true,{"c":null}],"d":{"e":{"f":{"g":{"h":"deep"}}}},"":0} "#;
    let whole = read(&[text.as_bytes()]);
    assert!(whole.0);
    assert!(whole.1.0.contains(&(2, "text Some(\"xé\u{1f600}\\n\")".to_owned())), "{:?}", whole.1);
    assert!(whole.1.0.contains(&(4, "object".to_owned())), "{:?}", whole.1);
    for cut in 0..text.len() {
        assert_eq!(read(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]), whole, "{cut}");
    }
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(read(&bytes), whole);
}

#[test]
fn a_text_may_be_nested_as_deep_as_the_limit() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}0{}", open.repeat(depth), close.repeat(depth));
        assert!(read(&[nested(DEPTH_MAX).as_bytes()]).0);
        assert!(!read(&[nested(DEPTH_MAX + 1).as_bytes()]).0);
    }
    assert!(!read(&[format!("{}{}", "[".repeat(70), "}".repeat(70)).as_bytes()]).0);
}

#[test]
fn another_text_begins_anew() {
    let (mut scan, mut notes) = (Scan::new(), Notes::default());
    scan.feed(b"{\"a\":[[", &mut notes);
    scan.reset();
    scan.feed(b"x", &mut notes);
    assert!(!scan.finish(&mut notes));
    scan.reset();
    scan.feed(b"{\"a\":1}", &mut notes);
    assert!(scan.finish(&mut notes));
    assert_eq!(notes.0.last(), Some(&(2, "scalar 1".to_owned())));
}
