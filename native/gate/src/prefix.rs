//! What the conversations of a request begin with: its system prompt and its first user message, as one number.
//!
//! Requests with the same number can use the same entries of an engine's prompt cache. It knows the bodies of OpenAI's
//! chat completions, completions and responses, and of Anthropic's messages. The number has no meaning but to be equal.

use crate::balance::number_of;
use crate::mix::Mix;
use crate::scan::{NOWHERE, Place, TOP};
use std::hash::{Hash, Hasher};

/// The messages of a body, one of them, and its role.
pub const MESSAGES: Place = 3;
/// See `MESSAGES`.
pub const MESSAGE: Place = 4;
/// See `MESSAGES`.
pub const ROLE: Place = 5;
const CONTENT: Place = 6;
const PART: Place = 7;
const TEXT: Place = 8;
const SYSTEM: Place = 9;
const SYSTEM_PART: Place = 10;
const SYSTEM_TEXT: Place = 11;
const PROMPT: Place = 12;
/// The prompt of a completion grows with each turn of a conversation, so only its first bytes count.
const PROMPT_BYTES: usize = 1_024;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    System,
    User,
    #[default]
    Other,
}

/// A message that is being read.
#[derive(Default)]
struct Message {
    role: Role,
    text: Mix,
    has_text: bool,
}

/// A body that is being read. Strings come cut at the length that the scanner keeps.
#[derive(Default)]
pub struct Beginning {
    /// The system prompt beside the messages, and that among them: either may come first.
    system: Mix,
    system_messages: Mix,
    message: Option<Message>,
    user: Option<u64>,
}

impl Beginning {
    /// The place of the value that has this name in the object at `place`.
    pub fn member(&mut self, place: Place, name: &[u8]) -> Place {
        match (place, name) {
            (TOP, b"messages" | b"input") => MESSAGES,
            (TOP, b"system" | b"instructions") => SYSTEM,
            (TOP, b"prompt") => PROMPT,
            (MESSAGE, b"role") => ROLE,
            (MESSAGE, b"content") => CONTENT,
            (PART, b"text") => TEXT,
            (SYSTEM_PART, b"text") => SYSTEM_TEXT,
            _ => NOWHERE,
        }
    }

    /// The place of the elements of the array at `place`. Nothing after the first user message is read.
    pub fn element(&mut self, place: Place) -> Place {
        match place {
            MESSAGES => {
                self.end_message();
                if self.user.is_some() {
                    return NOWHERE;
                }
                self.message = Some(Message::default());
                MESSAGE
            }
            CONTENT => PART,
            SYSTEM => SYSTEM_PART,
            PROMPT if self.user.is_none() => PROMPT,
            _ => NOWHERE,
        }
    }

    /// A string at a place.
    pub fn string(&mut self, place: Place, text: &[u8]) {
        match (place, &mut self.message) {
            (ROLE, Some(message)) => {
                message.role = match text {
                    b"system" | b"developer" => Role::System,
                    b"user" => Role::User,
                    _ => Role::Other,
                };
            }
            (CONTENT | TEXT, Some(message)) => {
                text.hash(&mut message.text);
                message.has_text |= !text.is_empty();
            }
            (SYSTEM | SYSTEM_TEXT, _) => text.hash(&mut self.system),
            (MESSAGES, _) => self.user = self.user.or_else(|| number(text)),
            (PROMPT, _) => self.user = self.user.or_else(|| number(&text[..text.len().min(PROMPT_BYTES)])),
            _ => {}
        }
    }

    /// The number of the body for a model; None if it has no user message with a text.
    pub fn finish(&mut self, model: &str) -> Option<u64> {
        self.end_message();
        let user = self.user?;
        let mut whole = Mix::default();
        (model, self.system.finish(), self.system_messages.finish(), user).hash(&mut whole);
        Some(whole.finish())
    }

    fn end_message(&mut self) {
        match self.message.take() {
            Some(Message { role: Role::System, text, .. }) => text.finish().hash(&mut self.system_messages),
            Some(Message { role: Role::User, text, has_text: true }) if self.user.is_none() => {
                self.user = Some(text.finish());
            }
            _ => {}
        }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    (!text.is_empty()).then(|| number_of(text))
}

#[cfg(test)]
#[path = "prefix_tests.rs"]
mod tests;
