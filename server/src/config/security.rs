//! Who may do what: the keys of the authentication schemes, and the files they lead to.

use super::error::ConfigError;
use super::settings::{AuthConfig, TlsConfig};
use super::source::{Setting, Settings, read_file};
use super::tls::{self, ClientAuth, Side};
use crate::auth::jaas::{self, Section};
use crate::auth::password_hash::PasswordHash;
use crate::auth::{Users, x509};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, ConfigError>;

/// Java's classes of providers that have to be named to be there.
const SASL_PROVIDER: &str = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider";
const ENSEMBLE_PROVIDER: &str = "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider";
const X509_PROVIDER: &str = "org.apache.zookeeper.server.auth.X509AuthenticationProvider";
/// Those that are there anyway.
const OTHER_PROVIDERS: [&str; 2] = [
    "org.apache.zookeeper.server.auth.DigestAuthenticationProvider",
    "org.apache.zookeeper.server.auth.IPAuthenticationProvider",
];

/// Asks for all keys of authentication. `secure` says whether there is a port with TLS.
pub(super) fn auth(s: &mut Settings, secure: bool) -> Result<AuthConfig> {
    let mut providers = BTreeMap::new();
    for (name, setting) in s.starting_with("authProvider.") {
        let known = [SASL_PROVIDER, ENSEMBLE_PROVIDER, X509_PROVIDER];
        let value = setting.value.as_str();
        if !known.contains(&value) && !OTHER_PROVIDERS.contains(&value) {
            s.warnings.push(format!(
                "{}: {}: `{value}` is a Java class that is not there; its scheme proves nobody",
                setting.place, setting.key
            ));
        }
        providers.insert(name, setting.value);
    }
    let named = |class: &str| providers.values().any(|provider| provider == class);
    let jaas = Jaas::read(s)?;
    let own_users = own_users(s);
    let sasl_users_file = users_file(s)?;
    let mut sasl_users = clients_of(s, jaas.as_ref())?;
    let sasl_enabled = named(SASL_PROVIDER) || own_users.is_some() || sasl_users_file.is_some();
    if let Some(own) = own_users {
        sasl_users.get_or_insert_default().extend(own);
    }
    // Source: `SaslServerCallbackHandler.java` handlePasswordCallback.
    if let Some(password) = s.text("SASLAuthenticationProvider.superPassword")
        && let Some(users) = &mut sasl_users
        && users.password("super").is_some()
    {
        users.insert("super", password);
    }
    let digest_algorithm = match s.take("DigestAuthenticationProvider.digestAlg") {
        None => PasswordHash::default(),
        Some(name) => PasswordHash::named(&name.value).ok_or_else(|| {
            name.wrong(format!(
                "`{}` must be MD5, SHA1, SHA-224, SHA-256, SHA-384 or SHA-512",
                name.value
            ))
        })?,
    };
    let x509_super_user = s.take("X509AuthenticationProvider.superUser");
    if let Some(name) = x509_super_user
        .as_ref()
        .filter(|name| !x509::is_name(&name.value))
    {
        s.warnings.push(format!(
            "{}: {}: `{}` is no name that a certificate could have",
            name.place, name.key, name.value
        ));
    }
    let mut config = AuthConfig {
        skip_acl: s.yes_no("skipACL", false)?,
        super_digest: s.text("DigestAuthenticationProvider.superDigest"),
        super_digest_file: s
            .text("DigestAuthenticationProvider.superDigestFile")
            .map(std::path::PathBuf::from),
        digest_enabled: s.flag("DigestAuthenticationProvider.enabled", true)?,
        digest_algorithm,
        x509_enabled: secure || named(X509_PROVIDER),
        x509_super_user: x509_super_user.map(|name| name.value),
        sasl_enabled,
        sasl_users,
        sasl_users_file,
        sasl_super_users: super_users(s),
        enforced_schemes: None,
        allow_sasl_failed_clients: s.flag("allowSaslFailedClients", false)?,
        eager_acl_check: s.flag("enableEagerACLCheck", false)?,
        ensemble_enabled: named(ENSEMBLE_PROVIDER),
        ensemble_names: s.take("ensembleAuthName").map(|names| list(&names.value)),
        quorum_server_users: None,
        quorum_learner_login: None,
        providers,
        audit_enabled: s.flag("audit.enable", false)?,
    };
    let _ = s.take("IPAuthenticationProvider.usexforwardedfor");
    config.enforced_schemes = enforced(s, &config)?;
    quorum(s, jaas.as_ref(), &mut config)?;
    Ok(config)
}

fn list(text: &str) -> Vec<String> {
    let words = text.split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `superUser` and `superUser.ANYTHING`. Source: `ZooKeeperServer.java` isSaslSuperUser.
fn super_users(s: &mut Settings) -> Vec<String> {
    let mut users: Vec<String> = s.text("superUser").into_iter().collect();
    for (_, setting) in s.starting_with("superUser.") {
        if !setting.value.is_empty() {
            users.push(setting.value);
        }
    }
    users
}

/// The schemes of which a client has to prove one before it is served.
/// Source: `AuthenticationHelper.java`.
fn enforced(s: &mut Settings, config: &AuthConfig) -> Result<Option<Vec<String>>> {
    let schemes = s.take("enforce.auth.schemes");
    let enabled = s.flag("enforce.auth.enabled", false)?;
    let sasl = s.flag("sessionRequireClientSASLAuth", false)?;
    let (key, schemes) = if sasl {
        ("sessionRequireClientSASLAuth", vec!["sasl".to_owned()])
    } else if enabled {
        let schemes = schemes.map(|schemes| list(&schemes.value));
        ("enforce.auth.schemes", schemes.unwrap_or_default())
    } else {
        return Ok(None);
    };
    if schemes.is_empty() {
        return Err(s.missing(
            key,
            "must name a scheme, since enforce.auth.enabled is true",
        ));
    }
    for scheme in &schemes {
        let there = match scheme.as_str() {
            "digest" => config.digest_enabled,
            "sasl" => config.sasl_enabled,
            "x509" => config.x509_enabled,
            "ip" => true,
            // Ours alone: whoever is the superuser needs no other name. Java takes what a provider
            // proves, and this is proven by another one's.
            "super" => config.super_digest.is_some() || config.super_digest_file.is_some(),
            "ensemble" => config.ensemble_enabled,
            _ => false,
        };
        if !there {
            return Err(s.missing(
                key,
                format!("the scheme {scheme} is not there; authProvider.N or a secureClientPort brings it"),
            ));
        }
    }
    Ok(Some(schemes))
}

/// A JAAS file and where it was named.
struct Jaas {
    sections: Vec<Section>,
    file: Setting,
}

impl Jaas {
    /// `java.security.auth.login.config`.
    fn read(s: &mut Settings) -> Result<Option<Self>> {
        let Some(file) = s.take("java.security.auth.login.config") else {
            return Ok(None);
        };
        let path = file.value.strip_prefix("file:").unwrap_or(&file.value);
        let bytes = read_file(Path::new(path))?;
        let sections =
            jaas::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| ConfigError::Whole {
                place: format!("{path}:{}", error.line),
                problem: error.problem,
            })?;
        Ok(Some(Jaas { sections, file }))
    }

    fn section(&self, name: &str) -> Result<Option<&Section>> {
        let section = self.sections.iter().find(|section| section.name == name);
        if section.is_some_and(Section::wants_kerberos) {
            return Err(self.file.wrong(format!(
                "section {name} asks for Kerberos, which is not there; DigestLoginModule is"
            )));
        }
        Ok(section)
    }
}

/// The users in the section of clients, `Server` unless `sasl.serverconfig` names another.
/// Source: `ServerCnxnFactory.java` configureSaslLogin.
fn clients_of(s: &mut Settings, jaas: Option<&Jaas>) -> Result<Option<Users>> {
    let name = s
        .text("sasl.serverconfig")
        .unwrap_or_else(|| "Server".to_owned());
    let section = jaas.map(|jaas| jaas.section(&name)).transpose()?.flatten();
    Ok(section.map(Section::users))
}

/// The way without Java's files: `sasl.user.NAME=PASSWORD`.
fn own_users(s: &mut Settings) -> Option<Users> {
    let mut users = Users::default();
    for (name, setting) in s.starting_with("sasl.user.") {
        users.insert(name, setting.value);
    }
    (!users.is_empty()).then_some(users)
}

/// `sasl.usersFile`, with a `NAME=PASSWORD` on each line. It is read at every login, and a mounted
/// secret may come a moment after the server: one that is not there yet is warned about, and one
/// that could never be read is refused.
fn users_file(s: &mut Settings) -> Result<Option<PathBuf>> {
    let Some(setting) = s.take("sasl.usersFile") else {
        return Ok(None);
    };
    let path = PathBuf::from(&setting.value);
    let problem = match read_file(&path) {
        Ok(bytes) if Users::parse(&bytes).is_empty() => Some("has no NAME=PASSWORD".to_owned()),
        Ok(_) => None,
        Err(ConfigError::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Some("is not there".to_owned())
        }
        Err(error) => return Err(error),
    };
    if let Some(problem) = problem {
        let Setting { place, key, value } = &setting;
        s.warnings.push(format!(
            "{place}: {key}: {value} {problem}: nobody in it can log in until it does"
        ));
    }
    Ok(Some(path))
}

/// Who members are to each other. Source: `SaslQuorumAuthServer.java`, `SaslQuorumAuthLearner.java`.
fn quorum(s: &mut Settings, jaas: Option<&Jaas>, config: &mut AuthConfig) -> Result<()> {
    let context =
        |s: &mut Settings, key: &str, name: &str| s.text(key).unwrap_or_else(|| name.to_owned());
    let server = context(s, "quorum.auth.server.saslLoginContext", "QuorumServer");
    let learner = context(s, "quorum.auth.learner.saslLoginContext", "QuorumLearner");
    let Some(jaas) = jaas else {
        return Ok(());
    };
    config.quorum_server_users = jaas.section(&server)?.map(Section::users);
    config.quorum_learner_login = jaas.section(&learner)?.and_then(Section::login);
    Ok(())
}

pub(super) fn tls(s: &mut Settings, secure_port: bool) -> Result<TlsConfig> {
    let tls = TlsConfig {
        quorum_enabled: s.flag("sslQuorum", false)?,
        quorum_port_unification: s.flag("portUnification", false)?,
        quorum_reload: s.flag("sslQuorumReloadCertFiles", false)?,
        client_port_unification: s.flag("client.portUnification", false)?,
        client_reload: s.flag("client.certReload", false)?,
        client: tls::side(s, Side::Clients)?,
        quorum: tls::side(s, Side::Quorum)?,
    };
    // Left out without a word, it would have members talk in plain who were told not to.
    if tls.quorum_enabled {
        return Err(s.missing(
            "sslQuorum",
            "asks for TLS between members, which is not there yet",
        ));
    }
    for (wanted, key, name) in [
        (tls.client_reload, "client.certReload", "clients"),
        (tls.quorum_reload, "sslQuorumReloadCertFiles", "members"),
    ] {
        if wanted {
            let file = s.file().display().to_string();
            s.warnings.push(format!(
                "{file}: {key}: certificates for {name} are read at the start alone; restart this server to have new ones"
            ));
        }
    }
    for (wanted, key, side, prefix) in [
        (secure_port, "secureClientPort", &tls.client, "ssl."),
        (
            tls.client_port_unification,
            "client.portUnification",
            &tls.client,
            "ssl.",
        ),
    ] {
        if !wanted {
            continue;
        }
        if side.key_store.is_none() {
            return Err(s.missing(
                key,
                format!("needs {prefix}keyStore.location, the server's own key"),
            ));
        }
        if side.trust_store.is_none() && side.client_auth == ClientAuth::Need {
            return Err(s.missing(
                key,
                format!(
                    "needs {prefix}trustStore.location, by which the other side's certificate is trusted, or {prefix}clientAuth=none"
                ),
            ));
        }
    }
    Ok(tls)
}
