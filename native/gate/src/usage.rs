//! The usage that an answer says: how many tokens the question and the answer have.
//!
//! Only the places where an API says it count: an answer may repeat objects that a client has sent.
//! Source: the fields `usage` of OpenAI's and Anthropic's API references; `timings` of llama.cpp.

use crate::scan::{NOWHERE, Place, Reader, Scan, TOP};
use crate::sse::Events;

/// The counts and times, as the answer and the ledger name them.
pub const NAMES: [&str; 11] = [
    "prompt_tokens",
    "completion_tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cached_tokens",
    "prompt_n",
    "cache_n",
    "predicted_n",
    "prompt_ms",
    "predicted_ms",
];
const IN_USAGE: std::ops::Range<usize> = 0..5;
const IN_DETAILS: std::ops::Range<usize> = 5..6;
const IN_TIMINGS: std::ops::Range<usize> = 6..11;
const TIMES: std::ops::Range<usize> = 9..11;

const USAGE: Place = 2;
const RESPONSE: Place = 3;
const TIMINGS: Place = 4;
const DETAILS: Place = 5;
const MESSAGE: Place = 6;
const DELTA: Place = 7;
const CHOICES: Place = 8;
const CHOICE: Place = 9;
const REASON: Place = 10;
const FIRST_COUNT: Place = 11;
// Longer numbers are no counts, and longer words no reasons.
const DIGITS_MAX: usize = 15;
const REASON_MAX: usize = 64;

/// What was found so far. Where something is said more than once, the last one is true.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Said {
    counts: [Option<u64>; NAMES.len()],
    reason: Vec<u8>,
    objects: u64,
}

impl Said {
    /// The counts and times that were said, by name; times in milliseconds.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().zip(self.counts).filter_map(|(name, count)| Some((name, count?)))
    }

    /// Why the answer ended: a word of its API.
    pub fn reason(&self) -> Option<&[u8]> {
        Some(&self.reason[..]).filter(|reason| !reason.is_empty())
    }

    /// Count events that are objects, and that nobody has read.
    pub fn add_events(&mut self, objects: u64) {
        self.objects += objects;
    }
}

fn count_in(names: std::ops::Range<usize>, name: &[u8]) -> Place {
    let found = names.into_iter().find(|&number| NAMES[number].as_bytes() == name);
    found.map_or(NOWHERE, |number| FIRST_COUNT + number as Place)
}

impl Reader for Said {
    fn member(&mut self, place: Place, name: &[u8]) -> Place {
        match (place, name) {
            (TOP | MESSAGE | RESPONSE, b"usage") => USAGE,
            (TOP, b"message") => MESSAGE,
            (TOP, b"response") => RESPONSE,
            (TOP, b"timings") => TIMINGS,
            (TOP, b"choices") => CHOICES,
            (TOP, b"delta") => DELTA,
            (CHOICE, b"finish_reason") | (TOP | MESSAGE | DELTA, b"stop_reason") => REASON,
            (USAGE, name) if name.ends_with(b"_details") => DETAILS,
            (USAGE, name) => count_in(IN_USAGE, name),
            (DETAILS, name) => count_in(IN_DETAILS, name),
            (TIMINGS, name) => count_in(IN_TIMINGS, name),
            _ => NOWHERE,
        }
    }

    fn element(&mut self, place: Place) -> Place {
        if place == CHOICES { CHOICE } else { NOWHERE }
    }

    fn string(&mut self, place: Place, text: Option<&[u8]>) {
        if let (REASON, Some(word)) = (place, text)
            && (1..=REASON_MAX).contains(&word.len())
            && word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        {
            self.reason = word.to_vec();
        }
    }

    fn scalar(&mut self, place: Place, text: &[u8]) {
        let Some(number) = place.checked_sub(FIRST_COUNT).map(usize::from) else { return };
        // Times have fractions, counts have none.
        let whole = match memchr::memchr(b'.', text) {
            Some(point) if TIMES.contains(&number) && text[point + 1..].iter().all(u8::is_ascii_digit) => {
                &text[..point]
            }
            _ => text,
        };
        if let Some(slot) = self.counts.get_mut(number)
            && whole.len() <= DIGITS_MAX
            && whole.iter().all(u8::is_ascii_digit)
        {
            *slot = std::str::from_utf8(whole).ok().and_then(|digits| digits.parse().ok()).or(*slot);
        }
    }

    fn composite(&mut self, place: Place, object: bool) {
        self.objects += u64::from(place == TOP && object);
    }
}

/// The body of an answer, as it comes.
pub struct Answer {
    said: Said,
    scan: Scan,
    events: Option<Events>,
}

impl Answer {
    /// The reader for a content type; None if such an answer says no usage.
    pub fn of(kind: &[u8]) -> Option<Answer> {
        let events = memchr::memmem::find(kind, b"event-stream").map(|_| Events::default());
        if events.is_none() && memchr::memmem::find(kind, b"json").is_none() {
            return None;
        }
        Some(Answer { said: Said::default(), scan: Scan::new(), events })
    }

    /// The next piece of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        match &mut self.events {
            Some(events) => events.feed(piece, &mut self.scan, &mut self.said),
            None => self.scan.feed(piece, &mut self.said),
        }
    }

    /// What the answer has said so far.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// How many events that are objects the stream had so far; None if it is not a stream.
    pub fn events(&self) -> Option<u64> {
        self.events.as_ref().map(|_| self.said.objects)
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    fn said(kind: &str, body: &str) -> Vec<(&'static str, u64)> {
        let read = |pieces: &[&[u8]]| {
            let mut answer = Answer::of(kind.as_bytes()).expect("a kind that says usage");
            pieces.iter().for_each(|piece| answer.feed(piece));
            answer.said().counts().collect::<Vec<_>>()
        };
        let (bytes, whole) = (body.as_bytes(), read(&[body.as_bytes()]));
        for cut in 0..=bytes.len() {
            assert_eq!(read(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}: {body:?}");
        }
        assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), whole, "byte by byte: {body:?}");
        assert_eq!(read(&bytes.chunks(3).collect::<Vec<_>>()), whole, "by three bytes: {body:?}");
        whole
    }

    const JSON: &str = "application/json; charset=utf-8";
    const STREAM: &str = "text/event-stream";
    const BOTH: [(&str, u64); 2] = [("prompt_tokens", 30), ("completion_tokens", 4)];

    #[test]
    fn only_answers_in_json_say_usage() {
        assert!(Answer::of(b"text/plain").is_none());
        assert!(Answer::of(b"").is_none());
    }

    #[test]
    fn usage_counts_where_an_api_says_it() {
        for (body, expected) in [
            (r#"{"usage":{"prompt_tokens":30,"completion_tokens":4,"total_tokens":34}}"#, &BOTH[..]),
            (r#"{"message":{"usage":{"input_tokens":3}}}"#, &[("input_tokens", 3)]),
            (r#"{"response":{"usage":{"output_tokens":3}}}"#, &[("output_tokens", 3)]),
            (r#"{"usage":{"prompt_tokens_details":{"cached_tokens":20}}}"#, &[("cached_tokens", 20)]),
            (
                r#"{"timings":{"prompt_n":1,"cache_n":2,"predicted_n":3}}"#,
                &[("prompt_n", 1), ("cache_n", 2), ("predicted_n", 3)],
            ),
            (r#"{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":30,"completion_tokens":4}}"#, &BOTH),
            (r#"{"usage":{"prompt_tokens":30,"completion_tokens":4},"usage":null}"#, &BOTH),
            (
                r#"{"usage":{"note":"}","prompt_tokens":30,"completion_tokens":4},"tools":[{"usage":{"prompt_tokens":0}}]}"#,
                &BOTH,
            ),
            (r#"{"usage":{"prompt_tokens":30,"completion_tokens":4},"x":{"usage":{"prompt_tokens":0}}}"#, &BOTH),
            (r#"{"usage":{"prompt_tokens":30,"completion_tokens":4,"x":{"prompt_tokens":0}}}"#, &BOTH),
            (r#"{"message":{"message":{"usage":{"input_tokens":3}}}}"#, &[]),
            (r#"{"timings":{"prompt_tokens":1},"usage":{"prompt_n":1}}"#, &[]),
            (r#"{"x_details":{"cached_tokens":1},"usage":{"cached_tokens":2}}"#, &[]),
            (r#"[{"usage":{"prompt_tokens":1}}]"#, &[]),
            (r#"{"usage":[{"prompt_tokens":1}]}"#, &[]),
            (r#""usage":{"prompt_tokens":1}"#, &[]),
            (r#"{"usage":{"prompt_tokens":"7","completion_tokens":-1}}"#, &[]),
            (r#"{"usage":{"prompt_tokens":1e3,"completion_tokens":1.5}}"#, &[]),
            (r#"{"usage":{"prompt_tokens":1000000000000000000000000000000}}"#, &[]),
            (
                r#"{"usage":{"prompt_tokens":999999999999999,"completion_tokens":1000000000000000}}"#,
                &[("prompt_tokens", 999_999_999_999_999)],
            ),
        ] {
            assert_eq!(said(JSON, body), expected, "{body}");
        }
    }

    #[test]
    fn each_event_of_a_stream_is_a_text_of_its_own() {
        let usage = r#"{"usage":{"prompt_tokens":30,"completion_tokens":4}}"#;
        for body in [
            format!("data: {{\"choices\":[]}}\n\ndata: {usage}\n\ndata: [DONE]\n\n"),
            format!("data: {{\"choices\":[]}}\r\n\r\ndata: {usage}\r\n\r\ndata: [DONE]\r\n\r\n"),
            format!("data: {{\"choices\":[]}}\r\rdata: {usage}\r\rdata: [DONE]\r\r"),
            format!("event: x\ndata:{usage}\nid: 7\n\n"),
            format!(": comment\n\n\n\ndata: {usage}\n\n: usage\"\n\n"),
            format!("data: {{\"a\":\n\ndata: {usage}\n\n"),
            format!("data: \"\n\ndata: null\n\ndata: 0\n\ndata: {usage}\n\n"),
            "data: {\"usage\":\ndata: {\"prompt_tokens\":30,\ndata: \"completion_tokens\":4}}\n\n".to_owned(),
            "data: {\"usage\":\ndata\ndata: {\"prompt_tokens\":30,\ndatas: x\ndata: \"completion_tokens\":4}}\n\n"
                .to_owned(),
            format!("data: {usage}\n\ndata: {{\"usage\":null}}\n\ndata: {{\"usage\":[7]}}\n\n"),
            format!("data: {usage}\n\ndata: [{{\"usage\":{{\"prompt_tokens\":7}}}}]\n\n"),
            format!("data: {{\"a\":\"{{\\\"usage\\\":{{\\\"prompt_tokens\\\":7}}}}\"}}\n\ndata: {usage}\n\n"),
            format!("data: {usage}\n\nusage: {{\"usage\":{{\"prompt_tokens\":7}}}}\n\n"),
            format!("data: {usage}"),
        ] {
            assert_eq!(said(STREAM, &body), BOTH, "{body:?}");
        }
        for body in ["data: not JSON\n\ndata: {\n\ndata: [DONE]\n\n", "data: \n\n", "", "\n", "usage\": 1\n\n"] {
            assert_eq!(said(STREAM, body), [], "{body:?}");
        }
    }

    #[test]
    fn a_stream_of_anthropic_says_it_in_two_places() {
        let body = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":20,\"output_tokens\":0}}}\n\nevent: message_delta\ndata: {\"usage\":{\"output_tokens\":4}}\n\n";
        assert_eq!(said(STREAM, body), [("input_tokens", 10), ("output_tokens", 4), ("cache_read_input_tokens", 20)]);
    }

    fn read(kind: &str, body: &str, piece: usize) -> (Option<String>, Option<u64>) {
        let mut answer = Answer::of(kind.as_bytes()).expect("a kind that says usage");
        body.as_bytes().chunks(piece).for_each(|piece| answer.feed(piece));
        let reason = answer.said().reason().map(|reason| String::from_utf8(reason.to_vec()).unwrap());
        (reason, answer.events())
    }

    #[test]
    fn the_reason_is_a_word_of_its_api() {
        for (body, expected) in [
            (r#"{"choices":[{"finish_reason":"stop","index":0}]}"#, Some("stop")),
            (r#"{"choices":[{"finish_reason":null},{"finish_reason" : "length"}]}"#, Some("length")),
            (r#"{"choices":{"finish_reason":"stop"},"finish_reason":"stop"}"#, None),
            (r#"{"stop_reason":"end_turn"}"#, Some("end_turn")),
            (r#"{"delta":{"stop_reason":"max_tokens"}}"#, Some("max_tokens")),
            (r#"{"message":{"stop_reason":"a reason of its own"}}"#, None),
            (r#"{"response":{"stop_reason":"x"}}"#, None),
            (r#"{"choices":[{"message":{"finish_reason":"x"},"finish_reason":"tool_calls"}]}"#, Some("tool_calls")),
            (r#"{"choices":[[{"finish_reason":"x"}]]}"#, None),
        ] {
            for piece in [1, 3, 1_000] {
                assert_eq!(read(JSON, body, piece).0.as_deref(), expected, "{body}");
                let stream =
                    format!("data: {{\"choices\":[{{\"finish_reason\":null}}]}}\n\ndata: {body}\n\ndata: [DONE]\n\n");
                assert_eq!(read(STREAM, &stream, piece), (expected.map(str::to_owned), Some(2)), "{body}");
            }
        }
    }

    #[test]
    fn events_are_counted_however_they_come() {
        let event = r#"{"choices":[{"delta":{"content":"{"},"finish_reason":null}]}"#;
        let body = format!(
            "data: {event}\n\nevent: x\ndata:{event}\n\n: none\n\ndata: 0\n\ndata: {event}\n\ndata: [DONE]\n\n"
        );
        for piece in [1, 2, 7, 100, 10_000] {
            assert_eq!(read(STREAM, &body, piece), (None, Some(3)), "{piece}");
        }
        assert_eq!(read(JSON, "{}", 1).1, None);
    }

    #[test]
    fn times_have_fractions() {
        let body = r#"{"timings":{"prompt_ms":12.75,"predicted_ms":1000,"prompt_n":1.5,"cache_n":2}}"#;
        assert_eq!(said(JSON, body), [("cache_n", 2), ("prompt_ms", 12), ("predicted_ms", 1_000)]);
    }
}
