//! The values a server runs with. Every field has its zoo.cfg key's meaning and, unless it is said
//! otherwise, its default in Apache ZooKeeper 3.9.5.

use super::tls::TlsSide;
use crate::auth::password_hash::PasswordHash;
use crate::auth::{Credentials, Users};
use crate::ensemble::{Ensemble, HostPort, Member, Role};
use crate::ids::ServerId;
use crate::service::ConnectionThrottleSettings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Everything one server is told at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// The file it was read from; `None` for the built-in standalone server.
    pub file: Option<PathBuf>,
    /// The content of `myid`; a standalone server needs none.
    pub server_id: Option<ServerId>,
    /// Where snapshots, epochs and `myid` live. The files are in its `version-2`.
    pub data_dir: PathBuf,
    /// Where transaction logs live: the same directory unless `dataLogDir` is set.
    pub data_log_dir: PathBuf,
    /// Milliseconds of a tick, the unit of session timeouts and limits.
    pub tick_time_ms: i32,
    /// The static ensemble; empty for a standalone server.
    pub ensemble: Ensemble,
    /// A newer ensemble that was proposed, and not seen in force before the last stop.
    pub ensemble_next: Option<Ensemble>,
    /// This server as the first list that it was given has it: where it listens while the ensemble
    /// does not name it.
    pub own: Option<Member>,
    /// Where configurations are kept that clients make.
    pub dynamic: DynamicConfig,
    /// Whether one server alone in the list runs standalone.
    pub standalone_enabled: bool,
    /// Whether clients may change the ensemble.
    pub reconfig_enabled: bool,
    /// Clients, sessions and requests.
    pub client: ClientConfig,
    /// The other members.
    pub quorum: QuorumConfig,
    /// Log and snapshots.
    pub storage: StorageConfig,
    /// Which old files go.
    pub purge: PurgeConfig,
    /// Container and TTL nodes.
    pub container: ContainerConfig,
    /// The HTTP AdminServer.
    pub admin: AdminConfig,
    /// The metrics endpoint.
    pub metrics: MetricsConfig,
    /// Who may do what.
    pub auth: AuthConfig,
    /// Keys and stores of both TLS sides, as they were given.
    pub tls: TlsConfig,
    /// What deserves a word in the log: unknown keys, even ensembles, overridden values.
    pub warnings: Vec<String>,
}

/// The files of the dynamic configuration, `<stem>.<version>` and `<stem>.next`.
/// Source: `QuorumPeer.java` makeDynamicConfigFilename, getNextDynamicConfigFilename.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DynamicConfig {
    /// The path without a version: zoo.cfg's own with `.dynamic`, as in Java, or what
    /// `dynamicConfigFile` says. `None` without a zoo.cfg.
    pub stem: Option<PathBuf>,
}

impl DynamicConfig {
    /// The file of the configuration with this version.
    #[must_use]
    pub fn versioned(&self, version: i64) -> Option<PathBuf> {
        self.with_suffix(&format!("{version:x}"))
    }

    /// The file of one that is proposed and not in force.
    #[must_use]
    pub fn next(&self) -> Option<PathBuf> {
        self.with_suffix("next")
    }

    fn with_suffix(&self, suffix: &str) -> Option<PathBuf> {
        let mut path = self.stem.clone()?.into_os_string();
        path.push(".");
        path.push(suffix);
        Some(path.into())
    }

    /// The version at the end of a file's name, in hexadecimal; `None` where there is none.
    /// Source: `QuorumPeerConfig.java` getVersionFromFilename.
    #[must_use]
    pub fn version_of(path: &Path) -> Option<i64> {
        let (_, version) = path.file_name()?.to_str()?.rsplit_once('.')?;
        i64::from_str_radix(version, 16).ok()
    }
}

impl ServerConfig {
    /// Whether this server is a member of an ensemble, not a standalone one.
    /// Source: `QuorumPeerConfig.java` isDistributed.
    #[must_use]
    pub fn is_distributed(&self) -> bool {
        let voters = self.ensemble.voters().count();
        !self.standalone_enabled || voters > 1
    }

    /// This server's role by the server list, which counts more than `peerType`.
    #[must_use]
    pub fn role(&self) -> Role {
        let member = self.server_id.and_then(|id| self.ensemble.members.get(&id));
        match member {
            Some(member) => member.role,
            None if self.is_distributed() => self.quorum.peer_type,
            None => Role::Participant,
        }
    }
}

/// Clients, sessions and requests.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientConfig {
    /// `clientPort` and `clientPortAddress`, or the client part of this server's `server.N`.
    /// The host `0.0.0.0` stands for every address of the machine.
    pub address: Option<HostPort>,
    /// `secureClientPort` and `secureClientPortAddress`.
    pub secure_address: Option<HostPort>,
    /// `clientPortListenBacklog`, -1 for the system's own.
    pub listen_backlog: i32,
    /// Connections of one client address, 0 without a limit.
    pub max_client_cnxns: u32,
    /// Connections altogether, 0 without a limit.
    pub max_cnxns: u32,
    /// The shortest session timeout given out; 2 ticks by default.
    pub min_session_timeout_ms: i32,
    /// The longest; 20 ticks by default.
    pub max_session_timeout_ms: i32,
    /// Sessions known to their own server alone, until they make an ephemeral node.
    pub local_sessions_enabled: bool,
    /// Whether those become global ones on demand.
    pub local_sessions_upgrading_enabled: bool,
    /// `readonlymode.enabled`: reads go on without a quorum for clients that ask for it.
    pub read_only_mode: bool,
    /// Requests in work before reading from clients pauses.
    pub global_outstanding_limit: u32,
    /// `jute.maxbuffer`: the longest request in bytes.
    pub jute_buffer_bytes_max: usize,
    /// `4lw.commands.whitelist`, `*` for all.
    pub four_letter_words: Vec<String>,
    /// `request_throttle_max_requests`, 0 without a limit.
    pub request_throttle_max_requests: u32,
    /// `throttled_op_wait_time`, 0 where no request waits for too long.
    pub throttled_op_wait_ms: i32,
    /// `connection_throttle_*`.
    pub connection_throttle: ConnectionThrottleSettings,
    /// `largeRequestMaxBytes`: bytes of large requests in work at once.
    pub large_request_bytes_max: i64,
    /// `largeRequestThreshold`: from how many bytes a request is large; -1 for never.
    pub large_request_threshold_bytes: i64,
    /// `enforceQuota`: quotas refuse instead of warn.
    pub enforce_quota: bool,
    /// `tcpKeepAlive` on client connections (`clientTcpKeepAlive`).
    pub tcp_keep_alive: bool,
}

/// The other members of the ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumConfig {
    /// Ticks that a learner may take to connect and sync.
    pub init_limit_ticks: i32,
    /// Ticks that a learner may lag behind.
    pub sync_limit_ticks: i32,
    /// Ticks to connect to the leader; `initLimit` where it is not set.
    pub connect_to_learner_master_limit_ticks: i32,
    /// `peerType`; the server list counts more.
    pub peer_type: Role,
    /// Listen on all addresses instead of the one in the server list.
    pub listen_on_all_ips: bool,
    /// Whether an observer keeps log and snapshots.
    pub sync_enabled: bool,
    /// `observerMasterPort`, `None` where followers serve no observers.
    pub observer_master_port: Option<u16>,
    /// `multiAddress.enabled`.
    pub multi_address_enabled: bool,
    /// `multiAddress.reachabilityCheckTimeoutMs`.
    pub reachability_check_timeout_ms: u32,
    /// `multiAddress.reachabilityCheckEnabled`.
    pub reachability_check_enabled: bool,
    /// `cnxTimeout` of election connections, in milliseconds.
    pub cnx_timeout_ms: u32,
    /// `electionPortBindRetry`; 0 tries for ever.
    pub election_port_bind_retry: u32,
    /// `fastleader.minNotificationInterval`.
    pub notification_interval_min_ms: u32,
    /// `fastleader.maxNotificationInterval`.
    pub notification_interval_max_ms: u32,
    /// `leaderServes`: whether the leader takes clients.
    pub leader_serves: bool,
    /// `observer.election.DelayMs`.
    pub observer_election_delay_ms: u32,
    /// `observer.reconnectDelayMs`.
    pub observer_reconnect_delay_ms: u32,
    /// `learner.asyncSending`.
    pub learner_async_sending: bool,
    /// `leader.maxTimeToWaitForEpoch`, `None` for `initLimit` ticks.
    pub leader_epoch_wait_max_ms: Option<u32>,
    /// `leader.maxConcurrentSnapSyncs`.
    pub concurrent_snap_syncs_max: u32,
    /// `leader.maxConcurrentDiffSyncs`.
    pub concurrent_diff_syncs_max: u32,
    /// `forceSnapshotSync`: learners always get a snapshot.
    pub force_snapshot_sync: bool,
    /// `quorum.auth.enableSasl`.
    pub sasl_enabled: bool,
    /// `quorum.auth.serverRequireSasl`.
    pub sasl_server_required: bool,
    /// `quorum.auth.learnerRequireSasl`.
    pub sasl_learner_required: bool,
    /// `oraclePath`, the file with a 1 or 0 that decides between two members.
    pub oracle_path: Option<PathBuf>,
}

/// How snapshots are compressed. Source: `SnapStream.java` StreamMode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// `gz`.
    Gzip,
    /// `snappy`.
    Snappy,
}

/// Log and snapshots.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageConfig {
    /// `preAllocSize` in bytes: steps in which a log file grows; 0 for none.
    pub pre_alloc_bytes: u64,
    /// Transactions between snapshots.
    pub snap_count: u32,
    /// `snapSizeLimitInKb` in bytes of log between snapshots; 0 without a limit.
    pub snap_size_limit_bytes: u64,
    /// `txnLogSizeLimitInKb` in bytes; `None` without a limit.
    pub txn_log_size_limit_bytes: Option<u64>,
    /// `commitLogCount`: transactions kept in memory for learners that lag a little.
    pub commit_log_count: usize,
    /// `snapshotSizeFactor`: how much log may be sent, against the snapshot's size.
    pub snapshot_size_factor: f64,
    /// Whether the log reaches the disk before it counts.
    pub force_sync: bool,
    /// `fsync.warningthresholdms`.
    pub fsync_warning_threshold_ms: u32,
    /// `flushDelay` in milliseconds: how long a transaction waits for company; 0 for not at all.
    pub flush_delay_ms: u32,
    /// `maxBatchSize`: transactions in one flush.
    pub batch_max: u32,
    /// `digest.enabled`.
    pub digest_enabled: bool,
    /// `closeSessionTxn.enabled`: closing transactions carry their ephemeral nodes.
    pub close_session_txn_enabled: bool,
    /// `serializeLastProcessedZxid.enabled`.
    pub serialize_last_processed_zxid: bool,
    /// `snapshot.trust.empty`: logs without any snapshot are taken, for upgrades from 3.4.
    pub trust_empty_snapshot: bool,
    /// `snapshot.compression.method`.
    pub compression: Compression,
    /// `datadir.autocreate`: missing directories are made.
    pub datadir_autocreate: bool,
    /// `db.autocreate`: an empty disk counts as an empty database; if not, the `initialize` marker
    /// is asked for.
    pub db_autocreate: bool,
}

/// Which old snapshots and logs go by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeConfig {
    /// `autopurge.snapRetainCount`, at least 3.
    pub snap_retain_count: usize,
    /// `autopurge.purgeInterval` in hours, 0 for never.
    pub purge_interval_hours: u32,
}

/// Container and TTL nodes. Source: `ContainerManager.java`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerConfig {
    /// `znode.container.checkIntervalMs`.
    pub check_interval_ms: u32,
    /// `znode.container.maxPerMinute`.
    pub max_per_minute: u32,
    /// `znode.container.maxNeverUsedIntervalMs`, 0 for never.
    pub never_used_interval_max_ms: i64,
    /// `extendedTypesEnabled`: TTL nodes may be made.
    pub extended_types_enabled: bool,
    /// `emulate353TTLNodes`.
    pub emulate_353_ttl_nodes: bool,
}

/// The HTTP AdminServer. Source: `JettyAdminServer.java`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// `admin.enableServer`.
    pub enabled: bool,
    /// `admin.serverAddress`.
    pub address: String,
    /// `admin.serverPort`.
    pub port: u16,
    /// `admin.commandURL`, the path that all commands start with.
    pub command_url: String,
    /// `admin.idleTimeout`.
    pub idle_timeout_ms: u32,
    /// `admin.rateLimiterIntervalInMS` of the snapshot and restore commands.
    pub rate_limiter_interval_ms: u32,
    /// `admin.snapshot.enabled`.
    pub snapshot_enabled: bool,
    /// `admin.restore.enabled`.
    pub restore_enabled: bool,
}

/// The metrics endpoint. Source: `PrometheusMetricsProvider.java`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Whether `metricsProvider.className` names the Prometheus provider.
    pub prometheus: bool,
    /// `metricsProvider.httpHost`.
    pub host: String,
    /// `metricsProvider.httpPort`.
    pub port: u16,
}

/// Who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// `skipACL`: access lists are not asked.
    pub skip_acl: bool,
    /// `DigestAuthenticationProvider.superDigest`: `super:` and the hash.
    pub super_digest: Option<String>,
    /// `DigestAuthenticationProvider.superDigestFile`: a file with the same, read at every use, so
    /// that a new password needs no restart. Java has no such key.
    pub super_digest_file: Option<PathBuf>,
    /// `DigestAuthenticationProvider.enabled`.
    pub digest_enabled: bool,
    /// `DigestAuthenticationProvider.digestAlg`.
    pub digest_algorithm: PasswordHash,
    /// Whether certificates prove who a client is: where there is a port with TLS.
    pub x509_enabled: bool,
    /// `X509AuthenticationProvider.superUser`.
    pub x509_super_user: Option<String>,
    /// Whether access lists may name the scheme `sasl`: where an `authProvider.N` says so, or
    /// there are users without a JAAS file.
    pub sasl_enabled: bool,
    /// Those who may log in by SASL; `None` where nobody may, and tokens get no answer.
    pub sasl_users: Option<Users>,
    /// `sasl.usersFile`: more of them, read at every login, so that a new password needs no
    /// restart. Java has no such key.
    pub sasl_users_file: Option<PathBuf>,
    /// `superUser` and `superUser.X` of SASL.
    pub sasl_super_users: Vec<String>,
    /// `enforce.auth.schemes` where `enforce.auth.enabled`, or `sasl` where
    /// `sessionRequireClientSASLAuth`: a client has to prove one of them to be served.
    pub enforced_schemes: Option<Vec<String>>,
    /// `allowSaslFailedClients`.
    pub allow_sasl_failed_clients: bool,
    /// `enableEagerACLCheck`.
    pub eager_acl_check: bool,
    /// Whether an `authProvider.N` brings the scheme `ensemble`.
    pub ensemble_enabled: bool,
    /// `ensembleAuthName`: the names a client may say with the scheme `ensemble`; `None` for all.
    pub ensemble_names: Option<Vec<String>>,
    /// Those who may log in as members, from the section `QuorumServer` of the JAAS file.
    pub quorum_server_users: Option<Users>,
    /// Name and password by which this member logs in to others, from the section `QuorumLearner`.
    pub quorum_learner_login: Option<Credentials>,
    /// `authProvider.N`: class names by `N`.
    pub providers: BTreeMap<String, String>,
    /// `audit.enable`.
    pub audit_enabled: bool,
}

/// TLS of both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// `sslQuorum`.
    pub quorum_enabled: bool,
    /// `portUnification` on the quorum's ports.
    pub quorum_port_unification: bool,
    /// `sslQuorumReloadCertFiles`.
    pub quorum_reload: bool,
    /// `client.portUnification`.
    pub client_port_unification: bool,
    /// `client.certReload`.
    pub client_reload: bool,
    /// `ssl.X`: clients.
    pub client: TlsSide,
    /// `ssl.quorum.X`: the other members.
    pub quorum: TlsSide,
}
