//! Whether the messages of a request are some that can be answered: there are any, and each has a role of the API.
//!
//! An engine may answer others without an end, with the template of a conversation that nobody began.

use std::sync::Arc;

/// The roles that messages may have.
pub type Roles = Arc<[Box<[u8]>]>;

/// Why messages cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There are none.
    Empty,
    /// One has another role, or none.
    Role,
}

/// The messages at the top of a body that is being read. Where they come twice, the last ones count.
pub struct Turns {
    roles: Roles,
    /// The value that is being read is `messages`.
    pub is_read: bool,
    fault: Option<Fault>,
    /// The message that was read last is an object, and has had no role.
    without_role: bool,
}

impl Turns {
    /// A body of which nothing was read.
    pub fn new(roles: Roles) -> Turns {
        Turns { roles, is_read: false, fault: None, without_role: false }
    }

    /// The messages began: with `list`, as an array. What is no array, the engine refuses.
    pub fn begin(&mut self, list: bool) {
        self.fault = list.then_some(Fault::Empty);
        self.without_role = false;
    }

    /// A message follows.
    pub fn message(&mut self) {
        self.end_message();
        if self.fault == Some(Fault::Empty) {
            self.fault = None;
        }
    }

    /// The message is an object. What is none, the engine refuses.
    pub fn object(&mut self) {
        self.without_role = true;
    }

    /// A role of the message; None: it is not a text.
    pub fn role(&mut self, role: Option<&[u8]>) {
        self.without_role = false;
        if !role.is_some_and(|role| self.roles.iter().any(|known| **known == *role)) {
            self.fault = Some(Fault::Role);
        }
    }

    /// Why the messages cannot be answered, after the end of the body.
    pub fn fault(&mut self) -> Option<Fault> {
        self.end_message();
        self.fault
    }

    fn end_message(&mut self) {
        if std::mem::take(&mut self.without_role) {
            self.fault = Some(Fault::Role);
        }
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
