//! The answer to a request, and its line in the ledger.

use super::*;
use crate::counts;
use crate::envoy::status_of;

/// The headers of an answer that matter here.
#[derive(Default)]
struct Told<'a> {
    status: u64,
    content_type: &'a [u8],
    content_length: &'a [u8],
    /// It tells limits, as an external API does.
    limits: bool,
}

impl<'a> Told<'a> {
    /// See a header.
    fn see(&mut self, name: &[u8], value: &'a [u8]) {
        match name {
            b":status" => self.status = status_of(value),
            b"content-type" if self.content_type.is_empty() => self.content_type = value,
            b"content-length" => self.content_length = value,
            _ => self.limits |= name.starts_with(rates::NAMES),
        }
    }
}

impl Stream {
    /// The headers of the answer have come; with `end` there is no body. The result: they wait for the body.
    pub fn response_headers(&mut self, http: Http, end: bool) -> bool {
        barrier::panic_if_asked(http, b"response_headers");
        let mut told = Told::default();
        http.each_header(RESPONSE_HEADERS, |name, value| told.see(name, value));
        if !self.is_local && self.config.ledger.is_some() && self.is_written() {
            self.answer = Answer::of(told.content_type).map(Box::new);
        }
        self.error = (!end && !self.is_local && self.may_mend(http, &told)).then(Vec::new);
        if let Some((limit, left)) = self.left {
            let tell = if told.limits { Http::set } else { Http::add };
            for (name, value) in rates::Told::of(limit, left).headers() {
                tell(http, RESPONSE_HEADERS, name, value);
            }
        }
        self.error.is_some()
    }

    /// A piece of the answer has come; with `end` it is the last one. It is held if it is an error. The result: it is.
    pub fn response_body(&mut self, http: Http, end: bool) -> bool {
        barrier::panic_if_asked(http, b"response_body");
        if self.first_byte_ns.is_none() && !self.is_local {
            self.first_byte_ns = Some(clock::steady_ns());
        }
        let (answer, bytes) = (&mut self.answer, &mut self.bytes_out);
        http.each_chunk(RECEIVED_RESPONSE_BODY, |piece| {
            *bytes += piece.len() as u64;
            if let Some(answer) = answer {
                answer.feed(piece);
            }
        });
        self.error.is_some() && self.hold_error(http, end)
    }

    /// Whether the answer may be an error of an engine that is not one of its API.
    fn may_mend(&self, http: Http, told: &Told<'_>) -> bool {
        mend::may_be(self.is_anthropic(), told.status)
            && content::is_json(told.content_type)
            && mend::is_short(told.content_length)
            && http.metadata(METADATA_ROUTE, NAMESPACE, "roles").is_some()
    }

    /// Hold an error until it is whole, and have it be one of its API.
    pub(super) fn hold_error(&mut self, http: Http, end: bool) -> bool {
        let mut length = 0;
        http.each_chunk(RECEIVED_RESPONSE_BODY, |piece| {
            length += piece.len();
            self.error.get_or_insert_default().extend_from_slice(piece);
        });
        http.drain_body(RECEIVED_RESPONSE_BODY, length);
        if !end {
            return true;
        }
        let body = self.error.take().unwrap_or_default();
        match mend::mended(self.is_anthropic(), http.status(), &body) {
            Some((status, text)) => {
                http.set(RESPONSE_HEADERS, b":status", status.to_string().as_bytes());
                http.set(RESPONSE_HEADERS, b"content-length", text.len().to_string().as_bytes());
                http.append_body(RECEIVED_RESPONSE_BODY, &text);
            }
            None => http.append_body(RECEIVED_RESPONSE_BODY, &body),
        }
        false
    }

    pub(super) fn is_anthropic(&self) -> bool {
        self.path.starts_with(b"/v1/messages")
    }

    /// The gateway answers, and no replica.
    pub fn local_reply(&mut self) {
        self.is_local = true;
    }

    /// The request is over. Envoy still knows how it went.
    pub fn complete(&mut self, http: Http) {
        (self.aboard, self.place) = (None, None);
        if self.began_ns == 0 && was_refused_before(http) {
            self.see(http);
            self.key = http.metadata(METADATA_DYNAMIC, NAMESPACE, "key").map(<[u8]>::to_vec);
            self.claims = Claims::of(http);
        }
        if let (Some(ledger), true) = (&self.config.ledger, self.is_written()) {
            LINE.with_borrow_mut(|line| {
                let now = clock::steady_ns();
                let milliseconds = |ns: u64| ns.saturating_sub(self.began_ns) / 1_000_000;
                let facts = line::Facts {
                    at_ms: self.at_ms,
                    id: &self.id,
                    key: self.key.as_deref(),
                    owner: self.claims.as_ref().map(|claims| &*claims.owner),
                    method: &self.method,
                    path: &self.path,
                    traceparent: &self.traceparent,
                    duration_ms: milliseconds(now),
                    first_byte_ms: self.first_byte_ns.map(milliseconds),
                    bytes_in: self.bytes_in,
                    bytes_out: self.bytes_out,
                    balanced_by: self.balanced_by.map(BalancedBy::word),
                    is_rate_limited: self.is_rate_limited,
                };
                line::write(line, http, &facts, self.answer.as_deref());
                ledger.add(line);
            });
        }
        self.count(http);
    }

    /// Whether the ledger gets a line: paths of models, and requests that name a model.
    pub(super) fn is_written(&self) -> bool {
        self.checks.ledger || self.names_model
    }

    pub(super) fn count(&self, http: Http) {
        let Some(counters) = self.config.counters else { return };
        if let (Some(first_byte_ns), true) = (self.first_byte_ns, self.names_model)
            && http.number(RESPONSE_CODE) == Some(200)
            && let Some(route) = http.text(ROUTE_NAME)
        {
            let milliseconds = first_byte_ns.saturating_sub(self.began_ns) / 1_000_000;
            counts::first_token(route, milliseconds);
        }
        let (written, lost) = self.config.ledger.as_ref().map_or((0, 0), |ledger| ledger.new_lines());
        for (counter, by) in
            [(counters.written, written), (counters.lost, lost), (counters.panics, barrier::new_panics())]
        {
            if by > 0 {
                http.count(counter, by);
            }
        }
    }
}
