//! Bodies of each API, of the same conversation and of others, and against another parser.

use crate::balance::mixed;
use crate::model::{Named, Question};
use serde_json::{Value, json};
use std::collections::HashMap;

fn prefix(body: &[u8], cuts: &[usize]) -> Option<u64> {
    let mut question = Question::new(true, None);
    let mut from = 0;
    for cut in cuts.iter().copied().chain([body.len()]) {
        question.feed(&body[from..cut]);
        from = cut;
    }
    match question.finish() {
        Named::Model(model) => question.prefix(&model),
        _ => None,
    }
}

fn of(body: &Value) -> Option<u64> {
    let text = body.to_string();
    let whole = prefix(text.as_bytes(), &[]);
    for cut in 0..text.len() {
        assert_eq!(prefix(text.as_bytes(), &[cut]), whole, "cut at {cut}: {text}");
    }
    whole
}

fn chat(system: &str, user: &str, later: &[&str]) -> Value {
    let mut messages = vec![json!({"role": "system", "content": system}), json!({"role": "user", "content": user})];
    messages.extend(later.iter().map(|text| json!({"role": "assistant", "content": text})));
    json!({"model": "chat", "messages": messages, "max_tokens": 7})
}

#[test]
fn the_turns_of_a_conversation_have_one_prefix() {
    let first = of(&chat("Be kind.", "Hello", &[]));
    assert!(first.is_some());
    for later in [&["a"][..], &["a", "b", "c"]] {
        assert_eq!(of(&chat("Be kind.", "Hello", later)), first);
    }
    let spelled = json!({
        "stream": true,
        "messages": [
            {"content": [{"type": "text", "text": "Be kind."}], "role": "system"},
            {"content": [{"type": "image_url", "image_url": {"url": "data:x"}}, {"type": "text", "text": "Hello"}],
             "role": "user", "name": "me"},
        ],
        "model": "chat",
    });
    assert_eq!(of(&spelled), first, "in parts, and in another order");
}

#[test]
fn another_system_prompt_message_or_model_is_another_prefix() {
    let first = of(&chat("Be kind.", "Hello", &[]));
    let mut other_model = chat("Be kind.", "Hello", &[]);
    other_model["model"] = json!("chat-lora");
    let mut nobody = chat("Be kind.", "Hello", &[]);
    nobody["messages"][0]["role"] = json!("assistant");
    for other in [chat("Be rude.", "Hello", &[]), chat("Be kind.", "Hi", &[]), other_model, nobody] {
        assert!(of(&other).is_some());
        assert_ne!(of(&other), first, "{other}");
    }
}

#[test]
fn each_api_has_a_prefix() {
    let turns = [
        [
            json!({"model": "m", "system": "S", "messages": [{"role": "user", "content": "U"}]}),
            json!({"model": "m", "system": "S", "messages": [
                {"role": "user", "content": "U"}, {"role": "assistant", "content": "A"},
                {"role": "user", "content": "V"}]}),
        ],
        [
            json!({"model": "m", "system": [{"type": "text", "text": "S"}],
                   "messages": [{"role": "user", "content": [{"type": "text", "text": "U"}]}]}),
            json!({"model": "m", "system": [{"type": "text", "text": "S"}], "messages": [
                {"role": "user", "content": [{"type": "text", "text": "U"}]}, {"role": "assistant", "content": "A"}]}),
        ],
        [
            json!({"model": "m", "instructions": "S", "input": [{"role": "user", "content": "U"}]}),
            json!({"model": "m", "instructions": "S", "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "U"}]}, {"role": "user", "content": "V"}]}),
        ],
        [json!({"model": "m", "prompt": "x".repeat(1_100)}), json!({"model": "m", "prompt": "x".repeat(1_400)})],
        [json!({"model": "m", "input": "U"}), json!({"model": "m", "input": "U", "stream": true})],
        [json!({"model": "m", "prompt": ["a", "b"]}), json!({"model": "m", "prompt": ["a", "c"]})],
    ];
    let mut all = Vec::new();
    for [first, second] in &turns {
        assert!(of(first).is_some(), "{first}");
        assert_eq!(of(first), of(second), "{second}");
        all.push(of(first));
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), turns.len() - 2, "the first three say the same, and no others");
}

#[test]
fn a_body_of_another_shape_has_no_prefix() {
    for body in [
        json!({"model": "m"}),
        json!({"model": "m", "messages": []}),
        json!({"model": "m", "messages": {"role": "user", "content": "x"}, "prompt": 7}),
        json!({"model": "m", "messages": [{"role": "assistant", "content": "x"}]}),
        json!({"model": "m", "messages": [{"role": "user", "content": ""}]}),
        json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        json!({"model": "m", "messages": [["user", "x"], 7, null]}),
        json!({"model": "m", "prompt": [1, 2, 3]}),
        json!({"model": "m", "nested": {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}}),
        json!({"messages": [{"role": "user", "content": "x"}]}),
        json!([]),
    ] {
        assert_eq!(of(&body), None, "{body}");
    }
    assert_eq!(prefix(br#"{"model":"m","prompt":"x""#, &[]), None);
    let mut not_asked = Question::new(false, None);
    not_asked.feed(chat("S", "U", &[]).to_string().as_bytes());
    not_asked.finish();
    assert_eq!(not_asked.prefix("chat"), None);
}

#[test]
fn a_long_text_counts_with_its_first_bytes() {
    let long = "word ".repeat(2_000);
    let first = of(&chat("S", &long[..9_000], &[]));
    assert_eq!(prefix(chat("S", &long, &[]).to_string().as_bytes(), &[5_000]), first);
    assert_ne!(prefix(chat("S", &format!("!{long}"), &[]).to_string().as_bytes(), &[]), first);
}

/// A small generator of numbers, the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mixed(self.0) % sides
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.roll(choices.len() as u64) as usize]
    }

    fn text(&mut self) -> Value {
        json!(*self.of(&["", "a", "b", "a\"\n", "\u{e9}", "\u{1f600}"]))
    }

    fn content(&mut self) -> Value {
        match self.roll(4) {
            0 => json!([{"type": "text", "text": self.text()}, {"text": self.text(), "type": "text"}]),
            1 => json!([{"image_url": {"url": "data:", "text": "x"}}, {"type": "text", "text": self.text()}]),
            2 => json!([{"text": 7}, {"text": ["x"]}, "x", null]),
            _ => self.text(),
        }
    }

    fn body(&mut self) -> Value {
        let message = |dice: &mut Dice| match dice.roll(8) {
            0 => json!(*dice.of(&[&Value::Null, &json!("user"), &json!([])])),
            _ => {
                let role = *dice.of(&["system", "developer", "user", "user", "assistant", "tool"]);
                let (content, more) = (dice.content(), dice.content());
                json!({"x": {"role": "user", "content": more}, "role": role, "content": content})
            }
        };
        let messages: Vec<_> = (0..self.roll(4)).map(|_| message(self)).collect();
        let mut body = json!({"model": *self.of(&["m", "n"]), "nested": {"messages": messages}});
        body[*self.of(&["messages", "messages", "input", "other"])] = json!(messages);
        if self.roll(3) == 0 {
            body[*self.of(&["system", "instructions"])] = self.content();
        }
        body
    }
}

/// The texts that count, read from a tree.
fn texts(body: &Value) -> Option<(String, Vec<Value>, Vec<Value>)> {
    let parts = |content: &Value| match content {
        Value::String(_) => vec![content.clone()],
        Value::Array(parts) => parts.iter().map(|part| part["text"].clone()).filter(Value::is_string).collect(),
        _ => vec![],
    };
    let messages = ["messages", "input"].iter().find_map(|name| body[*name].as_array())?;
    let user = messages
        .iter()
        .position(|each| each["role"] == "user" && parts(&each["content"]).iter().any(|text| text != ""))?;
    let mut system = Vec::new();
    for each in messages[..user].iter().filter(|each| each["role"] == "system" || each["role"] == "developer") {
        system.push(json!(parts(&each["content"])));
    }
    for name in ["system", "instructions"] {
        system
            .extend(body.get(name).map(|found| json!({"top": parts(found)})).filter(|found| found["top"] != json!([])));
    }
    Some((body["model"].to_string(), system, parts(&messages[user]["content"])))
}

/// `BATEAU_FUZZ` sets how many bodies; the seed is always the same.
#[test]
fn prefixes_are_equal_where_another_parser_finds_equal_texts() {
    let bodies = std::env::var("BATEAU_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let mut dice = Dice(7);
    let (mut by_texts, mut by_prefix) = (HashMap::new(), HashMap::new());
    for _ in 0..bodies {
        let body = dice.body();
        let text = if dice.roll(2) == 0 { body.to_string() } else { format!("{body:#}") };
        let cut = dice.roll(text.len() as u64 + 1) as usize;
        let found = prefix(text.as_bytes(), &[cut]);
        let expected = texts(&body).map(|found| format!("{found:?}"));
        assert_eq!(found.is_some(), expected.is_some(), "{text}");
        let (Some(found), Some(expected)) = (found, expected) else { continue };
        assert_eq!(*by_texts.entry(expected.clone()).or_insert(found), found, "{text}");
        assert_eq!(*by_prefix.entry(found).or_insert(expected.clone()), expected, "{text}");
    }
    assert!(by_texts.len() > bodies / 100, "{}", by_texts.len());
}
