//! Whether a request gets in, before its body has come: its key, its expiry, and its limits.

use crate::limit::Left;
use crate::table::{Counts, Key, Table};
use crate::turns::Fault;
use sha2::{Digest, Sha256};
use std::sync::Arc;

// No key is longer. A hash of a header of 60 kB would keep a worker busy.
const SECRET_MAX: usize = 256;

/// Why a request is refused: the status and the details that Envoy's own filters give.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status; the table of replies may change it.
    pub status: u32,
    /// The response code details, by which the table of replies finds the text.
    pub details: String,
}

impl Refusal {
    fn new(status: u32, details: impl Into<String>) -> Refusal {
        Refusal { status, details: details.into() }
    }

    /// The key may not use the model.
    pub fn of_model() -> Refusal {
        Refusal::new(403, "rbac_access_denied_matched_policy[none]")
    }

    /// The claims of a token do not allow the model.
    pub fn of_claims() -> Refusal {
        Refusal::new(403, "claimed_models")
    }

    /// As many requests have come in a minute as may.
    pub fn of_rate() -> Refusal {
        Refusal::new(429, "local_rate_limited")
    }

    /// As many requests are in flight as may be.
    pub fn of_concurrency() -> Refusal {
        Refusal::new(429, "concurrent_requests")
    }

    /// Other keys have requests at the model, and this one has its share of the places.
    pub fn of_share() -> Refusal {
        Refusal::new(429, "fair_share")
    }

    /// Its messages cannot be answered.
    pub fn of_turns(fault: Fault) -> Refusal {
        Refusal::new(
            400,
            match fault {
                Fault::Empty => "no_messages",
                Fault::Role => "unknown_role",
            },
        )
    }

    /// No line about it could be written.
    pub fn of_ledger() -> Refusal {
        Refusal::new(503, "ledger_not_written")
    }

    /// A bug was met: the client does not wait for an answer that nobody gives.
    pub fn of_bug() -> Refusal {
        Refusal::new(500, "bateau_gate_panicked")
    }

    /// Whether a filter that handles tokens has refused a request with these details.
    pub fn is_of_token(details: &[u8]) -> bool {
        details.starts_with(b"jwt_authn_access_denied")
            || details == b"lua_response"
            || details == b"local_rate_limited"
    }

    /// Whether it is one of `of_rate`.
    pub fn is_rate(&self) -> bool {
        self.details == "local_rate_limited"
    }
}

/// The secret that two headers have, as bytes.
pub fn secret<'a>(authorization: Option<&'a [u8]>, x_api_key: Option<&'a [u8]>) -> Option<&'a [u8]> {
    authorization.and_then(bearer).or(x_api_key).filter(|secret| secret.len() <= SECRET_MAX)
}

/// The token of `Bearer TOKEN`, in any case and with any number of spaces.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first() != Some(&b' ') {
        return None;
    }
    let token = rest.trim_ascii();
    (!token.is_empty() && !token.contains(&b' ')).then_some(token)
}

/// The key of a secret.
pub fn key_of<'a>(table: &'a Table, secret: Option<&[u8]>) -> Result<&'a Arc<Key>, Refusal> {
    let secret = secret.ok_or_else(|| Refusal::new(401, "missing_api_key"))?;
    table.by_hash(&Sha256::digest(secret).into()).ok_or_else(|| Refusal::new(401, "unknown_api_key"))
}

/// Refuse a key that has ended, at a time in milliseconds since the epoch.
pub fn check_expiry(key: &Key, now_ms: u64) -> Result<(), Refusal> {
    if key.expires_ms.is_some_and(|end| now_ms >= end) {
        return Err(Refusal::new(403, "rbac_access_denied_matched_policy[expired]"));
    }
    Ok(())
}

/// Refuse a key that has used up its tokens, at a time in milliseconds since the epoch.
pub fn check_tokens(key: &Key, now_ms: u64) -> Result<(), Refusal> {
    match key.refused.iter().find(|(_, until)| now_ms < *until) {
        Some((period, _)) => Err(Refusal::new(403, format!("rbac_access_denied_matched_policy[tokens-{period}]"))),
        None => Ok(()),
    }
}

/// A request that is in flight, as one of its key. It ends once, however that comes.
#[derive(Debug)]
pub struct Aboard(Arc<Counts>);

impl Aboard {
    /// Begin a request, unless as many are in flight as may be. Without a limit nothing is counted.
    pub fn begin(key: &Key) -> Result<Option<Aboard>, Refusal> {
        match key.concurrent {
            Some(most) if !key.counts.flight.begin(most) => Err(Refusal::of_concurrency()),
            Some(_) => Ok(Some(Aboard(Arc::clone(&key.counts)))),
            None => Ok(None),
        }
    }
}

impl Drop for Aboard {
    fn drop(&mut self) {
        self.0.flight.end();
    }
}

/// Take one of the requests of a key in a minute; the limit, and what is left of it.
pub fn take(key: &Key, now_ns: u64) -> Option<(u64, Result<Left, Left>)> {
    key.requests_per_minute.map(|limit| (limit, key.counts.bucket.take(now_ns, limit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(name: &str) -> Arc<Key> {
        let table = json!({
            "format": 1, "required": true, "missing": "", "invalid": "", "model_paths": [], "exceptions": [],
            "refused": {"day": {name: 20}},
            "keys": [{"name": name, "sha256": "0a".repeat(32), "models": ["*"], "expires": 10, "concurrent": 1}],
        });
        Arc::clone(Table::read(table.to_string().as_bytes()).unwrap().by_name(name).unwrap())
    }

    #[test]
    fn a_secret_comes_as_bearer_in_any_case_or_in_a_header_of_its_own() {
        for value in ["Bearer abc", "bearer abc", "BEARER   abc  "] {
            assert_eq!(secret(Some(value.as_bytes()), Some(b"x")), Some(&b"abc"[..]), "{value}");
        }
        for value in ["", "Bearer", "Bearer ", "Bearerabc", "Basic abc", "Bearer a b", "Bearer\tabc"] {
            assert_eq!(secret(Some(value.as_bytes()), None), None, "{value}");
            assert_eq!(secret(Some(value.as_bytes()), Some(b"x")), Some(&b"x"[..]), "{value}");
        }
        assert_eq!(secret(None, Some(&[b'x'; 257])), None);
    }

    #[test]
    fn a_key_ends_at_its_time() {
        let key = key("ends");
        assert_eq!(check_expiry(&key, 9_999), Ok(()));
        assert_eq!(check_expiry(&key, 10_000).unwrap_err().status, 403);
    }

    #[test]
    fn a_key_without_tokens_is_refused_until_a_time() {
        let key = key("tokens");
        let refusal = check_tokens(&key, 19_999).unwrap_err();
        assert!(refusal.details.starts_with("rbac_access_denied_matched_policy[tokens-day"));
        assert_eq!(check_tokens(&key, 20_000), Ok(()));
    }

    #[test]
    fn a_request_ends_once() {
        let key = key("aboard");
        let first = Aboard::begin(&key).unwrap();
        assert_eq!(Aboard::begin(&key).unwrap_err(), Refusal::of_concurrency());
        drop(first);
        assert_eq!(key.counts.flight.now(), 0);
        assert!(Aboard::begin(&key).unwrap().is_some());
    }
}
