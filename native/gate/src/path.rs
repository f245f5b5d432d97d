//! What a path is to this filter.

use crate::turns::Roles;
use serde_json::Value;

/// What is done for a request, besides removing headers that only the gateway may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Whether a key is needed, where keys are needed at all.
    pub key: bool,
    /// Whether the limits and the models of the key count.
    pub limits: bool,
    /// Whether the body is read for the model.
    pub model: bool,
    /// Whether a line is written also if no model is named.
    pub ledger: bool,
    /// Whether the body has a prompt, whose beginning may choose the replica.
    pub prompt: bool,
    /// The roles that the messages in the body may have; None: any.
    pub roles: Option<Roles>,
}

const ALL: Checks = Checks { key: true, limits: true, model: true, ledger: false, prompt: false, roles: None };

/// The paths that are not like all others.
#[derive(Debug, Default)]
pub struct Paths {
    exact: Vec<(Vec<u8>, Checks)>,
    below: Vec<(Vec<u8>, Checks)>,
}

impl Paths {
    /// Read `{"model_paths": [...], "prompt_paths": [...], "roles": {path: [...]}, "exceptions": [...]}`, with
    /// exceptions in the form `{"path" or "prefix": ..., "without": ["key", "limits", "model"]}`.
    pub fn read(tree: &Value) -> Result<Paths, String> {
        let mut found = Paths::default();
        let prompts = tree["prompt_paths"].as_array().map_or(&[][..], Vec::as_slice);
        for path in tree["model_paths"].as_array().ok_or("no model_paths")? {
            let prompt = prompts.contains(path);
            let path = path.as_str().ok_or("a path is not a text")?;
            let roles = roles(&tree["roles"][path])?;
            found.exact.push((path.into(), Checks { ledger: true, prompt, roles, ..ALL }));
        }
        for each in tree["exceptions"].as_array().ok_or("no exceptions")? {
            let mut checks = ALL;
            for without in each["without"].as_array().ok_or("an exception without `without`")? {
                match without.as_str() {
                    Some("key") => checks.key = false,
                    Some("limits") => checks.limits = false,
                    Some("model") => checks.model = false,
                    other => return Err(format!("no check is called {other:?}")),
                }
            }
            match (each["path"].as_str(), each["prefix"].as_str()) {
                (Some(path), None) => found.exact.push((path.into(), checks)),
                (None, Some(prefix)) => found.below.push((prefix.into(), checks)),
                _ => return Err("an exception needs a path or a prefix".into()),
            }
        }
        Ok(found)
    }

    /// What is done at a path, which has no query.
    pub fn checks(&self, path: &[u8]) -> Checks {
        let exact = self.exact.iter().find(|(each, _)| each == path);
        let found = exact.or_else(|| self.below.iter().find(|(prefix, _)| path.starts_with(prefix)));
        found.map_or(ALL, |(_, checks)| checks.clone())
    }
}

fn roles(value: &Value) -> Result<Option<Roles>, &'static str> {
    let Some(names) = value.as_array() else { return Ok(None) };
    let text = |name: &Value| name.as_str().map(|name| name.as_bytes().into()).ok_or("a role is not a text");
    names.iter().map(text).collect::<Result<Roles, _>>().map(Some)
}

/// A path without its query.
pub fn without_query(path: &[u8]) -> &[u8] {
    memchr::memchr(b'?', path).map_or(path, |end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::{ALL, Checks, Paths, without_query};
    use serde_json::json;

    #[test]
    fn a_path_is_exact_or_below_a_prefix() {
        let paths = Paths::read(&json!({
            "model_paths": ["/v1/messages", "/v1/embeddings"],
            "prompt_paths": ["/v1/messages"],
            "roles": {"/v1/messages": ["user"]},
            "exceptions": [
                {"path": "/healthz", "without": ["key", "limits"]},
                {"prefix": "/api/", "without": ["limits", "model"]},
            ],
        }))
        .unwrap();
        let roles = Some([b"user"[..].into()].into());
        assert_eq!(paths.checks(b"/v1/messages"), Checks { ledger: true, prompt: true, roles, ..ALL });
        assert_eq!(paths.checks(b"/v1/embeddings"), Checks { ledger: true, ..ALL });
        assert_eq!(paths.checks(b"/healthz"), Checks { key: false, limits: false, ..ALL });
        assert_eq!(paths.checks(b"/api/chat"), Checks { limits: false, model: false, ..ALL });
        for path in [&b"/v1/messages/"[..], b"/healthz/", b"/api", b"/", b""] {
            assert_eq!(paths.checks(path), ALL);
        }
        assert_eq!(without_query(b"/a?b?c"), b"/a");
    }

    #[test]
    fn a_damaged_table_of_paths_is_an_error() {
        for tree in [
            json!({}),
            json!({"model_paths": [1], "exceptions": []}),
            json!({"model_paths": ["/x"], "roles": {"/x": [1]}, "exceptions": []}),
            json!({"model_paths": [], "exceptions": [{"path": "/x"}]}),
            json!({"model_paths": [], "exceptions": [{"path": "/x", "without": ["all"]}]}),
            json!({"model_paths": [], "exceptions": [{"path": "/x", "prefix": "/y", "without": []}]}),
        ] {
            assert!(Paths::read(&tree).is_err(), "{tree}");
        }
    }
}
