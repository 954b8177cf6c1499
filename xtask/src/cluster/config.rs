//! What the cluster's programs are told: flags and files, rendered from addresses and paths.

use std::path::Path;

use serde_json::json;

use super::addresses::{Addresses, NODES};
use super::pki::Pki;

/// The image of every pod's sandbox.
pub(crate) const PAUSE_IMAGE: &str = "zookeeper.ensemble.dev/pause:1";

/// The user of the controller manager, and so the owner of the volumes that it makes.
///
/// Volumes of the host-path provisioner are made with mode 0750 and know no `fsGroup`, so they
/// have to belong to the user of the image from the start.
pub(crate) const CONTROLLER_USER: u32 = 10_001;

/// The folder that the host-path provisioner is compiled to use.
pub(crate) const VOLUMES: &str = "/tmp/hostpath_pv";

/// Seconds after which pods leave a node that is gone. A real cluster waits 300.
const TOLERATION_SECONDS: u32 = 30;

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments
        .iter()
        .map(|argument| (*argument).to_owned())
        .collect()
}

/// etcd keeps its data in memory: the cluster does not outlive a reboot anyway.
pub(crate) fn etcd() -> Vec<String> {
    owned(&[
        "--data-dir=/run/etcd",
        "--unsafe-no-fsync",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--log-level=warn",
        "--logger=zap",
    ])
}

/// The flags of kube-apiserver.
pub(crate) fn apiserver(at: Addresses, pki: &Pki) -> Vec<String> {
    vec![
        "--etcd-servers=http://127.0.0.1:2379".into(),
        format!("--advertise-address={}", at.control()),
        "--secure-port=6443".into(),
        format!("--service-cluster-ip-range={}", at.services()),
        format!("--tls-cert-file={}", pki.file("apiserver.crt")),
        format!("--tls-private-key-file={}", pki.file("apiserver.key")),
        format!("--client-ca-file={}", pki.file("ca.crt")),
        format!("--token-auth-file={}", pki.file("tokens.csv")),
        format!(
            "--kubelet-client-certificate={}",
            pki.file("kubelet-client.crt")
        ),
        format!("--kubelet-client-key={}", pki.file("kubelet-client.key")),
        // Otherwise exec and logs look the node's name up in a DNS that does not know it.
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        format!(
            "--service-account-key-file={}",
            pki.file("service-accounts.crt")
        ),
        format!(
            "--service-account-signing-key-file={}",
            pki.file("service-accounts.key")
        ),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged=true".into(),
        "--profiling=false".into(),
        format!("--default-not-ready-toleration-seconds={TOLERATION_SECONDS}"),
        format!("--default-unreachable-toleration-seconds={TOLERATION_SECONDS}"),
    ]
}

/// The flags of kube-controller-manager.
pub(crate) fn controller_manager(pki: &Pki) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", pki.kubeconfig("controller-manager")),
        format!(
            "--service-account-private-key-file={}",
            pki.file("service-accounts.key")
        ),
        format!("--root-ca-file={}", pki.file("ca.crt")),
        "--enable-hostpath-provisioner=true".into(),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
        "--profiling=false".into(),
        "--node-monitor-period=2s".into(),
        "--node-monitor-grace-period=20s".into(),
    ]
}

/// The arguments by which setpriv starts kube-controller-manager as [`CONTROLLER_USER`].
///
/// It keeps the right to read its kubeconfig and to remove what a pod running as root left in a
/// volume, whoever owns them.
pub(crate) fn as_controller_user(program: &Path, arguments: Vec<String>) -> Vec<String> {
    let mut all = vec![
        format!("--reuid={CONTROLLER_USER}"),
        format!("--regid={CONTROLLER_USER}"),
        "--clear-groups".into(),
        "--inh-caps=+dac_override".into(),
        "--ambient-caps=+dac_override".into(),
        "--".into(),
        program.to_string_lossy().into_owned(),
    ];
    all.extend(arguments);
    all
}

/// The flags of kube-scheduler.
pub(crate) fn scheduler(pki: &Pki) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", pki.kubeconfig("scheduler")),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
        "--profiling=false".into(),
    ]
}

/// The flags of kube-proxy for the machine that stands where `node` does.
pub(crate) fn proxy(at: Addresses, pki: &Pki, node: u8) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", pki.kubeconfig("proxy")),
        format!("--hostname-override=node{node}"),
        "--proxy-mode=iptables".into(),
        format!("--cluster-cidr={}", at.all_pods()),
        "--healthz-bind-address=127.0.0.1:10256".into(),
        "--metrics-bind-address=127.0.0.1:10249".into(),
        // These are the host's, not the namespace's, and may be read-only.
        "--conntrack-max-per-core=0".into(),
        "--conntrack-tcp-timeout-established=0".into(),
        "--conntrack-tcp-timeout-close-wait=0".into(),
        "--oom-score-adj=0".into(),
    ]
}

/// The Corefile of the cluster's DNS, from the template in `deploy/local`.
pub(crate) fn corefile(at: Addresses, pki: &Pki) -> String {
    include_str!("../../../deploy/local/Corefile")
        .replace("{{ADDRESS}}", &at.control().to_string())
        .replace("{{KUBECONFIG}}", &pki.kubeconfig("dns"))
}

/// The objects that every cluster has, from the template in `deploy/local`.
pub(crate) fn manifests(at: Addresses) -> String {
    include_str!("../../../deploy/local/cluster.yaml")
        .replace("{{DNS_ADDRESS}}", &at.control().to_string())
        .replace("{{DNS_SERVICE}}", &at.dns_service().to_string())
}

/// Where the node's files are, as the node sees them.
#[derive(Debug, Clone)]
pub(crate) struct NodePaths {
    /// The node's own folder.
    pub dir: String,
    /// Of each v1 hierarchy, or of the unified one.
    pub cgroup: String,
    /// Where Debian keeps the CNI plugins.
    pub cni_plugins: String,
}

/// The configuration of a node's containerd, in its version 2.
pub(crate) fn containerd(paths: &NodePaths) -> String {
    let NodePaths {
        dir,
        cni_plugins,
        cgroup: _,
    } = paths;
    format!(
        r#"version = 2
root = "{dir}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
]

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE runc could not lower a score below its own.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{dir}/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"#
    )
}

/// How the node's pods get their addresses.
pub(crate) fn cni(at: Addresses, node: u8, paths: &NodePaths) -> String {
    let text = json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": true,
                // A pod that reaches itself through its own service comes back on the same port.
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": format!("{}/cni/addresses", paths.dir),
                    "ranges": [[{"subnet": at.pods(node)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    format!("{text:#}\n")
}

/// The configuration file of a node's kubelet.
pub(crate) fn kubelet(at: Addresses, pki: &Pki, paths: &NodePaths) -> String {
    let dir = &paths.dir;
    let text = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki.file("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": paths.cgroup,
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDNS": [at.dns_service().to_string()],
        "clusterDomain": "cluster.local",
        "resolvConf": format!("{dir}/resolv.conf"),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "podLogsDir": format!("{dir}/pod-logs"),
        "volumePluginDir": format!("{dir}/volume-plugins"),
        // The disk is the host's, so how full it is says nothing about the node.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%", "imagefs.inodesFree": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "oomScoreAdj": 0,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        // Changed ConfigMaps reach their pods within seconds instead of a minute.
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "5s",
        "serializeImagePulls": false,
        // Tests crash members again and again: each comes back at once, instead of after minutes.
        "featureGates": {"KubeletCrashLoopBackOffMax": true},
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
    });
    format!("{text:#}\n")
}

/// The flags of a node's kubelet.
pub(crate) fn kubelet_flags(at: Addresses, pki: &Pki, node: u8, paths: &NodePaths) -> Vec<String> {
    debug_assert!((1..=NODES).contains(&node));
    vec![
        format!("--config={}/kubelet.json", paths.dir),
        format!("--kubeconfig={}", pki.kubeconfig(&format!("node{node}"))),
        format!("--hostname-override=node{node}"),
        format!("--node-ip={}", at.node(node)),
        format!("--root-dir={}/kubelet", paths.dir),
        format!("--cert-dir={}/kubelet-pki", paths.dir),
        format!(
            "--node-labels=topology.kubernetes.io/region=local,topology.kubernetes.io/zone=zone{node}"
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> NodePaths {
        NodePaths {
            dir: "/state/main/node2".into(),
            cgroup: "/zookeeper-ensemble/main/node2".into(),
            cni_plugins: "/usr/lib/cni".into(),
        }
    }

    fn at() -> Addresses {
        Addresses::new(1).expect("below the limit")
    }

    #[test]
    fn nothing_of_a_node_is_shared_with_its_neighbours() {
        let kubelet: serde_json::Value =
            serde_json::from_str(&kubelet(at(), &Pki::new("/pki".into()), &paths())).expect("JSON");
        assert_eq!(kubelet["cgroupRoot"], "/zookeeper-ensemble/main/node2");
        for key in ["podLogsDir", "volumePluginDir", "resolvConf"] {
            let path = kubelet[key].as_str().expect("a path");
            assert!(path.starts_with("/state/main/node2/"), "{key} is {path}");
        }
        assert!(containerd(&paths()).contains("root = \"/state/main/node2/containerd\""));
    }

    #[test]
    fn pods_get_addresses_from_their_own_node_s_range() {
        let cni: serde_json::Value = serde_json::from_str(&cni(at(), 2, &paths())).expect("JSON");
        let ipam = &cni["plugins"][0]["ipam"];
        assert_eq!(ipam["ranges"][0][0]["subnet"], "10.209.2.0/24");
        assert_eq!(ipam["dataDir"], "/state/main/node2/cni/addresses");
    }

    #[test]
    fn no_placeholder_is_left_in_a_template() {
        let pki = Pki::new("/pki".into());
        for text in [corefile(at(), &pki), manifests(at())] {
            assert!(!text.contains("{{"), "{text}");
        }
        assert!(manifests(at()).contains("clusterIP: 198.19.8.10"));
    }
}
