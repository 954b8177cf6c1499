//! From zoo.cfg's values to those of each room.

use super::membership;
use crate::admin::AdminSettings;
use crate::config::ServerConfig;
use crate::ids::{ServerId, Zxid};
use crate::service::{AuthSettings, Settings as ServiceSettings};
use crate::tree::acl::Schemes;
use crate::txn::PrepareSettings;
use crate::zab::Settings as ZabSettings;
use std::time::Duration;

/// What the consensus is told.
pub(super) fn for_zab(config: &ServerConfig, me: ServerId) -> ZabSettings {
    ZabSettings {
        me,
        config: membership::for_zab(&config.ensemble),
        config_seen: config.ensemble_next.as_ref().map(membership::for_zab),
        reconfig_enabled: config.reconfig_enabled,
        codec: membership::CODEC,
        tick_ms: u64::try_from(config.tick_time_ms).unwrap_or(1).max(1),
        init_limit: u64::try_from(config.quorum.init_limit_ticks).unwrap_or(1),
        sync_limit: u64::try_from(config.quorum.sync_limit_ticks).unwrap_or(1),
        recent_max: config.storage.commit_log_count,
        counter_max: Zxid::COUNTER_MAX,
    }
}

/// What preparing transactions is told.
pub(super) fn for_preparer(config: &ServerConfig) -> PrepareSettings {
    PrepareSettings {
        skip_acl: config.auth.skip_acl,
        enforce_quota: config.client.enforce_quota,
        extended_types: config.container.extended_types_enabled,
        digest: config.storage.digest_enabled,
        reconfig_enabled: config.reconfig_enabled,
        schemes: Schemes {
            sasl: config.auth.sasl_enabled,
            x509: config.auth.x509_enabled,
            digest: config.auth.digest_enabled,
        },
    }
}

/// How clients prove who they are.
fn for_auth(config: &ServerConfig) -> AuthSettings {
    let auth = &config.auth;
    AuthSettings {
        super_digest: auth.super_digest.clone(),
        super_digest_file: auth.super_digest_file.clone(),
        digest_enabled: auth.digest_enabled,
        digest_algorithm: auth.digest_algorithm,
        sasl_users: auth.sasl_users.clone(),
        sasl_users_file: auth.sasl_users_file.clone(),
        sasl_super_users: auth.sasl_super_users.clone(),
        x509_super_user: auth.x509_super_user.clone(),
        enforced_schemes: auth.enforced_schemes.clone(),
        allow_sasl_failed_clients: auth.allow_sasl_failed_clients,
        ensemble_enabled: auth.ensemble_enabled,
        ensemble_names: auth.ensemble_names.clone(),
    }
}

/// What the clients' side is told.
pub(super) fn for_service(config: &ServerConfig, me: ServerId) -> ServiceSettings {
    let client = &config.client;
    ServiceSettings {
        server_id: me,
        tick_time_ms: config.tick_time_ms,
        min_session_timeout_ms: client.min_session_timeout_ms,
        max_session_timeout_ms: client.max_session_timeout_ms,
        max_client_cnxns: client.max_client_cnxns,
        max_cnxns: client.max_cnxns,
        global_outstanding_limit: client.global_outstanding_limit,
        throttle_requests_max: client.request_throttle_max_requests,
        throttled_op_wait_ms: client.throttled_op_wait_ms.unsigned_abs(),
        connection_throttle: client.connection_throttle.clone(),
        large_request_from_bytes: Some(client.large_request_threshold_bytes)
            .filter(|from| *from >= 0),
        large_request_bytes_max: client.large_request_bytes_max,
        tcp_keep_alive: client.tcp_keep_alive,
        jute_max_buffer: client.jute_buffer_bytes_max,
        auth: for_auth(config),
        skip_acl: config.auth.skip_acl,
        listen_backlog: client.listen_backlog,
        four_letter_words: crate::service::Whitelist::parse(&client.four_letter_words.join(",")),
        configuration: configuration_lines(config, me),
        initial_configuration: initial_configuration(config),
        ..ServiceSettings::default()
    }
}

/// What the AdminServer is told.
pub(super) fn for_admin(config: &ServerConfig) -> AdminSettings {
    let admin = &config.admin;
    AdminSettings {
        command_url: admin.command_url.clone(),
        rate_limit: Duration::from_millis(admin.rate_limiter_interval_ms.into()),
        snapshot: admin.snapshot_enabled,
        restore: admin.restore_enabled,
        says_position: config.storage.serialize_last_processed_zxid,
        ..AdminSettings::default()
    }
}

/// The file as it is. Java shows all of it; passwords are nobody's business.
fn initial_configuration(config: &ServerConfig) -> String {
    let text = config.file.as_ref().map(std::fs::read_to_string);
    let text = text.and_then(Result::ok).unwrap_or_default();
    let blot = |line: &str| match line.split_once('=') {
        Some((key, _)) if is_secret(key) => format!("{key}=***\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(blot).collect()
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "passwd", "superdigest", "secret"]
        .iter()
        .any(|word| key.contains(word))
}

/// What `conf` prints. Source: `ZooKeeperServer.java` dumpConf.
fn configuration_lines(config: &ServerConfig, me: ServerId) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut line = |key: &str, value: String| lines.push((key.to_owned(), value));
    let port = config
        .client
        .address
        .as_ref()
        .map_or(-1, |address| i32::from(address.port));
    line("clientPort", port.to_string());
    // Source: the same, -1 where there is none.
    let secure = config.client.secure_address.as_ref();
    let secure = secure.map_or(-1, |address| i32::from(address.port));
    line("secureClientPort", secure.to_string());
    line(
        "dataDir",
        config.data_dir.join("version-2").display().to_string(),
    );
    line(
        "dataLogDir",
        config.data_log_dir.join("version-2").display().to_string(),
    );
    line("tickTime", config.tick_time_ms.to_string());
    line("maxClientCnxns", config.client.max_client_cnxns.to_string());
    line(
        "minSessionTimeout",
        config.client.min_session_timeout_ms.to_string(),
    );
    line(
        "maxSessionTimeout",
        config.client.max_session_timeout_ms.to_string(),
    );
    line(
        "clientPortListenBacklog",
        config.client.listen_backlog.to_string(),
    );
    line("serverId", me.to_string());
    if config.is_distributed() {
        line("initLimit", config.quorum.init_limit_ticks.to_string());
        line("syncLimit", config.quorum.sync_limit_ticks.to_string());
        line("electionAlg", "3".into());
        if let Some(own) = config.ensemble.members.get(&me) {
            line("electionPort", own.address().election_port.to_string());
            line("quorumPort", own.address().quorum_port.to_string());
        }
        let observer = config.role() == crate::config::Role::Observer;
        line("peerType", i32::from(observer).to_string());
        line("membership: ", String::new());
        for member in config.ensemble.to_string().lines() {
            if let Some((key, value)) = member.split_once('=') {
                line(key, value.to_owned());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initial_configuration_is_shown_without_its_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("zoo.cfg");
        let text = "dataDir=/data\nclientPort=2181\nssl.keyStore.password=hush\n\
                    DigestAuthenticationProvider.superDigest=super:x=\n";
        std::fs::write(&file, text).unwrap();
        let mut config = ServerConfig::without_file(&[]).unwrap();
        config.file = Some(file);
        assert_eq!(
            initial_configuration(&config),
            "dataDir=/data\nclientPort=2181\nssl.keyStore.password=***\n\
             DigestAuthenticationProvider.superDigest=***\n"
        );
    }
}
