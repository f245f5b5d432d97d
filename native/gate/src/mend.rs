//! Errors of llama.cpp in the shape and with the status of the API that was called.
//!
//! It answers some mistakes of clients with 500, after which clients try again, and Anthropic's API in OpenAI's shape.
//! Source: Anthropic's API reference, "Errors"; the messages of llama.cpp's server.

use serde_json::{Value, json};

// A longer body is not held.
const BODY_MAX: usize = 64 * 1_024;
const SERVER: u64 = 500;

/// Whether the error may be another one than the engine has said; with `anthropic`, at a path of that API.
pub fn may_be(anthropic: bool, status: u64) -> bool {
    status == SERVER || anthropic && status >= 400
}

/// Whether a body of this length, as the header says it, may be held.
pub fn is_short(length: &[u8]) -> bool {
    std::str::from_utf8(length)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .is_some_and(|length: usize| length <= BODY_MAX)
}

/// The status and the body of an error, if they are not those that the engine has given.
pub fn mended(anthropic: bool, status: u64, body: &[u8]) -> Option<(u64, Vec<u8>)> {
    let tree: Value = serde_json::from_slice(body).ok()?;
    let said = tree["error"]["message"].as_str()?;
    let of_client = if status == SERVER { of_client(said) } else { None };
    let (status, tree) = match (of_client, anthropic) {
        (Some((says, _)), true) => (400, of_anthropic(400, &says)),
        (Some((says, code)), false) => {
            let error = json!({"message": says, "type": "invalid_request_error", "param": null, "code": code});
            (400, json!({"error": error}))
        }
        (None, true) if tree["type"] != "error" => (status, of_anthropic(status, said)),
        _ => return None,
    };
    Some((status, tree.to_string().into()))
}

/// What a client did wrong, and its code in OpenAI's API.
fn of_client(said: &str) -> Option<(String, Option<&'static str>)> {
    for (kind, what) in [("image", "images"), ("audio", "audio"), ("video", "videos")] {
        if said.contains(kind) && said.contains("input is not supported") {
            return Some((format!("This model does not take {what}: send text."), Some("unsupported_by_model")));
        }
    }
    if said.contains("is too large to process") {
        let numbers: Vec<&str> =
            said.split(|each: char| !each.is_ascii_digit()).filter(|each| !each.is_empty()).collect();
        let [tokens, most] = numbers[..] else { return None };
        let says = format!(
            "An input has {tokens} tokens, and the context of the model, into which it must fit, is {most} tokens."
        );
        return Some((says, Some("context_length_exceeded")));
    }
    let is_of_request = said.starts_with("Failed to parse messages") || said.ends_with("is required");
    is_of_request.then(|| (said.to_owned(), None))
}

fn of_anthropic(status: u64, says: &str) -> Value {
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        SERVER.. => "api_error",
        _ => "invalid_request_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": says}})
}

#[cfg(test)]
mod tests {
    use super::{is_short, may_be, mended};
    use serde_json::{Value, json};

    fn error(anthropic: bool, status: u64, message: &str) -> Option<(u64, Value)> {
        let body = json!({"error": {"code": status, "message": message, "type": "server_error"}}).to_string();
        let (status, body) = mended(anthropic, status, body.as_bytes())?;
        Some((status, serde_json::from_slice(&body).unwrap()))
    }

    #[test]
    fn mistakes_of_clients_are_400() {
        for (said, says, code) in [
            (
                "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
                "This model does not take images: send text.",
                json!("unsupported_by_model"),
            ),
            (
                "input (4002 tokens) is too large to process. increase the physical batch size (current batch size: 1024)",
                "An input has 4002 tokens, and the context of the model, into which it must fit, is 1024 tokens.",
                json!("context_length_exceeded"),
            ),
            ("'messages' is required", "'messages' is required", Value::Null),
            ("Failed to parse messages: \"x\"", "Failed to parse messages: \"x\"", Value::Null),
        ] {
            let (status, tree) = error(false, 500, said).unwrap();
            assert_eq!((status, &tree["error"]["message"], &tree["error"]["code"]), (400, &json!(says), &code));
            let (status, tree) = error(true, 500, said).unwrap();
            let expected = json!({"type": "error", "error": {"type": "invalid_request_error", "message": says}});
            assert_eq!((status, tree), (400, expected));
        }
    }

    #[test]
    fn other_errors_keep_their_status() {
        assert_eq!(error(false, 500, "out of memory"), None);
        assert_eq!(error(false, 501, "image input is not supported"), None);
        assert_eq!(error(false, 500, "input is too large to process"), None);
        for (status, kind) in [
            (400, "invalid_request_error"),
            (422, "invalid_request_error"),
            (404, "not_found_error"),
            (500, "api_error"),
            (501, "api_error"),
            (503, "overloaded_error"),
        ] {
            let expected = json!({"type": "error", "error": {"type": kind, "message": "x"}});
            assert_eq!(error(true, status, "x"), Some((status, expected)), "{status}");
        }
    }

    #[test]
    fn what_is_no_error_of_the_engine_stays() {
        for body in ["", "x", "[]", "{}", r#"{"error":"x"}"#, r#"{"error":{"message":7}}"#, r#"{"message":"x"}"#] {
            assert_eq!(mended(true, 500, body.as_bytes()), None, "{body}");
        }
        let anthropic = br#"{"type":"error","error":{"type":"api_error","message":"x"}}"#;
        assert_eq!(mended(true, 500, anthropic), None);
        assert!(is_short(b"65536") && !is_short(b"65537") && !is_short(b"") && !is_short(b"-1"));
        assert!(may_be(false, 500) && may_be(true, 404) && !may_be(false, 404) && !may_be(true, 200));
    }
}
