//! The sections of a configuration, each from its keys with ranges and defaults.

use super::error::ConfigError;
use super::settings::{
    AdminConfig, ClientConfig, Compression, ContainerConfig, MetricsConfig, PurgeConfig,
    QuorumConfig, StorageConfig,
};
use super::source::Settings;
use crate::ensemble::{HostPort, Role};
use crate::service::{ConnectionThrottleSettings, SessionWeights};
use std::path::PathBuf;

type Result<T> = std::result::Result<T, ConfigError>;

/// The largest count that makes sense anywhere; keeps arithmetic on limits from overflowing.
const COUNT_MAX: u32 = i32::MAX as u32;

pub(super) fn client(s: &mut Settings, tick_time_ms: i32) -> Result<ClientConfig> {
    let address = listen(s, "clientPort", "clientPortAddress")?;
    let secure_address = listen(s, "secureClientPort", "secureClientPortAddress")?;
    let min = s.number("minSessionTimeout", (-1, i32::MAX))?;
    let max = s.number("maxSessionTimeout", (-1, i32::MAX))?;
    let min = min.filter(|ms| *ms != -1).unwrap_or(tick_time_ms * 2);
    let max = max.filter(|ms| *ms != -1).unwrap_or(tick_time_ms * 20);
    if min > max {
        return Err(s.missing(
            "minSessionTimeout",
            format!("{min} ms must not be more than maxSessionTimeout, {max} ms"),
        ));
    }
    Ok(ClientConfig {
        address,
        secure_address,
        listen_backlog: s.number_or("clientPortListenBacklog", (-1, 65_535), -1)?,
        max_client_cnxns: s.number_or("maxClientCnxns", (0, COUNT_MAX), 60)?,
        max_cnxns: s.number_or("maxCnxns", (0, COUNT_MAX), 0)?,
        min_session_timeout_ms: min,
        max_session_timeout_ms: max,
        local_sessions_enabled: s.flag("localSessionsEnabled", false)?,
        local_sessions_upgrading_enabled: s.flag("localSessionsUpgradingEnabled", false)?,
        read_only_mode: s.flag("readonlymode.enabled", false)?,
        global_outstanding_limit: s.number_or("globalOutstandingLimit", (1, COUNT_MAX), 1000)?,
        jute_buffer_bytes_max: s.number_or("jute.maxbuffer", (1024, 1 << 30), 0xf_ffff)?,
        four_letter_words: s
            .take("4lw.commands.whitelist")
            .map_or_else(|| vec!["srvr".to_owned()], |words| list(&words.value)),
        request_throttle_max_requests: s.number_or(
            "request_throttle_max_requests",
            (0, COUNT_MAX),
            0,
        )?,
        throttled_op_wait_ms: s
            .number_or("throttled_op_wait_time", (-1, i32::MAX), 0)?
            .max(0),
        connection_throttle: connection_throttle(s)?,
        large_request_bytes_max: s.number_or(
            "largeRequestMaxBytes",
            (1, i64::MAX),
            100 * 1024 * 1024,
        )?,
        large_request_threshold_bytes: s.number_or("largeRequestThreshold", (-1, i64::MAX), -1)?,
        enforce_quota: s.flag("enforceQuota", false)?,
        tcp_keep_alive: s.flag("clientTcpKeepAlive", false)?,
    })
}

/// Source: `BlueThrottle.java`: with weights, tokens are meant for sessions that all members know.
fn connection_throttle(s: &mut Settings) -> Result<ConnectionThrottleSettings> {
    let weights = |s: &mut Settings| -> Result<SessionWeights> {
        let range = (i32::MIN, i32::MAX);
        let weights = SessionWeights {
            global: s.number_or("connection_throttle_global_session_weight", range, 3)?,
            local: s.number_or("connection_throttle_local_session_weight", range, 1)?,
            renewed: s.number_or("connection_throttle_renew_session_weight", range, 2)?,
        };
        let corrected = weights.corrected();
        if corrected != weights {
            s.warnings.push(format!(
                "connection_throttle_*_session_weight: global {}, local {}, renew {} are used",
                corrected.global, corrected.local, corrected.renewed
            ));
        }
        Ok(corrected)
    };
    let weights = weights(s)?;
    let weighted = s.flag("connection_throttle_weight_enabled", false)?;
    let scale = if weighted { weights.global } else { 1 };
    let counts = (0, i32::MAX);
    let freeze = s.number_or("connection_throttle_freeze_time", (-1, i32::MAX), -1)?;
    let local = s.flag("localSessionsEnabled", false)?;
    let weight = |weight| if weighted { weight } else { 1 };
    Ok(ConnectionThrottleSettings {
        tokens_max: s
            .number_or("connection_throttle_tokens", counts, 0)?
            .saturating_mul(scale),
        fill_time_ms: s.number_or("connection_throttle_fill_time", (1, i32::MAX), 1)?,
        fill_count: s
            .number_or("connection_throttle_fill_count", counts, 1)?
            .saturating_mul(scale),
        freeze_time_ms: Some(freeze).filter(|ms| *ms != -1),
        drop_increase: s.number_or("connection_throttle_drop_increase", (0.0, 1.0), 0.02)?,
        drop_decrease: s.number_or("connection_throttle_drop_decrease", (0.0, 1.0), 0.002)?,
        decrease_ratio: s.number_or("connection_throttle_decrease_ratio", (0.0, 1.0), 0.0)?,
        new_session_weight: weight(if local { weights.local } else { weights.global }),
        renewed_session_weight: weight(weights.renewed),
    })
}

/// A port with an address of its own, both optional; the address alone makes no sense.
fn listen(s: &mut Settings, port_key: &str, address_key: &str) -> Result<Option<HostPort>> {
    let port = s.number::<u16>(port_key, (0, u16::MAX))?;
    let address = s.take(address_key);
    match (port, address) {
        (None, Some(address)) => Err(address.wrong(format!("is set but {port_key} is not"))),
        (None, None) => Ok(None),
        (Some(port), Some(address)) if !address.value.is_empty() => {
            let host = address.value.trim_start_matches('[').trim_end_matches(']');
            Ok(Some(HostPort::new(host, port)))
        }
        (Some(port), _) => Ok(Some(HostPort::new("0.0.0.0", port))),
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

pub(super) fn quorum(s: &mut Settings) -> Result<QuorumConfig> {
    if let Some(algorithm) = s.take("electionAlg")
        && algorithm.value != "3"
    {
        return Err(algorithm.wrong(format!("`{}` must be 3, the only one", algorithm.value)));
    }
    let init_limit_ticks = s.number_or("initLimit", (0, 1_000_000), 0)?;
    let connect = s.number_or("connectToLearnerMasterLimit", (0, 1_000_000), 0)?;
    let peer_type = match s.take("peerType") {
        None => Role::Participant,
        Some(peer_type) => match peer_type.value.to_ascii_lowercase().as_str() {
            "observer" => Role::Observer,
            "participant" => Role::Participant,
            _ => {
                return Err(peer_type.wrong(format!(
                    "`{}` must be participant or observer",
                    peer_type.value
                )));
            }
        },
    };
    let epoch_wait: i32 = s.number_or("leader.maxTimeToWaitForEpoch", (-1, i32::MAX), -1)?;
    let sasl_enabled = s.flag("quorum.auth.enableSasl", false)?;
    let sasl_server_required = s.flag("quorum.auth.serverRequireSasl", false)?;
    let sasl_learner_required = s.flag("quorum.auth.learnerRequireSasl", false)?;
    for (key, on) in [
        ("quorum.auth.serverRequireSasl", sasl_server_required),
        ("quorum.auth.learnerRequireSasl", sasl_learner_required),
    ] {
        if on && !sasl_enabled {
            return Err(s.missing(key, "needs quorum.auth.enableSasl=true"));
        }
    }
    if sasl_server_required && !sasl_learner_required {
        return Err(s.missing(
            "quorum.auth.serverRequireSasl",
            "needs quorum.auth.learnerRequireSasl=true, or this server could not join itself",
        ));
    }
    if sasl_enabled {
        return Err(s.missing(
            "quorum.auth.enableSasl",
            "asks members to log in to each other, which is not there yet",
        ));
    }
    // Kerberos alone uses it; it is accepted so that a configuration with it starts.
    let _ = s.take("quorum.auth.kerberos.servicePrincipal");
    Ok(QuorumConfig {
        init_limit_ticks,
        sync_limit_ticks: s.number_or("syncLimit", (0, 1_000_000), 0)?,
        connect_to_learner_master_limit_ticks: if connect == 0 {
            init_limit_ticks
        } else {
            connect
        },
        peer_type,
        listen_on_all_ips: s.flag("quorumListenOnAllIPs", false)?,
        sync_enabled: s.flag("syncEnabled", true)?,
        observer_master_port: s
            .number::<u16>("observerMasterPort", (0, u16::MAX))?
            .filter(|port| *port != 0),
        multi_address_enabled: s.flag("multiAddress.enabled", false)?,
        reachability_check_timeout_ms: s.number_or(
            "multiAddress.reachabilityCheckTimeoutMs",
            (1, COUNT_MAX),
            1000,
        )?,
        reachability_check_enabled: s.flag("multiAddress.reachabilityCheckEnabled", true)?,
        cnx_timeout_ms: s.number_or("cnxTimeout", (1, COUNT_MAX), 5000)?,
        election_port_bind_retry: s.number_or("electionPortBindRetry", (0, COUNT_MAX), 3)?,
        notification_interval_min_ms: s.number_or(
            "fastleader.minNotificationInterval",
            (1, COUNT_MAX),
            200,
        )?,
        notification_interval_max_ms: s.number_or(
            "fastleader.maxNotificationInterval",
            (1, COUNT_MAX),
            60_000,
        )?,
        leader_serves: s.yes_no("leaderServes", true)?,
        observer_election_delay_ms: s.number_or(
            "observer.election.DelayMs",
            (0, COUNT_MAX),
            200,
        )?,
        observer_reconnect_delay_ms: s.number_or("observer.reconnectDelayMs", (0, COUNT_MAX), 0)?,
        learner_async_sending: s.flag("learner.asyncSending", false)?,
        leader_epoch_wait_max_ms: u32::try_from(epoch_wait).ok(),
        concurrent_snap_syncs_max: s.number_or(
            "leader.maxConcurrentSnapSyncs",
            (1, COUNT_MAX),
            10,
        )?,
        concurrent_diff_syncs_max: s.number_or(
            "leader.maxConcurrentDiffSyncs",
            (1, COUNT_MAX),
            100,
        )?,
        force_snapshot_sync: s.flag("forceSnapshotSync", false)?,
        sasl_enabled,
        sasl_server_required,
        sasl_learner_required,
        oracle_path: s.text("oraclePath").map(PathBuf::from),
    })
}

pub(super) fn storage(s: &mut Settings) -> Result<StorageConfig> {
    let compression = match s.take("snapshot.compression.method") {
        None => Compression::None,
        Some(method) => match method.value.to_ascii_lowercase().as_str() {
            "" => Compression::None,
            "gz" => Compression::Gzip,
            "snappy" => Compression::Snappy,
            _ => {
                return Err(
                    method.wrong(format!("`{}` must be gz, snappy or nothing", method.value))
                );
            }
        },
    };
    let factor = s.take("snapshotSizeFactor");
    let snapshot_size_factor = match &factor {
        None => 0.33,
        Some(setting) => setting
            .value
            .parse()
            .ok()
            .filter(|factor: &f64| factor.is_finite())
            .ok_or_else(|| setting.wrong(format!("`{}` must be a number", setting.value)))?,
    };
    let log_limit_kb: i64 = s.number_or("txnLogSizeLimitInKb", (-1, 1 << 40), -1)?;
    let snap_limit_kb: i64 = s.number_or("snapSizeLimitInKb", (-1, 1 << 40), 4_194_304)?;
    Ok(StorageConfig {
        pre_alloc_bytes: s.number_or("preAllocSize", (0, 16 << 20), 65_536_u64)? * 1024,
        // Java raises smaller ones to 2 without a word (`ZooKeeperServer.java` getSnapCount).
        snap_count: s.number_or("snapCount", (0, COUNT_MAX), 100_000)?.max(2),
        snap_size_limit_bytes: u64::try_from(snap_limit_kb).unwrap_or(0) * 1024,
        txn_log_size_limit_bytes: u64::try_from(log_limit_kb)
            .ok()
            .filter(|kb| *kb > 0)
            .map(|kb| kb * 1024),
        commit_log_count: s.number_or("commitLogCount", (0, 10_000_000), 500)?,
        snapshot_size_factor,
        force_sync: s.yes_no("forceSync", true)?,
        fsync_warning_threshold_ms: s.number_or(
            "fsync.warningthresholdms",
            (0, COUNT_MAX),
            1000,
        )?,
        flush_delay_ms: s.number_or("flushDelay", (0, 60_000), 0)?,
        batch_max: s.number_or("maxBatchSize", (1, COUNT_MAX), 1000)?,
        digest_enabled: s.flag("digest.enabled", true)?,
        close_session_txn_enabled: s.flag("closeSessionTxn.enabled", true)?,
        serialize_last_processed_zxid: s.flag("serializeLastProcessedZxid.enabled", true)?,
        trust_empty_snapshot: s.flag("snapshot.trust.empty", false)?,
        compression,
        datadir_autocreate: s.flag("datadir.autocreate", true)?,
        db_autocreate: s.flag("db.autocreate", true)?,
    })
}

pub(super) fn purge(s: &mut Settings) -> Result<PurgeConfig> {
    const RETAIN_MIN: usize = 3;
    let retain = s.number_or("autopurge.snapRetainCount", (0, 1_000_000), RETAIN_MIN)?;
    if retain < RETAIN_MIN {
        s.warnings.push(format!(
            "autopurge.snapRetainCount: {retain} is too few; {RETAIN_MIN} are kept"
        ));
    }
    Ok(PurgeConfig {
        snap_retain_count: retain.max(RETAIN_MIN),
        purge_interval_hours: s.number_or("autopurge.purgeInterval", (0, 1_000_000), 0)?,
    })
}

pub(super) fn container(s: &mut Settings) -> Result<ContainerConfig> {
    Ok(ContainerConfig {
        check_interval_ms: s.number_or(
            "znode.container.checkIntervalMs",
            (1, COUNT_MAX),
            60_000,
        )?,
        max_per_minute: s.number_or("znode.container.maxPerMinute", (1, COUNT_MAX), 10_000)?,
        never_used_interval_max_ms: s.number_or(
            "znode.container.maxNeverUsedIntervalMs",
            (0, i64::MAX),
            0,
        )?,
        extended_types_enabled: s.flag("extendedTypesEnabled", false)?,
        emulate_353_ttl_nodes: s.flag("emulate353TTLNodes", false)?,
    })
}

pub(super) fn admin(s: &mut Settings) -> Result<AdminConfig> {
    Ok(AdminConfig {
        enabled: s.flag("admin.enableServer", true)?,
        address: s
            .text("admin.serverAddress")
            .unwrap_or_else(|| "0.0.0.0".to_owned()),
        port: s.number_or("admin.serverPort", (0, u16::MAX), 8080)?,
        command_url: s
            .text("admin.commandURL")
            .unwrap_or_else(|| "/commands".to_owned()),
        idle_timeout_ms: s.number_or("admin.idleTimeout", (1, COUNT_MAX), 30_000)?,
        rate_limiter_interval_ms: s.number_or(
            "admin.rateLimiterIntervalInMS",
            (0, COUNT_MAX),
            300_000,
        )?,
        snapshot_enabled: s.flag("admin.snapshot.enabled", true)?,
        restore_enabled: s.flag("admin.restore.enabled", true)?,
    })
}

pub(super) fn metrics(s: &mut Settings) -> Result<MetricsConfig> {
    const PROMETHEUS: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
    let class = s.take("metricsProvider.className");
    let prometheus = match &class {
        None => false,
        Some(class) if class.value == PROMETHEUS => true,
        Some(class) => {
            if !class.value.ends_with(".DefaultMetricsProvider")
                && !class.value.ends_with(".NullMetricsProvider")
            {
                s.warnings.push(format!(
                    "{}: {}: `{}` is a Java class; {PROMETHEUS} is the only one that means something here",
                    class.place, class.key, class.value
                ));
            }
            false
        }
    };
    let config = MetricsConfig {
        prometheus,
        host: s
            .text("metricsProvider.httpHost")
            .unwrap_or_else(|| "0.0.0.0".to_owned()),
        port: s.number_or("metricsProvider.httpPort", (0, u16::MAX), 7000)?,
    };
    // The provider's other settings (exportJvmInfo, worker threads) are the Java machine's.
    let _ = s.starting_with("metricsProvider.");
    Ok(config)
}
