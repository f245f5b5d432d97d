//! A line of the ledger: one JSON object, in the words of Envoy's access log.

use crate::abi;
use crate::envoy::Http;
use crate::plain::{is_plain, plain_until};
use crate::usage::Answer;
use std::io::Write;

/// The name of a field, and what is around it.
macro_rules! field {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// The format of a line, as the reader of the ledger knows it.
const FORMAT: &str = "1";
/// The format of a line about a request that was sent to a replica.
const BEGUN_FORMAT: &str = "begun-1";

/// Envoy's short words for the bits of a request's flags, from the lowest bit on.
/// Source: `CoreResponseFlag` in `envoy/stream_info/stream_info.h`, and "%RESPONSE_FLAGS%" of the access log.
const FLAGS: [&str; 30] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI", "IH",
    "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
];
const RATE_LIMITED: u64 = 1 << 11;

/// What this filter knows about a request; Envoy knows the rest.
pub struct Facts<'a> {
    /// When it came, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Its id.
    pub id: &'a [u8],
    /// The name of its key.
    pub key: Option<&'a [u8]>,
    /// Who answers for it, where a token says so.
    pub owner: Option<&'a [u8]>,
    /// Its method.
    pub method: &'a [u8],
    /// Its path, without the query.
    pub path: &'a [u8],
    /// The trace that it belongs to, as its client says; empty if it does not.
    pub traceparent: &'a [u8],
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How long it took until the replica's first byte, in milliseconds.
    pub first_byte_ms: Option<u64>,
    /// How many bytes its body has.
    pub bytes_in: u64,
    /// How many bytes the body of its answer has.
    pub bytes_out: u64,
    /// How its replica was chosen, if the model lets that depend on conversations.
    pub balanced_by: Option<&'static str>,
    /// Whether this filter refused it, as one too many in a minute.
    pub is_rate_limited: bool,
}

/// What is known about a request when it is sent to a replica.
pub struct Began<'a> {
    /// When that was, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Its id.
    pub id: &'a [u8],
    /// The name of its key.
    pub key: Option<&'a [u8]>,
    /// The name of its route, which is that of the model.
    pub model: Option<&'a [u8]>,
    /// The name of the replica.
    pub replica: Option<&'a [u8]>,
    /// Its path, without the query.
    pub path: &'a [u8],
    /// The length of its body, as a text.
    pub bytes_in: Option<&'a [u8]>,
}

/// Write a line about a request that was sent to a replica.
pub fn write_begun(out: &mut Vec<u8>, began: &Began<'_>) {
    begin(out, BEGUN_FORMAT, began.at_ms, began.id);
    for (name, value) in
        [(field!("key"), began.key), (field!("model"), began.model), (field!("replica"), began.replica)]
    {
        if let Some(value) = value {
            text(out, name, value);
        }
    }
    text(out, field!("path"), began.path);
    if let Some(bytes_in) = began.bytes_in {
        text(out, field!("bytes_in"), bytes_in);
    }
    out.extend_from_slice(b"}\n");
}

/// Begin a line with what each has.
fn begin(out: &mut Vec<u8>, format: &str, at_ms: u64, id: &[u8]) {
    out.clear();
    out.extend_from_slice(b"{\"v\":\"");
    out.extend_from_slice(format.as_bytes());
    out.extend_from_slice(b"\",\"time\":\"");
    digits(out, at_ms / 1_000);
    out.push(b'.');
    for unit in [100, 10, 1] {
        out.push(b'0' + (at_ms % 1_000 / unit % 10) as u8);
    }
    out.push(b'"');
    text(out, field!("id"), id);
}

/// Write a line, with what the answer has said.
pub fn write(out: &mut Vec<u8>, http: Http, facts: &Facts<'_>, answer: Option<&Answer>) {
    begin(out, FORMAT, facts.at_ms, facts.id);
    if let Some(key) = facts.key {
        text(out, field!("key"), key);
    }
    if let Some(owner) = facts.owner {
        text(out, field!("owner"), owner);
    }
    if let Some(route) = http.text(abi::ROUTE_NAME) {
        text(out, field!("model"), route);
    }
    if let Some(replica) = http.metadata(abi::METADATA_HOST, "bateau", "replica") {
        text(out, field!("replica"), replica);
    }
    text(out, field!("method"), facts.method);
    text(out, field!("path"), facts.path);
    if !facts.traceparent.is_empty() {
        text(out, field!("traceparent"), facts.traceparent);
    }
    number(out, field!("status"), http.number(abi::RESPONSE_CODE).unwrap_or(0));
    let flags = http.number(abi::RESPONSE_FLAGS).unwrap_or(0) | if facts.is_rate_limited { RATE_LIMITED } else { 0 };
    put_flags(out, flags);
    if let Some(details) = http.text(abi::RESPONSE_CODE_DETAILS) {
        text(out, field!("details"), details);
    }
    number(out, field!("attempts"), http.number(abi::ATTEMPT_COUNT).unwrap_or(0));
    number(out, field!("duration_ms"), facts.duration_ms);
    if let Some(first_byte) = facts.first_byte_ms {
        number(out, field!("first_byte_ms"), first_byte);
    }
    number(out, field!("bytes_in"), facts.bytes_in);
    number(out, field!("bytes_out"), http.number(abi::RESPONSE_SIZE).unwrap_or(facts.bytes_out));
    if let Some(by) = facts.balanced_by {
        text(out, field!("balanced_by"), by.as_bytes());
    }
    if let Some(answer) = answer {
        for (name, count) in answer.said().counts() {
            name_of(out, name);
            digits(out, count);
        }
        if let Some(events) = answer.events() {
            number(out, field!("events"), events);
        }
        if let Some(reason) = answer.said().reason() {
            text(out, field!("stop_reason"), reason);
        }
    }
    out.extend_from_slice(b"}\n");
}

fn put(out: &mut Vec<u8>, what: std::fmt::Arguments<'_>) {
    // Memory takes everything.
    let _ = out.write_fmt(what);
}

fn name_of(out: &mut Vec<u8>, name: &str) {
    for part in [",\"", name, "\":"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// A number, after `of`: a name as `field` makes it.
fn number(out: &mut Vec<u8>, of: &str, value: u64) {
    out.extend_from_slice(of.as_bytes());
    digits(out, value);
}

/// Write a number in decimal. It is done a dozen times for each request, and the way of `write!` is long.
pub fn digits(out: &mut Vec<u8>, mut value: u64) {
    let (mut digits, mut at) = ([b'0'; 20], 20);
    while value >= 100 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if value >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[value as usize]);
    } else {
        at -= 1;
        digits[at] += value as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// The numbers below 100, with two digits each.
const PAIRS: [[u8; 2]; 100] = {
    let (mut pairs, mut number) = ([[0; 2]; 100], 0);
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

fn put_flags(out: &mut Vec<u8>, flags: u64) {
    out.extend_from_slice(field!("flags").as_bytes());
    if flags == 0 {
        out.extend_from_slice(b"\"-\"");
        return;
    }
    let words: Vec<_> =
        FLAGS.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, word)| *word).collect();
    put(out, format_args!("\"{}\"", words.join(",")));
}

/// A text of a client or of Envoy, as a JSON string, after `of`: a name as `field` makes it.
///
/// Bytes that are not UTF-8 become U+FFFD.
fn text(out: &mut Vec<u8>, of: &str, value: &[u8]) {
    out.extend_from_slice(of.as_bytes());
    out.push(b'"');
    if is_plain(value) {
        out.extend_from_slice(value);
    } else {
        escape(out, value);
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, value: &[u8]) {
    for part in value.utf8_chunks() {
        let valid = part.valid().as_bytes();
        let mut at = 0;
        while at < valid.len() {
            let plain = plain_until(valid, at);
            out.extend_from_slice(&valid[at..plain]);
            match valid.get(plain) {
                Some(byte @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', *byte]),
                Some(byte) => put(out, format_args!("\\u{byte:04x}")),
                None => {}
            }
            at = plain + 1;
        }
        if !part.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Began, number, put_flags, text, write_begun};

    fn written(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_text_of_a_client_stays_one_string() {
        for value in [&b"/v1/x"[..], b"a\"b\\c", b"\n\x00\x1f\x7f", "é\u{1f600}".as_bytes()] {
            let line = written(|out| text(out, field!("path"), value));
            let tree: serde_json::Value = serde_json::from_str(&format!("{{{}}}", &line[1..])).unwrap();
            assert_eq!(tree["path"].as_str().unwrap().as_bytes(), value);
        }
        assert_eq!(written(|out| text(out, field!("p"), b"a\xffb")), ",\"p\":\"a\u{fffd}b\"");
    }

    #[test]
    fn a_line_about_a_beginning_has_what_is_known() {
        let began = Began {
            at_ms: 1_005,
            id: b"7",
            key: None,
            model: Some(b"chat"),
            replica: Some(b"model.chat.0"),
            path: b"/v1/messages",
            bytes_in: Some(b"12"),
        };
        let tree: serde_json::Value = serde_json::from_str(&written(|out| write_begun(out, &began))).unwrap();
        let expected = serde_json::json!({
            "v": "begun-1", "time": "1.005", "id": "7", "model": "chat", "replica": "model.chat.0",
            "path": "/v1/messages", "bytes_in": "12",
        });
        assert_eq!(tree, expected);
    }

    #[test]
    fn numbers_are_written_whole() {
        for value in [0, 7, 9, 10, 19, 99, 100, 101, 999, 1_000, 12_345, u64::MAX] {
            assert_eq!(written(|out| number(out, field!("n"), value)), format!(",\"n\":{value}"));
        }
    }

    #[test]
    fn flags_have_the_words_of_envoy() {
        assert_eq!(written(|out| put_flags(out, 0)), ",\"flags\":\"-\"");
        assert_eq!(written(|out| put_flags(out, 1 << 14)), ",\"flags\":\"DC\"");
        assert_eq!(written(|out| put_flags(out, 1 << 5 | 1 << 15)), ",\"flags\":\"UF,URX\"");
        assert_eq!(written(|out| put_flags(out, super::RATE_LIMITED)), ",\"flags\":\"RL\"");
    }
}
