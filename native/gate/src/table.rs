//! The configuration: who may do what, and where the ledger is.
//!
//! Envoy reads it from a file, and again whenever the file is replaced. Counts of keys survive that.

use crate::limit::{Bucket, Flight};
use crate::path::Paths;
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The format of the configuration that this library reads.
const FORMAT: u64 = 1;

/// What a key has used; shared by all workers and by all configurations that have a key of this name.
#[derive(Default, Debug)]
pub struct Counts {
    /// Its requests per minute.
    pub bucket: Bucket,
    /// Its requests at once.
    pub flight: Flight,
}

static COUNTS: Mutex<Option<HashMap<String, Arc<Counts>>>> = Mutex::new(None);

/// A period in which a key has used up its tokens, and until when it is refused, in milliseconds since the epoch.
pub type Refused = (String, u64);

/// A key, without its secret.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// When it ends, in milliseconds since the epoch.
    pub expires_ms: Option<u64>,
    /// How many requests it may send in a minute.
    pub requests_per_minute: Option<u64>,
    /// How many requests it may have in flight.
    pub concurrent: Option<u32>,
    /// Globs of its models.
    pub models: Vec<String>,
    /// Why it is refused now.
    pub refused: Vec<Refused>,
    /// What it has used.
    pub counts: Arc<Counts>,
}

impl Key {
    /// Whether it may use a model.
    pub fn may_use(&self, model: &str) -> bool {
        self.models.iter().any(|glob| glob == "*" || crate::glob::matches(glob, model))
    }
}

/// All of a configuration.
#[derive(Debug)]
pub struct Table {
    /// Whether a request needs a key.
    pub required: bool,
    /// The file that gets a line for each request; None: no line is written.
    pub ledger: Option<PathBuf>,
    /// Whether requests to models are refused while the ledger cannot be written.
    pub refuses_unwritten: bool,
    /// What is done at which path.
    pub paths: Paths,
    /// The value of the header for a request without a model, and for one that is not JSON.
    pub missing: String,
    /// See `missing`.
    pub invalid: String,
    by_hash: HashMap<[u8; 32], Arc<Key>>,
    by_name: HashMap<String, Arc<Key>>,
}

impl Table {
    /// Read a configuration. An error says what is wrong with it.
    pub fn read(text: &[u8]) -> Result<Table, String> {
        let tree: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if tree["format"].as_u64() != Some(FORMAT) {
            return Err(format!("its format is {}, and this library reads {FORMAT}", tree["format"]));
        }
        let mut refused = refused(&tree["refused"])?;
        let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.get_or_insert_default();
        let (mut by_hash, mut by_name) = (HashMap::new(), HashMap::new());
        for row in tree["keys"].as_array().ok_or("no keys")? {
            let key = key(row, &mut refused, counts)?;
            let key = Arc::new(key);
            by_hash.insert(hash(&row["sha256"])?, Arc::clone(&key));
            by_name.insert(key.name.clone(), key);
        }
        // What a revoked key has used is forgotten with its last request.
        counts.retain(|name, counts| by_name.contains_key(name) || Arc::strong_count(counts) > 1);
        Ok(Table {
            required: tree["required"].as_bool().ok_or("no required")?,
            ledger: tree["ledger"].as_str().map(PathBuf::from),
            refuses_unwritten: tree["refuses_unwritten"].as_bool().unwrap_or_default(),
            paths: Paths::read(&tree)?,
            missing: text_of(&tree["missing"], "missing")?,
            invalid: text_of(&tree["invalid"], "invalid")?,
            by_hash,
            by_name,
        })
    }

    /// The key with the SHA-256 of a secret.
    pub fn by_hash(&self, hash: &[u8; 32]) -> Option<&Arc<Key>> {
        self.by_hash.get(hash)
    }

    /// The key of a name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Key>> {
        self.by_name.get(name)
    }
}

fn key(
    row: &Value,
    refused: &mut HashMap<String, Vec<Refused>>,
    counts: &mut HashMap<String, Arc<Counts>>,
) -> Result<Key, String> {
    let name = text_of(&row["name"], "name of a key")?;
    let models = row["models"].as_array().ok_or("a key has no models")?;
    let limit = |field: &str| match &row[field] {
        Value::Null => Ok(None),
        value => value.as_u64().filter(|limit| *limit > 0).map(Some).ok_or(format!("{field} of {name} is {value}")),
    };
    Ok(Key {
        expires_ms: row["expires"].as_f64().map(milliseconds),
        requests_per_minute: limit("requests_per_minute")?,
        concurrent: limit("concurrent")?.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
        models: models.iter().map(|glob| text_of(glob, "glob")).collect::<Result<_, _>>()?,
        refused: refused.remove(&name).unwrap_or_default(),
        counts: Arc::clone(counts.entry(name.clone()).or_default()),
        name,
    })
}

/// Read `{period: {name of a key: until}}`, in seconds since the epoch, and return it by the name of the key.
fn refused(tree: &Value) -> Result<HashMap<String, Vec<Refused>>, String> {
    let mut found: HashMap<String, Vec<Refused>> = HashMap::new();
    for (period, keys) in tree.as_object().ok_or("no refused")? {
        for (name, until) in keys.as_object().ok_or("refused has no keys")? {
            let until = until.as_f64().ok_or("refused until no time")?;
            found.entry(name.clone()).or_default().push((period.clone(), milliseconds(until)));
        }
    }
    Ok(found)
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1_000.0) as u64
}

fn text_of(value: &Value, what: &str) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{what} is {value}"))
}

fn hash(value: &Value) -> Result<[u8; 32], String> {
    let text = value.as_str().unwrap_or_default().as_bytes();
    let mut found = [0; 32];
    if text.len() != 2 * found.len() {
        return Err("a key has no SHA-256".into());
    }
    for (byte, digits) in found.iter_mut().zip(text.chunks(2)) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16).ok_or("a key has no SHA-256");
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::Table;
    use serde_json::{Value, json};

    fn tree(name: &str) -> Value {
        json!({
            "format": 1, "required": true, "ledger": "/x/requests.jsonl", "missing": "-m-", "invalid": "-i-",
            "model_paths": [], "exceptions": [],
            "keys": [{"name": name, "sha256": "0a".repeat(32), "models": ["cha*"], "expires": 7.5,
                      "requests_per_minute": 5, "concurrent": 2}],
            "refused": {"day": {name: 9.25}, "minute": {"other": 1}},
        })
    }

    fn read(tree: &Value) -> Result<Table, String> {
        Table::read(tree.to_string().as_bytes())
    }

    #[test]
    fn a_key_is_found_by_its_hash_and_by_its_name() {
        let table = read(&tree("found")).unwrap();
        let key = table.by_hash(&[10; 32]).unwrap();
        assert_eq!((key.name.as_str(), key.expires_ms, key.concurrent), ("found", Some(7_500), Some(2)));
        assert_eq!(key.refused, [("day".to_owned(), 9_250)]);
        assert!(table.by_name("found").is_some() && table.by_name("other").is_none());
        assert!(table.by_hash(&[11; 32]).is_none());
        assert!(key.may_use("chat") && !key.may_use("embed"));
    }

    #[test]
    fn a_new_configuration_keeps_what_a_key_has_used() {
        let first = read(&tree("kept")).unwrap();
        assert!(first.by_name("kept").unwrap().counts.flight.begin(1));
        let second = read(&tree("kept")).unwrap();
        assert!(!second.by_name("kept").unwrap().counts.flight.begin(1));
        drop((first, second));
        read(&tree("another")).unwrap();
        assert!(read(&tree("kept")).unwrap().by_name("kept").unwrap().counts.flight.begin(1), "it was revoked");
    }

    #[test]
    fn a_damaged_configuration_is_an_error() {
        for (field, value) in [
            ("format", json!(2)),
            ("required", Value::Null),
            ("missing", Value::Null),
            ("keys", json!({})),
            ("keys", json!([{"name": "a", "models": ["*"], "sha256": "0"}])),
            ("keys", json!([{"name": "a", "models": ["*"], "sha256": "zz".repeat(32)}])),
            ("keys", json!([{"name": "a", "sha256": "0a".repeat(32)}])),
            ("keys", json!([{"name": "a", "models": ["*"], "sha256": "0a".repeat(32), "concurrent": 0}])),
            ("refused", json!({"day": {"a": "b"}})),
            ("model_paths", Value::Null),
        ] {
            let mut damaged = tree("damaged");
            damaged[field] = value;
            assert!(read(&damaged).is_err(), "{damaged}");
        }
        assert!(Table::read(b"{").is_err());
    }
}
