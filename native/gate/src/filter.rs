//! One request, from its headers to its line in the ledger.

use crate::abi::*;
use crate::admission::{self, Aboard, Refusal};
use crate::balance::{self, BalancedBy};
use crate::balance_hooks::PREFIX_HEADER;
use crate::claims::Claims;
use crate::envoy::{self, Http};
use crate::ledger::Ledger;
use crate::limit::Left;
use crate::line;
use crate::model::{Named, Question};
use crate::path::{Checks, without_query};
use crate::places::{Crowd, Place};
use crate::seen::{KEY_HEADER, Seen};
use crate::table::{Key, Table};
use crate::turns::Fault;
use crate::usage::Answer;
use crate::{barrier, clock, content, mend, rates, trace};
use std::cell::RefCell;
use std::sync::Arc;
use std::thread::{self, ThreadId};

const MODEL_HEADER: &[u8] = b"x-bateau-model";
const OWNER_HEADER: &[u8] = b"x-bateau-owner";
const MODELS_HEADER: &[u8] = b"x-bateau-models";
// Its route has another one, to the model's fallback, for requests with this header.
const FULL_HEADER: &[u8] = b"x-bateau-full";
const NAMESPACE: &str = "bateau";
// As in the access log of Envoy's own filters.
const PATH_MAX: usize = 100;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Counters of Envoy.
#[derive(Clone, Copy)]
struct Counters {
    written: usize,
    lost: usize,
    panics: usize,
}

/// What all requests of one configuration share.
pub struct Config {
    table: Table,
    ledger: Option<Arc<Ledger>>,
    counters: Option<Counters>,
    /// Envoy's main thread.
    main: ThreadId,
}

impl Config {
    /// Read a configuration. An error says what is wrong with it.
    pub fn read(config: Ptr, text: &[u8]) -> Result<Config, String> {
        let table = Table::read(text)?;
        let path = table.ledger.as_deref().filter(|_| !envoy::is_validation());
        let ledger = path.map(Ledger::of);
        let counter = |name| envoy::define_counter(config, name);
        let counters = match (counter("lines_written"), counter("lines_lost"), counter("panics")) {
            (Some(written), Some(lost), Some(panics)) => Some(Counters { written, lost, panics }),
            _ => None,
        };
        Ok(Config { table, ledger, counters, main: thread::current().id() })
    }

    /// Have the lines of the last requests written, before the process may end.
    ///
    /// A worker, which may have the last request of an old configuration, does not wait for a disk.
    pub fn settle(&self) {
        if let (Some(ledger), true) = (&self.ledger, self.main == thread::current().id()) {
            ledger.settle();
        }
    }
}

/// What Envoy does next.
pub enum Step {
    /// Go on.
    Continue,
    /// Hold the request until more of it has come.
    Hold,
    /// Answer with a refusal.
    Refuse(Refusal, Vec<(&'static [u8], Vec<u8>)>),
}

/// One request.
pub struct Stream {
    config: Arc<Config>,
    checks: Checks,
    at_ms: u64,
    began_ns: u64,
    id: Vec<u8>,
    method: Vec<u8>,
    path: Vec<u8>,
    traceparent: Vec<u8>,
    key: Option<Vec<u8>>,
    known: Option<Arc<Key>>,
    claims: Option<Claims>,
    aboard: Option<Aboard>,
    place: Option<Place>,
    left: Option<(u64, Left)>,
    question: Option<Box<Question>>,
    names_model: bool,
    balanced_by: Option<BalancedBy>,
    answer: Option<Box<Answer>>,
    first_byte_ns: Option<u64>,
    bytes_in: u64,
    bytes_out: u64,
    /// The gateway answers, and no replica.
    is_local: bool,
    is_rate_limited: bool,
    /// What has come of an answer that is an error, and may become another one.
    error: Option<Vec<u8>>,
}

impl Stream {
    /// Begin a request.
    pub fn new(config: Arc<Config>) -> Stream {
        Stream {
            checks: config.table.paths.checks(b""),
            config,
            at_ms: 0,
            began_ns: 0,
            id: Vec::new(),
            method: Vec::new(),
            path: Vec::new(),
            traceparent: Vec::new(),
            key: None,
            known: None,
            claims: None,
            aboard: None,
            place: None,
            left: None,
            question: None,
            names_model: false,
            balanced_by: None,
            answer: None,
            first_byte_ns: None,
            bytes_in: 0,
            bytes_out: 0,
            is_local: false,
            is_rate_limited: false,
            error: None,
        }
    }

    /// The headers of the request have come; with `end` there is no body.
    pub fn request_headers(&mut self, http: Http, end: bool) -> Step {
        barrier::panic_if_asked(http, b"request_headers");
        let seen = self.see(http);
        let is_json = content::is_json(seen.content_type);
        let identified = self.identify(http, &seen);
        self.clean(http, &seen);
        if let Err(refusal) = identified.and_then(|()| self.admit()) {
            return self.refuse(http, refusal);
        }
        if let Some(name) = &self.key {
            http.set(REQUEST_HEADERS, KEY_HEADER, name);
        }
        if let (Some(claims), false) = (&self.claims, self.checks.limits) {
            // The translator asks again in the name of the caller.
            http.set(REQUEST_HEADERS, OWNER_HEADER, &claims.owner);
            http.set(REQUEST_HEADERS, MODELS_HEADER, claims.models.as_bytes());
        }
        match (self.checks.model, is_json, end) {
            (false, ..) => Step::Continue,
            (true, true, false) => {
                self.question = Some(Box::new(Question::new(self.checks.prompt, self.checks.roles.take())));
                Step::Hold
            }
            (true, true, true) => self.route(http, Named::Missing, None),
            (true, false, _) => self.route(http, Named::Invalid, None),
        }
    }

    /// Look at the headers of the request.
    fn see<'a>(&mut self, http: Http) -> Seen<'a> {
        (self.at_ms, self.began_ns) = (clock::wall_ms(), clock::steady_ns());
        let mut seen = Seen::default();
        http.each_header(REQUEST_HEADERS, |name, value| seen.see(name, value));
        let path = without_query(seen.path);
        self.checks = self.config.table.paths.checks(path);
        self.path = path[..path.len().min(PATH_MAX)].to_vec();
        self.method = seen.method.to_vec();
        self.id = seen.id.to_vec();
        self.traceparent = seen.traceparent.filter(|value| trace::is_parent(value)).unwrap_or_default().to_vec();
        seen
    }

    /// A piece of the body has come. A body in JSON is held until its end, in which the model may be.
    pub fn request_body(&mut self, http: Http, end: bool) -> Step {
        barrier::panic_if_asked(http, b"request_body");
        let (question, bytes) = (&mut self.question, &mut self.bytes_in);
        http.each_chunk(RECEIVED_REQUEST_BODY, |piece| {
            *bytes += piece.len() as u64;
            if let Some(question) = question {
                question.feed(piece);
            }
        });
        match (&self.question, end) {
            (None, _) => Step::Continue,
            (Some(_), false) => Step::Hold,
            (Some(_), true) => self.end_of_body(http),
        }
    }

    /// The body has ended.
    pub fn end_of_body(&mut self, http: Http) -> Step {
        let Some(mut question) = self.question.take() else { return Step::Continue };
        let named = question.finish();
        let prefix = if let Named::Model(model) = &named { question.prefix(model) } else { None };
        match (self.route(http, named, prefix), question.fault()) {
            (Step::Continue, Some(fault)) => self.refuse_turns(http, fault),
            (step, _) => step,
        }
    }

    /// The headers of the answer have come; with `end` there is no body. The result: they wait for the body.
    pub fn response_headers(&mut self, http: Http, end: bool) -> bool {
        barrier::panic_if_asked(http, b"response_headers");
        if let Some((limit, left)) = self.left {
            for (name, value) in rates::headers(limit, left) {
                http.set(RESPONSE_HEADERS, name, &value);
            }
        }
        if !self.is_local && self.config.ledger.is_some() && self.is_written() {
            let kind = http.header(RESPONSE_HEADERS, b"content-type").unwrap_or_default();
            self.answer = Answer::of(kind).map(Box::new);
        }
        self.error = (!end && !self.is_local && self.may_mend(http)).then(Vec::new);
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
    fn may_mend(&self, http: Http) -> bool {
        let header = |name| http.header(RESPONSE_HEADERS, name);
        mend::may_be(self.is_anthropic(), http.status())
            && header(b"content-type").is_some_and(content::is_json)
            && header(b"content-length").is_some_and(mend::is_short)
            && http.metadata(METADATA_ROUTE, NAMESPACE, "roles").is_some()
    }

    /// Hold an error until it is whole, and have it be one of its API.
    fn hold_error(&mut self, http: Http, end: bool) -> bool {
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

    fn is_anthropic(&self) -> bool {
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
    fn is_written(&self) -> bool {
        self.checks.ledger || self.names_model
    }

    fn count(&self, http: Http) {
        let Some(counters) = self.config.counters else { return };
        let (written, lost) = self.config.ledger.as_ref().map_or((0, 0), |ledger| ledger.new_lines());
        for (counter, by) in
            [(counters.written, written), (counters.lost, lost), (counters.panics, barrier::new_panics())]
        {
            if by > 0 {
                http.count(counter, by);
            }
        }
    }

    /// Find out whose request it is.
    fn identify(&mut self, http: Http, seen: &Seen<'_>) -> Result<(), Refusal> {
        // Only filters before this one set it: for a token, and at the listener for the translator.
        let trusted = if seen.names_key { http.metadata(METADATA_DYNAMIC, NAMESPACE, "key") } else { None };
        let table = &self.config.table;
        if let Some(name) = trusted {
            self.key = Some(name.to_vec());
            self.known = std::str::from_utf8(name).ok().and_then(|name| table.by_name(name)).cloned();
            self.claims = Claims::of(http);
        }
        if !table.required || !self.checks.key || self.known.is_some() || self.claims.is_some() {
            return Ok(());
        }
        let key = admission::key_of(table, admission::secret(seen.authorization, seen.x_api_key))?;
        self.key = Some(key.name.clone().into_bytes());
        self.known = Some(Arc::clone(key));
        Ok(())
    }

    /// Remove secrets, and the headers that only the gateway may set.
    fn clean(&self, http: Http, seen: &Seen<'_>) {
        // Where no key is asked for, the secret is somebody else's, such as that of a forge.
        if self.checks.key {
            if seen.authorization.is_some() {
                http.remove(REQUEST_HEADERS, b"authorization");
            }
            if seen.x_api_key.is_some() {
                http.remove(REQUEST_HEADERS, b"x-api-key");
            }
        }
        for name in &seen.own {
            http.remove(REQUEST_HEADERS, name);
        }
    }

    /// Check the limits of the key.
    fn admit(&mut self) -> Result<(), Refusal> {
        let Some(key) = &self.known else { return Ok(()) };
        admission::check_expiry(key, self.at_ms)?;
        if !self.checks.limits {
            return Ok(());
        }
        admission::check_tokens(key, self.at_ms)?;
        let aboard = Aboard::begin(key)?;
        if let Some((limit, result)) = admission::take(key, self.began_ns) {
            self.left = Some((limit, result.unwrap_or_else(|left| left)));
            result.map_err(|_| Refusal::of_rate())?;
        }
        self.aboard = aboard;
        Ok(())
    }

    /// Have the route chosen by the model, if the key may use it.
    fn route(&mut self, http: Http, named: Named, prefix: Option<u64>) -> Step {
        let table = &self.config.table;
        let value = match &named {
            Named::Missing => &table.missing,
            Named::Invalid => &table.invalid,
            Named::Model(name) => name,
        };
        http.set(REQUEST_HEADERS, MODEL_HEADER, value.as_bytes());
        http.route_again();
        if let Named::Model(name) = &named {
            self.names_model = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        }
        let is_full = || self.config.ledger.as_ref().is_some_and(|ledger| ledger.is_failing());
        if table.refuses_unwritten && self.is_written() && is_full() {
            return self.refuse(http, Refusal::of_ledger());
        }
        if let Named::Model(name) = &named {
            if self.names_model {
                http.set_metadata(NAMESPACE, "model", name.as_bytes());
            }
            let no_model = *name == table.missing || *name == table.invalid;
            if self.known.as_ref().is_some_and(|key| self.checks.limits && !no_model && !key.may_use(name)) {
                http.choose_route(); // the ledger names the model
                return self.refuse(http, Refusal::of_model());
            }
            if self.claims.as_ref().is_some_and(|claims| self.checks.limits && !no_model && !claims.allow(name)) {
                http.metadata(METADATA_CLUSTER, NAMESPACE, "");
                return self.refuse(http, Refusal::of_claims());
            }
            if let Err(share) = self.take_place(http) {
                http.set_metadata(NAMESPACE, "share", share.to_string().as_bytes());
                return self.refuse(http, Refusal::of_share());
            }
        }
        if let Some(prefix) = prefix {
            self.balance(http, prefix);
        }
        Step::Continue
    }

    /// Take one of the model's places, if it has a number of them. An error says how many the key may have.
    ///
    /// Without a place, the fallback of the model answers. Without that, Envoy refuses what is more than all places.
    fn take_place(&mut self, http: Http) -> Result<(), u32> {
        if !self.checks.limits {
            return Ok(());
        }
        http.choose_route();
        let places = http.metadata(METADATA_ROUTE, NAMESPACE, "places");
        let places = places.and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse().ok());
        let (Some(places), Some(model)) = (places, http.text(ROUTE_NAME)) else { return Ok(()) };
        match Place::take(model, self.key.as_deref().unwrap_or_default(), places) {
            Ok(place) => self.place = Some(place),
            Err(_) if http.metadata(METADATA_ROUTE, NAMESPACE, "fallback").is_some() => {
                http.set(REQUEST_HEADERS, FULL_HEADER, b"yes");
                http.route_again();
            }
            Err(Crowd::Share(share)) => return Err(share),
            Err(Crowd::Full) => {}
        }
        Ok(())
    }

    /// Refuse messages that cannot be answered, if the route is that of a model which does not check them.
    fn refuse_turns(&mut self, http: Http, fault: Fault) -> Step {
        http.choose_route();
        match http.metadata(METADATA_ROUTE, NAMESPACE, "roles") {
            Some(_) => self.refuse(http, Refusal::of_turns(fault)),
            None => Step::Continue,
        }
    }

    /// Have the balancer know what the conversation begins with, if the route wants that.
    ///
    /// A few requests are balanced without it, so that the control plane can compare.
    fn balance(&mut self, http: Http, prefix: u64) {
        http.choose_route();
        if http.metadata(METADATA_ROUTE, NAMESPACE, "affinity").is_none() {
            return;
        }
        if balance::is_compared(&self.id) {
            self.balanced_by = Some(BalancedBy::Requests);
            return;
        }
        self.balanced_by = Some(BalancedBy::Prefix);
        http.set(REQUEST_HEADERS, PREFIX_HEADER, format!("{prefix:016x}").as_bytes());
    }

    /// Answer with a refusal. Its text names the key.
    fn refuse(&mut self, http: Http, refusal: Refusal) -> Step {
        self.is_local = true;
        self.is_rate_limited = refusal.is_rate();
        (self.aboard, self.place) = (None, None);
        self.question = None;
        if let Some(name) = &self.key {
            http.set(REQUEST_HEADERS, KEY_HEADER, name);
        }
        if let (Some(key), true) = (&self.known, refusal == Refusal::of_concurrency()) {
            let most = key.concurrent.unwrap_or_default().to_string();
            http.set_metadata(NAMESPACE, "concurrent", most.as_bytes());
        }
        let mut headers = Vec::new();
        if let Some((limit, left)) = self.left {
            headers.extend(rates::headers(limit, left));
            if self.is_rate_limited {
                headers.push((b"retry-after", rates::retry_after(left)));
            }
        }
        Step::Refuse(refusal, headers)
    }
}

/// Whether a filter before this one has refused a token, or one request too many of its subject.
fn was_refused_before(http: Http) -> bool {
    http.number(RESPONSE_CODE).is_some_and(|code| code >= 400)
        && Refusal::is_of_token(http.text(RESPONSE_CODE_DETAILS).unwrap_or_default())
}
