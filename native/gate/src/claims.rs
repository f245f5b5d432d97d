//! What the claims of a verified token mean, as a filter before this one says it in metadata.

use crate::abi::METADATA_DYNAMIC;
use crate::envoy::Http;

const NAMESPACE: &str = "bateau";

/// The claims of a token.
#[derive(Debug)]
pub struct Claims {
    /// Who answers for it.
    pub owner: Vec<u8>,
    /// Globs of its models, with spaces between them.
    pub models: String,
}

impl Claims {
    /// The claims of a request; None if it has no token.
    pub fn of(http: Http) -> Option<Claims> {
        let models = String::from_utf8(http.metadata(METADATA_DYNAMIC, NAMESPACE, "models")?.to_vec()).ok()?;
        let owner = http.metadata(METADATA_DYNAMIC, NAMESPACE, "owner").unwrap_or_default().to_vec();
        Some(Claims { owner, models })
    }

    /// Whether they allow a model.
    pub fn allow(&self, model: &str) -> bool {
        self.models.split(' ').any(|glob| crate::glob::matches(glob, model))
    }
}

#[cfg(test)]
mod tests {
    use super::Claims;

    #[test]
    fn claims_allow_the_models_that_one_of_their_globs_matches() {
        let claims = |models: &str| Claims { owner: Vec::new(), models: models.to_owned() };
        assert!(claims("embed chat*").allow("chat-2") && claims("*").allow("chat"));
        assert!(!claims("embed chat").allow("chat-2") && !claims("-").allow("chat") && !claims("").allow("chat"));
    }
}
