//! What clients may do here, from zoo.cfg.

use super::ConnectionThrottleSettings;
use crate::auth::Users;
use crate::auth::password_hash::PasswordHash;
use crate::ids::ServerId;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tracing::warn;

/// The longest file with a superuser's digest that is read.
const DIGEST_BYTES_MAX: u64 = 1024;
/// The longest file of users that is read, as for any file that a configuration leads to.
const USERS_BYTES_MAX: u64 = 1 << 20;

/// How the service treats clients. Every bound on what a client can cost stands here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This member's number, the top byte of the sessions it makes.
    pub server_id: ServerId,
    /// tickTime, in milliseconds.
    pub tick_time_ms: i32,
    /// minSessionTimeout, in milliseconds; 2 ticks by default.
    pub min_session_timeout_ms: i32,
    /// maxSessionTimeout, in milliseconds; 20 ticks by default.
    pub max_session_timeout_ms: i32,
    /// maxClientCnxns: connections of one address, 0 for any number.
    pub max_client_cnxns: u32,
    /// maxCnxns: connections in all, 0 for any number.
    pub max_cnxns: u32,
    /// globalOutstandingLimit: past it, a connection with a request under way is not read from.
    pub global_outstanding_limit: u32,
    /// Requests under way on one connection before it is no longer read from. Java has no such
    /// bound; this one is far above what its clients reach.
    pub connection_outstanding_limit: usize,
    /// Bytes of requests under way on one connection before it is no longer read from; one request
    /// is always granted. Java has no such bound.
    pub connection_outstanding_bytes: usize,
    /// request_throttle_max_requests: past as many changes under way on all connections, none is
    /// taken in until another is done; 0 for any number.
    pub throttle_requests_max: u32,
    /// throttled_op_wait_time, in milliseconds: a request that has waited there for longer is
    /// refused; 0 where none is.
    pub throttled_op_wait_ms: u32,
    /// How many sessions may be opened in a time.
    pub connection_throttle: ConnectionThrottleSettings,
    /// largeRequestThreshold: a longer request is large, `None` where none is.
    pub large_request_from_bytes: Option<i64>,
    /// largeRequestMaxBytes: of all large requests under way. Past it, who sends one is
    /// disconnected.
    pub large_request_bytes_max: i64,
    /// jute.maxbuffer: bytes of the longest request.
    pub jute_max_buffer: usize,
    /// Bytes of replies and events that may wait for a client before it is disconnected.
    pub output_bytes_max: usize,
    /// How long a new connection has until its session stands, in milliseconds.
    pub handshake_ms: u64,
    /// How clients prove who they are.
    pub auth: AuthSettings,
    /// skipACL.
    pub skip_acl: bool,
    /// clientPortListenBacklog, -1 for the default.
    pub listen_backlog: i32,
    /// clientTcpKeepAlive: the system finds out about clients whose machine is gone.
    pub tcp_keep_alive: bool,
    /// 4lw.commands.whitelist.
    pub four_letter_words: Whitelist,
    /// What `conf` prints, line by line: `key=value` as Java names them.
    pub configuration: Vec<(String, String)>,
    /// zoo.cfg as it was at the start, secrets blotted out.
    pub initial_configuration: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            server_id: ServerId(0),
            tick_time_ms: 3000,
            min_session_timeout_ms: 6000,
            max_session_timeout_ms: 60_000,
            max_client_cnxns: 60,
            max_cnxns: 0,
            global_outstanding_limit: 1000,
            connection_outstanding_limit: 4096,
            connection_outstanding_bytes: 16 << 20,
            throttle_requests_max: 0,
            throttled_op_wait_ms: 0,
            connection_throttle: ConnectionThrottleSettings::default(),
            large_request_from_bytes: None,
            large_request_bytes_max: 100 << 20,
            jute_max_buffer: 0xf_ffff,
            output_bytes_max: 64 << 20,
            handshake_ms: 10_000,
            auth: AuthSettings::default(),
            skip_acl: false,
            listen_backlog: -1,
            tcp_keep_alive: false,
            four_letter_words: Whitelist::default(),
            configuration: Vec::new(),
            initial_configuration: String::new(),
        }
    }
}

/// How clients prove who they are, and what comes of it.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// DigestAuthenticationProvider.superDigest: `super:` and the hash.
    pub super_digest: Option<String>,
    /// DigestAuthenticationProvider.superDigestFile: where it stands instead.
    pub super_digest_file: Option<PathBuf>,
    /// DigestAuthenticationProvider.enabled.
    pub digest_enabled: bool,
    /// DigestAuthenticationProvider.digestAlg.
    pub digest_algorithm: PasswordHash,
    /// Those who may log in by SASL. Where there is no file either, tokens get no answer.
    pub sasl_users: Option<Users>,
    /// sasl.usersFile: more of them.
    pub sasl_users_file: Option<PathBuf>,
    /// Those of them who may do everything.
    pub sasl_super_users: Vec<String>,
    /// The subject of a certificate whose owner may do everything.
    pub x509_super_user: Option<String>,
    /// Schemes of which a client has to prove one to be served; `None` where none is asked.
    pub enforced_schemes: Option<Vec<String>>,
    /// allowSaslFailedClients: a client goes on without an identity after it failed to log in.
    pub allow_sasl_failed_clients: bool,
    /// Whether the scheme `ensemble` is there.
    pub ensemble_enabled: bool,
    /// The names it lets clients say; `None` for any.
    pub ensemble_names: Option<Vec<String>>,
}

impl AuthSettings {
    /// The superuser's digest as it stands now. Who proves a password is rare, and the file is one
    /// short line in memory where it is a mounted secret, so it is read at every use.
    #[must_use]
    pub fn current_super_digest(&self) -> Option<Cow<'_, str>> {
        let Some(path) = &self.super_digest_file else {
            return self.super_digest.as_deref().map(Cow::Borrowed);
        };
        let mut text = String::new();
        let file = File::open(path).ok()?;
        file.take(DIGEST_BYTES_MAX).read_to_string(&mut text).ok()?;
        Some(Cow::Owned(text.trim().to_owned()))
    }

    /// Who may log in by SASL as of now; `None` where nobody ever may. The file is read at every
    /// use, for the same reasons as the superuser's digest; one that is not there adds nobody.
    #[must_use]
    pub fn current_sasl_users(&self) -> Option<Cow<'_, Users>> {
        let Some(path) = &self.sasl_users_file else {
            return self.sasl_users.as_ref().map(Cow::Borrowed);
        };
        let mut users = self.sasl_users.clone().unwrap_or_default();
        match read_users(path) {
            Ok(bytes) => users.extend(Users::parse(&bytes)),
            Err(error) => warn!(path = %path.display(), %error, "sasl.usersFile can't be read"),
        }
        Some(Cow::Owned(users))
    }
}

fn read_users(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(USERS_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > USERS_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

impl Default for AuthSettings {
    fn default() -> Self {
        AuthSettings {
            super_digest: None,
            super_digest_file: None,
            digest_enabled: true,
            digest_algorithm: PasswordHash::default(),
            sasl_users: None,
            sasl_users_file: None,
            sasl_super_users: Vec::new(),
            x509_super_user: None,
            enforced_schemes: None,
            allow_sasl_failed_clients: false,
            ensemble_enabled: false,
            ensemble_names: None,
        }
    }
}

/// The four-letter words that are answered. Source: `FourLetterCommands.java` isEnabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whitelist {
    all: bool,
    words: Vec<String>,
}

impl Whitelist {
    /// From the configuration's list: words between commas, `*` for all.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let words: Vec<String> = list
            .split(',')
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect();
        Whitelist {
            all: words.iter().any(|word| word == "*"),
            words,
        }
    }

    /// Whether the word is answered. `srvr` always is: scripts and clients depend on it.
    #[must_use]
    pub fn allows(&self, word: &str) -> bool {
        self.all || word == "srvr" || self.words.iter().any(|allowed| allowed == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_superusers_digest_is_read_anew_and_a_missing_file_makes_nobody_the_superuser() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("superDigest");
        let settings = AuthSettings {
            super_digest_file: Some(file.clone()),
            ..AuthSettings::default()
        };
        assert_eq!(settings.current_super_digest(), None);
        for digest in ["super:a", "super:b"] {
            std::fs::write(&file, format!("{digest}\n")).unwrap();
            assert_eq!(settings.current_super_digest().as_deref(), Some(digest));
        }
    }

    #[test]
    fn the_users_file_is_read_anew_and_one_that_is_missing_or_endless_adds_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        let mut carol = Users::default();
        carol.insert("carol", "c");
        let settings = AuthSettings {
            sasl_users: Some(carol),
            sasl_users_file: Some(file.clone()),
            ..AuthSettings::default()
        };
        let count = || settings.current_sasl_users().unwrap().len();
        assert_eq!(count(), 1);
        std::fs::write(&file, "alice=one\nbob=two\ncarol=three\n").unwrap();
        let users = settings.current_sasl_users().unwrap();
        assert_eq!(users.len(), 3);
        assert_eq!(users.password("carol"), Some("three"));
        std::fs::write(&file, vec![b'\n'; (USERS_BYTES_MAX + 1) as usize]).unwrap();
        assert_eq!(count(), 1);
        assert!(AuthSettings::default().current_sasl_users().is_none());
    }
}
