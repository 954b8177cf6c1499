//! Secrets that the spec names and that lack what they are named for.

use super::observed::{Observed, Superuser, UserPassword};
use crate::valid::ValidCluster;
use std::fmt;

/// A password that is not to be had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lacking {
    /// The Secret's name.
    pub secret: String,
    /// The key.
    pub key: String,
    /// Whose password it is; None: the superuser's.
    pub user: Option<String>,
    /// Why what stands there can be no password; None: nothing stands there.
    pub unusable: Option<&'static str>,
}

impl fmt::Display for Lacking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret, key, .. } = self;
        write!(formatter, "the Secret {secret} with a key `{key}`")?;
        match &self.user {
            Some(user) => write!(formatter, " for the user {user}"),
            None => formatter.write_str(" for the superuser"),
        }
    }
}

/// All that lack something: the superuser's first.
pub fn lacking(cluster: &ValidCluster, observed: &Observed) -> Vec<Lacking> {
    let mut all = Vec::new();
    if let Superuser::Missing(secret) = &observed.secrets.superuser {
        all.push(Lacking {
            secret: secret.clone(),
            key: "password".to_owned(),
            user: None,
            unusable: None,
        });
    }
    for user in &cluster.users {
        let unusable = match observed.secrets.users.get(&user.name) {
            Some(UserPassword::Known(_)) => continue,
            Some(UserPassword::Unusable(why)) => Some(*why),
            Some(UserPassword::Missing) | None => None,
        };
        all.push(Lacking {
            secret: user.secret.clone(),
            key: user.key.clone(),
            user: Some(user.name.clone()),
            unusable,
        });
    }
    all
}
