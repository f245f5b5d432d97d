//! One request, from its headers to its line in the ledger.

use crate::abi::*;
use crate::admission::{self, Aboard, Refusal};
use crate::balance::{self, BalancedBy};
use crate::balance_hooks::PREFIX_HEADER;
use crate::claims::Claims;
use crate::config::Config;
use crate::envoy::Http;
use crate::limit::Left;
use crate::line;
use crate::model::{Named, Question};
use crate::path::{Checks, without_query};
use crate::places::{Crowd, Place};
use crate::seen::{KEY_HEADER, Seen};
use crate::table::Key;
use crate::turns::Fault;
use crate::usage::Answer;
use crate::{barrier, clock, content, mend, rates, trace};
use std::cell::RefCell;
use std::sync::Arc;

#[path = "answering.rs"]
mod answering;
#[path = "routing.rs"]
mod routing;

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
            http.add(REQUEST_HEADERS, KEY_HEADER, name);
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
        // Where no key is asked for, the secret is somebody else's, such as that of a forge. At the paths of models, each
        // route to a replica removes it.
        if self.checks.key && !self.checks.ledger {
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
            headers.extend(rates::Told::of(limit, left).headers().map(|(name, value)| (name, value.to_vec())));
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
