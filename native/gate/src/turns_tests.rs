//! Bodies whose messages can be answered, and others, wherever they are cut, and against another parser.

use super::{Fault, Roles};
use crate::model::Question;
use serde_json::{Value, json};

fn roles() -> Roles {
    [b"system"[..].into(), b"user"[..].into(), b"assistant"[..].into()].into()
}

/// The fault of a body, which is the same wherever it is cut, and whether or not its beginning is read, too.
fn fault(body: &str) -> Option<Fault> {
    let read = |of_prompt, pieces: &[&[u8]]| {
        let mut question = Question::new(of_prompt, Some(roles()));
        pieces.iter().for_each(|piece| question.feed(piece));
        question.finish();
        question.fault()
    };
    let bytes = body.as_bytes();
    let whole = read(true, &[bytes]);
    for cut in 0..=bytes.len() {
        for of_prompt in [true, false] {
            assert_eq!(read(of_prompt, &[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}: {body}");
        }
    }
    whole
}

#[test]
fn messages_with_roles_are_answered() {
    for messages in [
        r#"[{"role":"user","content":"hi"}]"#,
        r#"[{"role":"system","content":"x"},{"role":"user","content":"hi"},{"role":"assistant"},{"role":"user"}]"#,
        r#"[ { "content" : [{"type":"text","text":"hi","role":"alien"}] , "role" : "us\u0065r" } ]"#,
        r#"[{"role":"user","tool_calls":[{"role":"alien"}],"x":{"role":"alien"}},{"role":"user","y":[{"role":7}]}]"#,
    ] {
        assert_eq!(fault(&format!(r#"{{"model":"chat","messages":{messages}}}"#)), None, "{messages}");
        assert_eq!(fault(&format!(r#"{{"messages":{messages},"model":"chat","role":"alien"}}"#)), None, "{messages}");
    }
}

#[test]
fn a_role_that_the_api_does_not_have_is_a_fault() {
    for message in [
        r#"{"role":"alien","content":"hi"}"#,
        r#"{"role":"User"}"#,
        r#"{"role":"user "}"#,
        r#"{"role":"use"}"#,
        r#"{"role":""}"#,
        r#"{"role":null}"#,
        r#"{"role":7}"#,
        r#"{"role":["user"]}"#,
        r#"{"role":{"role":"user"}}"#,
        r#"{"role":"\ud83d"}"#,
        r#"{"content":"hi"}"#,
        r#"{}"#,
    ] {
        let user = r#"{"role":"user","content":"hi"}"#;
        for messages in [
            format!("[{message}]"),
            format!("[{message},{user}]"),
            format!("[{user},{message}]"),
            format!("[{user},{user},{message},{user}]"),
        ] {
            assert_eq!(fault(&format!(r#"{{"model":"chat","messages":{messages}}}"#)), Some(Fault::Role), "{messages}");
        }
    }
    let long = format!(r#"{{"messages":[{{"role":"user{}"}}]}}"#, "r".repeat(5_000));
    let mut question = Question::new(false, Some(roles()));
    question.feed(long.as_bytes());
    question.finish();
    assert_eq!(question.fault(), Some(Fault::Role));
}

#[test]
fn no_message_is_a_fault() {
    for body in [r#"{"model":"chat","messages":[]}"#, r#"{"messages" : [ ] , "model":"chat"}"#] {
        assert_eq!(fault(body), Some(Fault::Empty), "{body}");
    }
}

#[test]
fn what_the_engine_refuses_by_itself_is_no_fault() {
    for body in [
        "",
        "{}",
        r#"{"model":"chat"}"#,
        r#"{"messages":null}"#,
        r#"{"messages":"x"}"#,
        r#"{"messages":7}"#,
        r#"{"messages":{"role":"alien"}}"#,
        r#"{"messages":["x",7,null,["role"]]}"#,
        r#"{"x":{"messages":[]},"y":[{"messages":[{"role":"alien"}]}]}"#,
        r#"{"input":[{"role":"alien","content":"x"}]}"#,
        r#"{"messages":[{"role":"user"}],"input":[{"role":"alien"},{"type":"x"}],"system":[{"role":"alien"}]}"#,
        "[]",
    ] {
        assert_eq!(fault(body), None, "{body}");
    }
}

#[test]
fn of_messages_that_come_twice_the_last_ones_count() {
    let (good, bad) = (r#"[{"role":"user"}]"#, r#"[{"role":"alien"}]"#);
    for (first, second, expected) in [
        (good, bad, Some(Fault::Role)),
        (bad, good, None),
        ("[]", good, None),
        (good, "[]", Some(Fault::Empty)),
        (bad, "[]", Some(Fault::Empty)),
        ("[{}]", "[]", Some(Fault::Empty)),
        (bad, "null", None),
        (bad, "7", None),
        (bad, r#""x""#, None),
        ("[]", "{}", None),
    ] {
        assert_eq!(fault(&format!(r#"{{"messages":{first},"messages":{second}}}"#)), expected, "{first} {second}");
    }
}

#[test]
fn nobody_looks_for_faults_where_no_roles_are_given() {
    let mut question = Question::new(true, None);
    question.feed(br#"{"model":"chat","messages":[]}"#);
    question.finish();
    assert_eq!(question.fault(), None);
}

/// What another parser finds, in a text without names that come twice.
fn expected(body: &Value) -> Option<Fault> {
    let messages = body["messages"].as_array()?;
    if messages.is_empty() {
        return Some(Fault::Empty);
    }
    let known = |message: &Value| {
        !message.is_object()
            || message["role"].as_str().is_some_and(|role| ["system", "user", "assistant"].contains(&role))
    };
    (!messages.iter().all(known)).then_some(Fault::Role)
}

#[test]
fn bodies_of_any_order_have_the_fault_that_another_parser_finds() {
    let messages = [
        json!({"role": "user", "content": "x"}),
        json!({"content": [{"role": "alien", "text": "x"}], "role": "system"}),
        json!({"role": "alien"}),
        json!({"content": {"role": "user"}}),
        json!("role"),
        json!([{"role": "user"}]),
    ];
    let mut found = [0; 3];
    for number in 0..6_usize.pow(4) {
        let digits = [number % 6, number / 6 % 6, number / 36 % 6, number / 216];
        let list: Vec<&Value> = digits.iter().take(number % 5).map(|digit| &messages[*digit]).collect();
        let body = match number % 3 {
            0 => json!({"model": "chat", "messages": list, "z": [{"role": "alien"}]}),
            1 => json!({"a": {"messages": [{"role": "alien"}]}, "messages": list, "system": "x"}),
            _ => json!({"input": [{"role": "alien"}], "messages": list, "prompt": "x"}),
        };
        let mut question = Question::new(number % 2 == 0, Some(roles()));
        question.feed(body.to_string().as_bytes());
        question.finish();
        let fault = question.fault();
        assert_eq!(fault, expected(&body), "{body}");
        found[fault.map_or(0, |fault| 1 + usize::from(fault == Fault::Role))] += 1;
    }
    assert!(found.iter().all(|count| *count > 20), "{found:?}");
}
