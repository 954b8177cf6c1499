//! Names and passwords that SASL knows.

use crate::properties;
use std::collections::BTreeMap;
use std::fmt;

/// Users with their passwords. Passwords are in clear, since DIGEST-MD5 mixes them with a realm
/// that the client hears first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users {
    passwords: BTreeMap<String, String>,
}

impl Users {
    /// Reads a file with a `NAME=PASSWORD` on each line, in the syntax of zoo.cfg. Any bytes are
    /// valid, since that syntax has no errors.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut users = Self::default();
        for property in properties::parse(bytes) {
            users.insert(property.key, property.value);
        }
        users
    }

    /// Adds a user; a later password of the same name holds.
    pub fn insert(&mut self, name: impl Into<String>, password: impl Into<String>) {
        self.passwords.insert(name.into(), password.into());
    }

    /// Adds all of `others`; their passwords hold.
    pub fn extend(&mut self, others: Users) {
        self.passwords.extend(others.passwords);
    }

    /// The user's password.
    #[must_use]
    pub fn password(&self, name: &str) -> Option<&str> {
        self.passwords.get(name).map(String::as_str)
    }

    /// Whether nobody is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.passwords.is_empty()
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.passwords.len()
    }
}

impl fmt::Debug for Users {
    /// Names alone: a configuration is logged and printed in tests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.passwords.keys()).finish()
    }
}

/// A name and the password that proves it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.name).finish()
    }
}
