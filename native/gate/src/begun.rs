//! Lines about requests that were sent to a replica: a gateway that is killed cannot say how they ended.
//!
//! Envoy calls this as an access log of its router, when a connection to the replica is ready.

use crate::clock;
use crate::envoy::{self, Logged};
use crate::ledger::Ledger;
use crate::line::{self, Began};
use crate::path::without_query;
use crate::seen::KEY_HEADER;
use serde_json::Value;
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

/// The format of the configuration that this library reads.
const FORMAT: u64 = 1;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The configuration: where lines are written, and about requests to which paths.
struct Settings {
    ledger: Option<PathBuf>,
    paths: Vec<String>,
}

impl Settings {
    /// Read `{"format": 1, "ledger": ..., "model_paths": [...]}`. An error says what is wrong with it.
    fn read(text: &[u8]) -> Result<Settings, String> {
        let tree: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if tree["format"].as_u64() != Some(FORMAT) {
            return Err(format!("its format is {}, and this library reads {FORMAT}", tree["format"]));
        }
        let paths = tree["model_paths"].as_array().ok_or("no model_paths")?;
        let path = |path: &Value| path.as_str().map(str::to_owned).ok_or("a path is not a text");
        Ok(Settings {
            ledger: tree["ledger"].as_str().map(PathBuf::from),
            paths: paths.iter().map(path).collect::<Result<_, _>>()?,
        })
    }
}

/// The access log.
pub struct Begun {
    ledger: Option<Arc<Ledger>>,
    paths: Vec<String>,
}

impl Begun {
    /// Read a configuration. An error says what is wrong with it.
    pub fn read(text: &[u8]) -> Result<Begun, String> {
        let settings = Settings::read(text)?;
        let path = settings.ledger.filter(|_| !envoy::is_validation());
        Ok(Begun { ledger: path.as_deref().map(Ledger::of), paths: settings.paths })
    }

    /// A request was sent to a replica.
    pub fn sent(&self, request: Logged) {
        let Some(ledger) = &self.ledger else { return };
        let path = without_query(request.header(b":path").unwrap_or_default());
        if !self.paths.iter().any(|each| each.as_bytes() == path) {
            return;
        }
        LINE.with_borrow_mut(|line| {
            let began = Began {
                at_ms: clock::wall_ms(),
                id: request.header(b"x-request-id").unwrap_or_default(),
                key: request.header(KEY_HEADER),
                model: request.route(),
                replica: request.replica(),
                path,
                bytes_in: request.header(b"content-length"),
            };
            line::write_begun(line, &began);
            ledger.add(line);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn a_configuration_of_another_format_is_refused() {
        let text = br#"{"format": 1, "ledger": null, "model_paths": ["/v1/messages"]}"#;
        assert_eq!(Settings::read(text).unwrap().paths, ["/v1/messages"]);
        for wrong in [&b"{"[..], b"{}", br#"{"format": 2, "model_paths": []}"#, br#"{"format": 1, "model_paths": [1]}"#]
        {
            assert!(Settings::read(wrong).is_err());
        }
    }
}
