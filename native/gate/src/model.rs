//! The model that the body of a request names, and what its conversation begins with.

use crate::prefix::{Beginning, MESSAGE, MESSAGES, ROLE};
use crate::scan::{NOWHERE, Place, Reader, Scan, TOP};
use crate::turns::{Fault, Roles, Turns};

const MODEL: Place = 2;
/// A message of which only the role is read.
const TURN: Place = 13;
const TURN_ROLE: Place = 14;

/// What a body names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// JSON without a model.
    Missing,
    /// Not JSON.
    Invalid,
    /// The name of a model, which need not exist. It can be the value of a header.
    Model(String),
}

#[derive(Default)]
struct Found {
    named: Option<Vec<u8>>,
    sound: bool,
    /// None where nobody asks for it.
    beginning: Option<Beginning>,
    turns: Option<Turns>,
}

impl Found {
    /// The messages, while they are read and somebody asks for them.
    fn turns(&mut self) -> Option<&mut Turns> {
        self.turns.as_mut().filter(|turns| turns.is_read)
    }

    /// A role, or messages, that are not what they should be.
    fn note_other(&mut self, place: Place) {
        match (place, self.turns()) {
            (MESSAGES, Some(turns)) => turns.begin(false),
            (ROLE | TURN_ROLE, Some(turns)) => turns.role(None),
            _ => {}
        }
    }
}

impl Reader for Found {
    fn member(&mut self, place: Place, name: &[u8]) -> Place {
        if let (TOP, Some(turns)) = (place, &mut self.turns) {
            turns.is_read = name == b"messages";
        }
        match (place, name, &mut self.beginning) {
            (TOP, b"model", _) => MODEL,
            (TOP, b"messages", _) if self.turns.is_some() => MESSAGES,
            (TURN, b"role", _) => TURN_ROLE,
            (TURN, ..) => NOWHERE,
            (.., Some(beginning)) => beginning.member(place, name),
            (.., None) => NOWHERE,
        }
    }

    fn element(&mut self, place: Place) -> Place {
        let found = self.beginning.as_mut().map_or(NOWHERE, |beginning| beginning.element(place));
        match (place, self.turns()) {
            (MESSAGES, Some(turns)) => {
                turns.message();
                if found == NOWHERE { TURN } else { found }
            }
            _ => found,
        }
    }

    fn string(&mut self, place: Place, text: Option<&[u8]>) {
        match (place, self.turns()) {
            (MODEL, _) => {
                self.sound = text.is_some();
                self.named = text.map(<[u8]>::to_vec);
                return;
            }
            (MESSAGES, Some(turns)) => turns.begin(false),
            (ROLE | TURN_ROLE, Some(turns)) => turns.role(text),
            _ => {}
        }
        if let (Some(beginning), Some(text)) = (&mut self.beginning, text) {
            beginning.string(place, text);
        }
    }

    /// Envoy's filter routes by a number, too. There is no such model, and the answer says so.
    fn scalar(&mut self, place: Place, text: &[u8]) {
        if place == MODEL {
            self.sound = true;
            self.named = (text != b"null").then(|| text.to_vec());
        }
        self.note_other(place);
    }

    fn composite(&mut self, place: Place, object: bool) {
        if place == MODEL {
            self.sound = true;
            self.named = None;
        }
        match (place, self.turns()) {
            (MESSAGES, Some(turns)) => turns.begin(!object),
            (MESSAGE | TURN, Some(turns)) if object => turns.object(),
            _ => self.note_other(place),
        }
    }
}

/// The body of a request, as it comes.
pub struct Question {
    scan: Scan,
    found: Found,
    empty: bool,
}

impl Question {
    /// A body of which nothing has come; with `of_prompt` it is known afterwards what its conversation begins with, and
    /// with `roles`, whether its messages have one of them each.
    pub fn new(of_prompt: bool, roles: Option<Roles>) -> Question {
        let beginning = of_prompt.then(Beginning::default);
        let turns = roles.map(Turns::new);
        Question { scan: Scan::new(), found: Found { named: None, sound: true, beginning, turns }, empty: true }
    }

    /// The next piece of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        self.empty &= piece.is_empty();
        self.scan.feed(piece, &mut self.found);
    }

    /// The body has ended. Where a name comes twice, the last one counts, as in Envoy's filter and in engines.
    pub fn finish(&mut self) -> Named {
        if self.empty {
            return Named::Missing;
        }
        if !self.scan.finish(&mut self.found) || !self.found.sound {
            return Named::Invalid;
        }
        match self.found.named.take().map(cut_to_text) {
            None => Named::Missing,
            Some(None) => Named::Invalid,
            Some(Some(name)) => Named::Model(printable(name)),
        }
    }

    /// Why its messages cannot be answered, after `finish`.
    pub fn fault(&mut self) -> Option<Fault> {
        self.found.turns.as_mut()?.fault()
    }

    /// What the conversation begins with, for the model that `finish` has returned.
    pub fn prefix(&mut self, model: &str) -> Option<u64> {
        self.found.beginning.as_mut()?.finish(model)
    }
}

/// The text of bytes that may have been cut within a character; None if they are no text.
fn cut_to_text(bytes: Vec<u8>) -> Option<String> {
    let cut = bytes.len() == crate::scan::TEXT_MAX;
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if cut && error.utf8_error().error_len().is_none() => {
            let end = error.utf8_error().valid_up_to();
            String::from_utf8(error.into_bytes()[..end].to_vec()).ok()
        }
        Err(_) => None,
    }
}

/// A name without line breaks and other control characters. A header with them could be taken for two.
fn printable(name: String) -> String {
    if name.bytes().all(|byte| byte >= 0x20 && byte != 0x7f) {
        return name;
    }
    name.chars().map(|each| if each.is_ascii_control() { char::REPLACEMENT_CHARACTER } else { each }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Named, Question};

    fn named(body: &[u8]) -> Named {
        let mut whole = Question::new(false, None);
        whole.feed(body);
        let expected = whole.finish();
        let mut asks_more = Question::new(true, None);
        asks_more.feed(body);
        assert_eq!(asks_more.finish(), expected, "{:?}", String::from_utf8_lossy(body));
        for cut in 0..=body.len() {
            let mut parts = Question::new(false, None);
            parts.feed(&body[..cut]);
            parts.feed(&body[cut..]);
            assert_eq!(parts.finish(), expected, "cut at {cut}: {:?}", String::from_utf8_lossy(body));
        }
        let mut bytes = Question::new(false, None);
        body.chunks(1).for_each(|byte| bytes.feed(byte));
        assert_eq!(bytes.finish(), expected, "byte by byte: {:?}", String::from_utf8_lossy(body));
        expected
    }

    fn model(name: &str) -> Named {
        Named::Model(name.to_owned())
    }

    #[test]
    fn the_model_at_the_top_is_named() {
        for (body, name) in [
            (r#"{"model":"chat"}"#, "chat"),
            (r#" {"messages" : [ {"model":"other"} ] , "model" : "chat" } "#, "chat"),
            (r#"{"a":{"model":"x"},"model":"y","b":[{"model":"z"}]}"#, "y"),
            (r#"{"mod\u0065l":"ch\u0061t"}"#, "chat"),
            (r#"{"model":"a\/b\\c\"d"}"#, "a/b\\c\"d"),
            (r#"{"model":"\ud83d\ude00 é"}"#, "\u{1f600} é"),
            (r#"{"model":"\ud800\udc00\udbff\udfff\ud7ff\ue000"}"#, "\u{10000}\u{10ffff}\u{d7ff}\u{e000}"),
            (r#"{"model":"other","model":"chat"}"#, "chat"),
            (r#"{"model":null,"model":"chat"}"#, "chat"),
            (r#"{"model":{"model":"x"},"model":"chat"}"#, "chat"),
            (r#"{"model":"chat","model ":"x","Model":"y","models":"z"}"#, "chat"),
            (r#"{"model":""}"#, ""),
            (r#"{"model":7}"#, "7"),
            (r#"{"model":-1.5}"#, "-1.5"),
            (r#"{"model":true}"#, "true"),
            ("\u{feff}{\"model\":\"chat\"}", "chat"),
            (r#"{"model":"a\nb\u0000c\u007f"}"#, "a\u{fffd}b\u{fffd}c\u{fffd}"),
        ] {
            assert_eq!(named(body.as_bytes()), model(name), "{body}");
        }
    }

    #[test]
    fn json_without_a_model_is_missing_one() {
        for body in [
            "",
            "{}",
            "[]",
            "0",
            "null",
            r#""model""#,
            r#"{"model":null}"#,
            r#"{"model":{}}"#,
            r#"{"model":["chat"]}"#,
            r#"{"model":"chat","model":null}"#,
            r#"{"model":"chat","model":{}}"#,
            r#"[{"model":"chat"}]"#,
            r#"{"x":{"model":"chat"}}"#,
        ] {
            assert_eq!(named(body.as_bytes()), Named::Missing, "{body}");
        }
    }

    #[test]
    fn what_is_no_json_is_invalid() {
        for body in [
            &b" "[..],
            b"{",
            br#"{"model":"chat""#,
            br#"{"model":"chat"}x"#,
            br#"{"model":"chat"}{}"#,
            br#"{"model":"chat",}"#,
            br#"{"model":"chat" /**/}"#,
            br#"{"model":"\ud83d"}"#,
            br#"{"model":"\ude00"}"#,
            br#"{"model":"\ud83dx"}"#,
            br#"{"model":"\ud83d\ud83d"}"#,
            br#"{"model":"\x"}"#,
            b"{\"model\":\"a\xff\"}",
            b"{\"model\":\"a\tb\"}",
            br#"{"model":"chat","x":01}"#,
            br#"{"model":"chat","x":NaN}"#,
            br#"{"model":"chat","x":1.}"#,
            br#"{model:"chat"}"#,
            b"\xef\xbb{}",
            b"\xef\xbb\xbf\xef\xbb\xbf{}",
        ] {
            assert_eq!(named(body), Named::Invalid, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_between_characters() {
        for name in ["a".repeat(10_000), "é".repeat(10_000), format!("a{}", "é".repeat(10_000))] {
            let mut question = Question::new(false, None);
            question.feed(format!(r#"{{"model":"{name}"}}"#).as_bytes());
            let Named::Model(found) = question.finish() else { panic!("no name") };
            assert!(name.starts_with(&found) && found.len() >= 4_094, "{}", found.len());
        }
    }
}
