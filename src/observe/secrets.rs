//! Passwords, from the Secrets that the spec names.

use super::{ObserveError, read_error};
use crate::objects::{Kind, Password};
use crate::plan::observed::{Secrets, Superuser, UserPassword};
use crate::valid::{ValidCluster, ValidUser};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use std::collections::{BTreeMap, BTreeSet};

/// The superuser's password and the users', from the Secrets whose names are known: the operator may
/// read those, and list none.
pub async fn read_secrets(
    client: &Client,
    cluster: &ValidCluster,
) -> Result<Secrets, ObserveError> {
    let drawn = Kind::SuperuserSecret.name(&cluster.name);
    let superuser = cluster.superuser_secret.as_ref().unwrap_or(&drawn);
    let names: BTreeSet<&String> = cluster
        .users
        .iter()
        .map(|user| &user.secret)
        .chain([superuser])
        .collect();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &cluster.namespace);
    let read = try_join_all(names.into_iter().map(|name| {
        let secret = secrets.get_opt(name);
        async move {
            let secret = secret.await.map_err(read_error(format!(
                "the Secret {}/{name}",
                cluster.namespace
            )))?;
            Ok::<_, ObserveError>((name.as_str(), secret))
        }
    }))
    .await?;
    let found: BTreeMap<&str, Secret> = read
        .into_iter()
        .filter_map(|(name, secret)| Some((name, secret?)))
        .collect();
    let value = |secret: &str, key: &str| Some(&found.get(secret)?.data.as_ref()?.get(key)?.0);
    let password = value(superuser, "password")
        .and_then(|bytes| String::from_utf8(bytes.clone()).ok())
        .filter(|password| !password.is_empty());
    let drawn = cluster.superuser_secret.is_none();
    Ok(Secrets {
        superuser: match password {
            Some(password) => Superuser::Known(Password(password)),
            None if drawn && !found.contains_key(superuser.as_str()) => Superuser::NotDrawn,
            None => Superuser::Missing(superuser.clone()),
        },
        users: cluster
            .users
            .iter()
            .map(|ValidUser { name, secret, key }| {
                let password = value(secret, key).map_or(UserPassword::Missing, |b| usable(b));
                (name.clone(), password)
            })
            .collect(),
    })
}

/// The longest password that is taken; the file of all users has to stay small.
const PASSWORD_BYTES_MAX: usize = 1024;

/// A password is one line that a file of properties gives back as it was: said here, it is not found
/// out by a login that fails.
fn usable(bytes: &[u8]) -> UserPassword {
    let unusable = |why| UserPassword::Unusable(why);
    match std::str::from_utf8(bytes) {
        Err(_) => unusable("it is no UTF-8"),
        Ok("") => unusable("it is empty"),
        Ok(text) if text.len() > PASSWORD_BYTES_MAX => unusable("it is longer than 1024 bytes"),
        Ok(text) if text.chars().any(char::is_control) => unusable(
            "it has a line's end or another control character, as `echo` without -n makes it",
        ),
        Ok(text) if text.trim() != text => unusable("it begins or ends with a blank"),
        Ok(text) => UserPassword::Known(Password(text.to_owned())),
    }
}
