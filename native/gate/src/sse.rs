//! Server-sent events, as they come: the data of each is a text of its own.
//!
//! Source: "Server-sent events" of the HTML standard. An event ends at an empty line; its data may be several lines.

use crate::scan::Scan;
use crate::usage::Said;
use memchr::memmem::{self, Finder};
use std::sync::OnceLock;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    /// Of this line, nothing has come.
    #[default]
    Empty,
    /// The line is the beginning of `data:` so far.
    Name(u8),
    /// A space may come before the data.
    Colon,
    Data,
    /// Another field, or a comment.
    Other,
}

const DATA: &[u8] = b"data:";

/// The place in a stream.
#[derive(Default)]
pub struct Events {
    line: Line,
    /// Something of the event has come.
    begun: bool,
    /// The last line ended with a carriage return, to which a line feed may belong.
    carriage: bool,
}

impl Events {
    /// Read on: each event is a text for `scan`.
    pub fn feed(&mut self, bytes: &[u8], scan: &mut Scan, reader: &mut Said) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Some(end) = self.without_usage(rest) {
                reader.add_events(objects_in(&rest[..end]));
                rest = &rest[end..];
                continue;
            }
            let end = event_end(rest).unwrap_or(rest.len());
            self.lines(&rest[..end], scan, reader);
            rest = &rest[end..];
        }
    }

    /// Where the events end that are at the beginning, and whole, and say nothing; None if there is none.
    ///
    /// Most events of a stream are one token, so this is most of the work.
    fn without_usage(&self, bytes: &[u8]) -> Option<usize> {
        if self.begun || self.line != Line::Empty || self.carriage {
            return None;
        }
        // Names with escapes do not count, so the words are enough.
        let word = first_word(bytes).unwrap_or(bytes.len());
        memmem::rfind(&bytes[..word], b"\n\n").map(|end| end + 2)
    }

    fn lines(&mut self, bytes: &[u8], scan: &mut Scan, reader: &mut Said) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if std::mem::take(&mut self.carriage) && byte == b'\n' {
                at += 1;
                continue;
            }
            if byte == b'\n' || byte == b'\r' {
                self.carriage = byte == b'\r';
                self.end_line(scan, reader);
                at += 1;
                continue;
            }
            self.begun = true;
            match self.line {
                Line::Empty | Line::Name(_) => {
                    let step = if let Line::Name(step) = self.line { step } else { 0 };
                    self.line = match DATA.get(usize::from(step)) {
                        Some(&expected) if expected == byte && byte == b':' => Line::Colon,
                        Some(&expected) if expected == byte => Line::Name(step + 1),
                        _ => Line::Other,
                    };
                    at += 1;
                }
                Line::Colon => {
                    self.line = Line::Data;
                    at += usize::from(byte == b' ');
                }
                Line::Data | Line::Other => {
                    let end = memchr::memchr2(b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |more| at + more);
                    if self.line == Line::Data {
                        scan.feed(&bytes[at..end], reader);
                    }
                    at = end;
                }
            }
        }
    }

    fn end_line(&mut self, scan: &mut Scan, reader: &mut Said) {
        match std::mem::take(&mut self.line) {
            Line::Empty => {
                // The last value of a text may be a number, which ends here.
                scan.finish(reader);
                scan.reset();
                self.begun = false;
            }
            Line::Colon | Line::Data => scan.feed(b"\n", reader),
            Line::Name(_) | Line::Other => {}
        }
    }
}

/// Where the first event ends, if it is whole and its lines end with line feeds.
fn event_end(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\n\n").map(|at| at + 2)
}

/// How many whole events are objects.
fn objects_in(mut events: &[u8]) -> u64 {
    let mut found = 0;
    while !events.is_empty() {
        let (event, rest) = events.split_at(event_end(events).unwrap_or(events.len()));
        let data = event.split(|byte| *byte == b'\n' || *byte == b'\r').find_map(|line| line.strip_prefix(DATA));
        found += u64::from(data.is_some_and(|data| data.trim_ascii_start().first() == Some(&b'{')));
        events = rest;
    }
    found
}

/// Where the first name is that has something to say: of an object with counts, or of a reason that is a text.
fn first_word(bytes: &[u8]) -> Option<usize> {
    static FINDERS: OnceLock<[Finder<'static>; 3]> = OnceLock::new();
    let [usage, timings, reason] =
        FINDERS.get_or_init(|| [Finder::new(b"usage\""), Finder::new(b"timings\""), Finder::new(b"_reason\"")]);
    let first = usage.find(bytes);
    let first = timings.find(&bytes[..first.unwrap_or(bytes.len())]).or(first);
    let before = &bytes[..first.unwrap_or(bytes.len())];
    // In most events the reason is null.
    let is_text = |at: &usize| {
        let after = bytes[at + b"_reason\"".len()..].trim_ascii_start();
        !after.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"null"))
    };
    reason.find_iter(before).find(is_text).or(first)
}
