//! Whether a content type is JSON.

/// Whether a whole content type matches `(?i)application/([\w.+-]+\+)?json.*`, as Envoy's filter asks for requests.
///
/// This also keeps web pages of other origins out: a browser sends such a type to another origin only after a
/// preflight request, which the gateway does not grant.
pub fn is_json(kind: &[u8]) -> bool {
    const TREE: &[u8] = b"application/";
    let Some((tree, kind)) = kind.split_at_checked(TREE.len()) else { return false };
    if !tree.eq_ignore_ascii_case(TREE) {
        return false;
    }
    if begins_with_json(kind) {
        return true;
    }
    let word = kind.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"_.+-".contains(byte)).count();
    (1..word).any(|at| kind[at] == b'+' && begins_with_json(&kind[at + 1..]))
}

fn begins_with_json(text: &[u8]) -> bool {
    text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"json"))
}

#[cfg(test)]
mod tests {
    use super::is_json;

    #[test]
    fn only_json_is_json() {
        for kind in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/jsonx",
            "application/vnd.api+json",
            "application/a+b+JSON;q",
            "application/a_b-c.d+json",
        ] {
            assert!(is_json(kind.as_bytes()), "{kind}");
        }
        for kind in [
            "",
            "json",
            "text/json",
            "application/",
            "application/+json",
            "application/a/b+json",
            "application/a b+json",
            "application/xml",
            "application/ajson",
            "xapplication/json",
            " application/json",
            "multipart/form-data",
        ] {
            assert!(!is_json(kind.as_bytes()), "{kind}");
        }
    }
}
