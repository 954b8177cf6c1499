//! The ConfigMap: zoo.cfg, and the two files that `zookeeper-server init` goes by.

use super::pod::AUTH_DIRECTORY;
use super::secrets::{DIGEST_FILE, USERS_FILE};
use super::{Context, Kind, metadata};
use crate::crd::names::{PORT_ADMIN, PORT_METRICS};
use crate::valid::{ServerId, ValidCluster};
use k8s_openapi::api::core::v1::ConfigMap;
use std::fmt;
use std::fmt::Write;

/// The file with the server list: behind the static part of zoo.cfg.
pub const MEMBERS_FILE: &str = "zoo.cfg";
/// The file that says which empty disks may vote.
pub const BOOTSTRAP_FILE: &str = "bootstrap";

/// The file with the consent that a recovery of the quorum was made on, and when.
pub const RECOVERY_FILE: &str = "recovery";

/// Which empty disks may vote. Its text is what `zookeeper-server init` reads.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Initialize {
    /// None: the ensemble has data, and an empty disk would outvote it.
    #[default]
    None,
    /// All: the ensemble is being made.
    All,
    /// These, to make up a lost quorum.
    Only(Vec<ServerId>),
}

impl fmt::Display for Initialize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("false"),
            Self::All => formatter.write_str("true"),
            Self::Only(ids) => {
                let ids: Vec<String> = ids.iter().map(ServerId::to_string).collect();
                formatter.write_str(&ids.join(","))
            }
        }
    }
}

pub(super) fn config_map(cluster: &ValidCluster, context: &Context<'_>) -> ConfigMap {
    let recovery = context
        .recovery
        .as_ref()
        .map(|text| (RECOVERY_FILE, text.clone()));
    ConfigMap {
        metadata: metadata(cluster, Kind::ConfigMap),
        data: Some(
            [
                (
                    MEMBERS_FILE,
                    zoo_cfg(cluster) + &server_list(cluster, context),
                ),
                (BOOTSTRAP_FILE, format!("{}\n", context.initialize)),
                ("cluster-id", format!("{}\n", cluster.cluster_id)),
            ]
            .into_iter()
            .chain(recovery)
            .map(|(file, text)| (file.to_owned(), text))
            .collect(),
        ),
        ..Default::default()
    }
}

/// Who belongs to the ensemble, for a disk that does not know yet. Like the flag, it is no part of
/// the config hash: a new member restarts nobody.
fn server_list(cluster: &ValidCluster, context: &Context<'_>) -> String {
    let mut text = String::new();
    for (member, role) in context.list {
        let address = cluster.address(member, *role);
        writeln!(text, "server.{}={address}", member.id).expect("writing to a String cannot fail");
    }
    text
}

/// The static part of zoo.cfg: the same text for every member, so that one hash speaks for all.
///
/// The keys are those of `QuorumPeerConfig.java`, `parseProperties`.
pub fn zoo_cfg(cluster: &ValidCluster) -> String {
    let mut text = String::from(
        "# Written by the operator from spec.config; edit the ZooKeeperCluster instead.\n",
    );
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{key}={value}").expect("writing to a String cannot fail");
    };
    for (key, value) in &cluster.config {
        line(key, value);
    }
    line("dataDir", &"/data");
    if cluster.log.is_some() {
        line("dataLogDir", &"/data-log");
    }
    line("admin.serverPort", &PORT_ADMIN);
    line(
        "metricsProvider.className",
        &"org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
    );
    line("metricsProvider.httpPort", &PORT_METRICS);
    // A member binds every address: behind a service mesh its own name need not be one of its addresses.
    line("quorumListenOnAllIPs", &true);
    // A single member is an ensemble of one: it can get company later.
    line("standaloneEnabled", &false);
    line("reconfigEnabled", &true);
    // The ConfigMap can't be written, so changes of the membership are kept beside the data: the
    // newest of these files counts, and before the first change the servers listed here.
    line("dynamicConfigFile", &"/data/zoo.cfg.dynamic");
    // The superuser changes the membership, and is the only one who may.
    line(
        "DigestAuthenticationProvider.superDigestFile",
        &format!("{AUTH_DIRECTORY}/{DIGEST_FILE}"),
    );
    if !cluster.users.is_empty() {
        // They are read at every login, so a new password changes nothing here.
        line("sasl.usersFile", &format!("{AUTH_DIRECTORY}/{USERS_FILE}"));
    }
    if cluster.authentication_required {
        line("enforce.auth.enabled", &true);
        // The operator changes the membership as the superuser, whom the members know by a digest.
        line("enforce.auth.schemes", &"sasl,super");
    }
    // An empty disk votes only where `init` said so.
    line("db.autocreate", &false);
    text
}
