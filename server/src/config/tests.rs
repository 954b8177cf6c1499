//! Configurations, good and bad.

use super::*;
use crate::ids::ServerId;
use std::fs;
use std::path::{Path, PathBuf};

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Files {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Reads a zoo.cfg; `DIR` in it stands for the directory.
    fn read(&self, text: &str) -> Result<ServerConfig, ConfigError> {
        let text = text.replace("DIR", &self.dir.path().display().to_string());
        read_config(&self.write("zoo.cfg", &text), &[], IdNeed::Required)
    }

    /// The error's text, `DIR` standing for the directory.
    fn refuse(&self, text: &str) -> String {
        let error = self.read(text).expect_err(text).to_string();
        error.replace(&self.dir.path().display().to_string(), "DIR")
    }
}

const ENSEMBLE: &str = "dataDir=DIR\nclientPort=2181\ninitLimit=10\nsyncLimit=5\n\
    server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888:participant;2182\n";

#[test]
fn a_plain_standalone_configuration_has_javas_defaults() {
    let config = Files::new()
        .read("tickTime=2000\ndataDir=DIR\nclientPort=2181\n")
        .unwrap();
    assert!(!config.is_distributed());
    assert_eq!(config.server_id, None);
    assert_eq!(config.data_dir, config.data_log_dir);
    assert_eq!(config.client.address, Some(HostPort::new("0.0.0.0", 2181)));
    assert_eq!(config.client.min_session_timeout_ms, 4_000);
    assert_eq!(config.client.max_session_timeout_ms, 40_000);
    assert_eq!(config.client.max_client_cnxns, 60);
    assert_eq!(config.client.four_letter_words, ["srvr"]);
    assert_eq!(config.client.jute_buffer_bytes_max, 0xf_ffff);
    assert_eq!(config.storage.pre_alloc_bytes, 64 << 20);
    assert_eq!(config.storage.snap_count, 100_000);
    assert_eq!(config.storage.snap_size_limit_bytes, 4 << 30);
    assert_eq!(config.storage.txn_log_size_limit_bytes, None);
    assert!(config.storage.force_sync && config.storage.db_autocreate);
    assert_eq!(config.purge.snap_retain_count, 3);
    assert_eq!(config.purge.purge_interval_hours, 0);
    assert_eq!(config.admin.port, 8080);
    assert_eq!(config.metrics.port, 7000);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn an_ensembles_configuration_names_this_member_and_its_client_port() {
    let files = Files::new();
    files.write("myid", "3\n");
    let config = files
        .read(&ENSEMBLE.replace("clientPort=2181\n", ""))
        .unwrap();
    assert!(config.is_distributed());
    assert_eq!(config.server_id, Some(ServerId(3)));
    assert_eq!(config.client.address, Some(HostPort::new("0.0.0.0", 2182)));
    assert_eq!(config.ensemble.voters().count(), 3);
    assert_eq!(config.quorum.connect_to_learner_master_limit_ticks, 10);
    assert_eq!(
        config.ensemble.to_string(),
        "server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\n\
         server.3=c:2888:3888:participant;0.0.0.0:2182\nversion=0"
    );
    files.write("myid", "1");
    let config = files.read(ENSEMBLE).unwrap();
    assert_eq!(config.client.address, Some(HostPort::new("0.0.0.0", 2181)));
    let me = &config.ensemble.members[&ServerId(1)];
    assert!(me.client_from_static);
    assert_eq!(me.to_string(), "a:2888:3888:participant");
}

#[test]
fn both_spellings_of_a_key_are_one() {
    let files = Files::new();
    let config = files
        .read("dataDir=DIR\nclientPort=1\nzookeeper.snapCount=7\nfsync.warningthresholdms=5\nzookeeper.admin.serverPort=9\n")
        .unwrap();
    assert_eq!(config.storage.snap_count, 7);
    assert_eq!(config.storage.fsync_warning_threshold_ms, 5);
    assert_eq!(config.admin.port, 9);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn overrides_count_less_than_the_file_and_more_than_defaults() {
    let files = Files::new();
    let cfg = files.write(
        "zoo.cfg",
        &format!(
            "dataDir={}\nclientPort=2181\nsnapCount=50\n",
            files.dir.path().display()
        ),
    );
    let overrides = [
        ("zookeeper.snapCount".to_owned(), "60".to_owned()),
        ("zookeeper.preAllocSize".to_owned(), "4".to_owned()),
        ("readonlymode.enabled".to_owned(), "true".to_owned()),
    ];
    let config = read_config(&cfg, &overrides, IdNeed::Required).unwrap();
    assert_eq!(config.storage.snap_count, 50);
    assert_eq!(config.storage.pre_alloc_bytes, 4096);
    assert!(config.client.read_only_mode);
    let bad = [("zookeeper.preAllocSize".to_owned(), "x".to_owned())];
    assert_eq!(
        read_config(&cfg, &bad, IdNeed::Required)
            .unwrap_err()
            .to_string(),
        "command line: zookeeper.preAllocSize: `x` must be a whole number from 0 to 16777216"
    );
}

#[test]
fn without_a_file_the_server_is_local_and_standalone() {
    let config = ServerConfig::without_file(&[]).unwrap();
    assert_eq!(config.data_dir, Path::new("./zookeeper-data"));
    assert_eq!(
        config.client.address,
        Some(HostPort::new("127.0.0.1", 2181))
    );
    assert_eq!(config.admin.address, "127.0.0.1");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let moved = [("clientPort".to_owned(), "2999".to_owned())];
    let config = ServerConfig::without_file(&moved).unwrap();
    assert_eq!(
        config.client.address,
        Some(HostPort::new("127.0.0.1", 2999))
    );
}

#[test]
fn every_bad_line_is_refused_in_one_line_that_names_file_line_and_key() {
    let files = Files::new();
    files.write("myid", "1");
    let start = "dataDir=DIR\n";
    for (lines, problem) in [
        (
            "clientPort=x",
            "DIR/zoo.cfg:2: clientPort: `x` must be a whole number from 0 to 65535",
        ),
        (
            "clientPort=70000",
            "DIR/zoo.cfg:2: clientPort: `70000` must be a whole number from 0 to 65535",
        ),
        (
            "clientPort=-1",
            "DIR/zoo.cfg:2: clientPort: `-1` must be a whole number from 0 to 65535",
        ),
        (
            "clientPortAddress=1.2.3.4",
            "DIR/zoo.cfg:2: clientPortAddress: is set but clientPort is not",
        ),
        (
            "secureClientPortAddress=h",
            "DIR/zoo.cfg:2: secureClientPortAddress: is set but secureClientPort is not",
        ),
        (
            "tickTime=0",
            "DIR/zoo.cfg:2: tickTime: `0` must be a whole number from 1 to 3600000",
        ),
        (
            "tickTime=2 s",
            "DIR/zoo.cfg:2: tickTime: `2 s` must be a whole number from 1 to 3600000",
        ),
        (
            "maxClientCnxns=99999999999",
            "DIR/zoo.cfg:2: maxClientCnxns: `99999999999` must be a whole number from 0 to 2147483647",
        ),
        (
            "standaloneEnabled=yes",
            "DIR/zoo.cfg:2: standaloneEnabled: `yes` must be true or false",
        ),
        (
            "reconfigEnabled=",
            "DIR/zoo.cfg:2: reconfigEnabled: `` must be true or false",
        ),
        (
            "forceSync=maybe",
            "DIR/zoo.cfg:2: forceSync: `maybe` must be yes or no",
        ),
        (
            "electionAlg=1",
            "DIR/zoo.cfg:2: electionAlg: `1` must be 3, the only one",
        ),
        (
            "peerType=voter",
            "DIR/zoo.cfg:2: peerType: `voter` must be participant or observer",
        ),
        (
            "snapshot.compression.method=zip",
            "DIR/zoo.cfg:2: snapshot.compression.method: `zip` must be gz, snappy or nothing",
        ),
        (
            "snapshotSizeFactor=big",
            "DIR/zoo.cfg:2: snapshotSizeFactor: `big` must be a number",
        ),
        (
            "minSessionTimeout=9\nmaxSessionTimeout=8",
            "DIR/zoo.cfg: minSessionTimeout: 9 ms must not be more than maxSessionTimeout, 8 ms",
        ),
        (
            "quorum.auth.serverRequireSasl=true",
            "DIR/zoo.cfg: quorum.auth.serverRequireSasl: needs quorum.auth.enableSasl=true",
        ),
        (
            "quorum.auth.enableSasl=true",
            "DIR/zoo.cfg: quorum.auth.enableSasl: asks members to log in to each other, which is not there yet",
        ),
        (
            "sslQuorum=true",
            "DIR/zoo.cfg: sslQuorum: asks for TLS between members, which is not there yet",
        ),
        (
            "server.x=a:1:2",
            "DIR/zoo.cfg:2: server.x: `x` in `server.x` is no server id; an id is a number, best from 1 to 255",
        ),
        (
            "server.1=a:1",
            "DIR/zoo.cfg:2: server.1: `a:1` must have the form host:2888:3888[:participant|observer][;[host:]2181]",
        ),
        (
            "\n# comment\nserver.1=a:1:2\nserver.1=b:1:2",
            "DIR/zoo.cfg:5: server.1: is set already at DIR/zoo.cfg:4; each server stands once",
        ),
        (
            "server.1=a:1:2|b:1:2",
            "DIR/zoo.cfg:2: server.1: `a:1:2|b:1:2` has 2 addresses; several are allowed with multiAddress.enabled=true only",
        ),
        (
            "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\ngroup.1=1:2",
            "DIR/zoo.cfg: server 3 is in no group",
        ),
        (
            "weight.1=heavy",
            "DIR/zoo.cfg:2: weight.1: `heavy` is no weight; a weight is a number from 0 to 4294967295",
        ),
        (
            "standaloneEnabled=false",
            "DIR/zoo.cfg: standaloneEnabled: is false, so the list needs at least one server.N with a vote",
        ),
        (
            "server.1=a:1:2\nserver.2=b:1:2:observer",
            "DIR/zoo.cfg: observers need an ensemble of at least two voters, or standaloneEnabled=false",
        ),
        (
            "server.1=a:1:2\nserver.2=b:1:2",
            "DIR/zoo.cfg: initLimit: must be set in an ensemble, in ticks",
        ),
        (
            "initLimit=1\nserver.1=a:1:2\nserver.2=b:1:2",
            "DIR/zoo.cfg: syncLimit: must be set in an ensemble, in ticks",
        ),
        (
            "initLimit=1\nsyncLimit=1\nserver.4=a:1:2\nserver.2=b:1:2",
            "DIR/zoo.cfg: DIR/myid says 1, but there is no server.1; the list has 2, 4",
        ),
        (
            "initLimit=1\nsyncLimit=1\nclientPort=5\nserver.1=a:1:2;6\nserver.2=b:1:2",
            "DIR/zoo.cfg: clientPort: 0.0.0.0:5 differs from 0.0.0.0:6 in server.1",
        ),
    ] {
        let refused = files.refuse(&format!("{start}{lines}\n"));
        assert_eq!(refused, problem);
        assert_eq!(refused.lines().count(), 1, "{refused}");
    }
    assert_eq!(
        files.refuse("clientPort=2181"),
        "DIR/zoo.cfg: dataDir: must name the directory of the data"
    );
}

#[test]
fn a_missing_or_wrong_myid_is_told_with_its_path() {
    let files = Files::new();
    assert_eq!(
        files.refuse(ENSEMBLE),
        "DIR/zoo.cfg: DIR/myid is missing; a member of an ensemble has its number there (zookeeper-server init writes it)"
    );
    files.write("myid", "one");
    assert_eq!(
        files.refuse(ENSEMBLE),
        "DIR/myid: `one` is no server id; an id is a number, best from 1 to 255"
    );
    let text = ENSEMBLE.replace("DIR", "/nowhere");
    let cfg = files.write("zoo.cfg", &text);
    read_config(&cfg, &[], IdNeed::Ignored).unwrap();
}

#[test]
fn a_missing_file_is_told_with_its_path() {
    let error = read_config(Path::new("/no/such/zoo.cfg"), &[], IdNeed::Required).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/no/such/zoo.cfg: can't be read: No such file or directory (os error 2)"
    );
}

#[test]
fn unknown_and_meaningless_keys_are_warned_about_by_name() {
    let files = Files::new();
    let config = files
        .read("dataDir=DIR\nclientPort=1\nclientport=2\nnio.numWorkerThreads=4\nsnapCount=5\nsnapCount=6\n")
        .unwrap();
    let dir = files.dir.path().display().to_string();
    let warnings: Vec<String> = config
        .warnings
        .iter()
        .map(|warning| warning.replace(&dir, "DIR"))
        .collect();
    assert_eq!(
        warnings,
        [
            "DIR/zoo.cfg:6: snapCount: was set already at DIR/zoo.cfg:5; this one holds, as in Java",
            "DIR/zoo.cfg:3: clientport: is unknown and ignored",
            "DIR/zoo.cfg:4: nio.numWorkerThreads: means nothing here: there are no thread pools to size here",
        ]
    );
    assert_eq!(config.storage.snap_count, 6);
}

#[test]
fn ensembles_of_even_size_are_warned_about() {
    let files = Files::new();
    files.write("myid", "1");
    let two =
        "dataDir=DIR\nclientPort=1\ninitLimit=1\nsyncLimit=1\nserver.1=a:1:2\nserver.2=b:1:2\n";
    let warnings = files.read(two).unwrap().warnings;
    assert!(
        warnings[0]
            .ends_with("two voters can't lose one; three are the smallest ensemble that can")
    );
    let four = format!("{two}server.3=c:1:2\nserver.4=d:1:2\n");
    let warnings = files.read(&four).unwrap().warnings;
    assert!(warnings[0].ends_with("4 voters bear no more losses than 3; use an odd number"));
}

#[test]
fn a_dynamic_file_holds_the_ensemble_and_its_version_in_its_name() {
    let files = Files::new();
    files.write("myid", "1");
    let list = "server.1=a:1:2;2181\nserver.2=b:1:2;2181\nserver.3=c:1:2;2181\n";
    files.write("zoo.cfg.dynamic.10000000a", list);
    let cfg =
        "dataDir=DIR\ninitLimit=1\nsyncLimit=1\ndynamicConfigFile=DIR/zoo.cfg.dynamic.10000000a\n";
    let config = files.read(cfg).unwrap();
    assert_eq!(config.ensemble.version, 0x1_0000_000a);
    assert_eq!(config.client.address, Some(HostPort::new("0.0.0.0", 2181)));
    assert_eq!(
        files.refuse(&format!("{cfg}server.9=a:1:2\n")),
        "DIR/zoo.cfg:5: server.9: must stand in the file that dynamicConfigFile names"
    );
    files.write("zoo.cfg.dynamic.10000000a", &format!("{list}tickTime=5\n"));
    assert_eq!(
        files.refuse(cfg),
        "DIR/zoo.cfg.dynamic.10000000a:4: tickTime: does not belong into a dynamic file; server.N, group.N and weight.N do"
    );
}

#[test]
fn prefixed_keys_are_kept_for_those_who_know_them() {
    let config = Files::new()
        .read(
            "dataDir=DIR\nclientPort=1\nssl.keyStore.location=/k.jks\nssl.quorum.keyStore.location=/q.pem\n\
             ssl.quorum.trustStore.location=/t.p12\nssl.keyStore.password=secret\n\
             authProvider.1=org.example.Auth\nsuperUser=sam\nsuperUser.2=kim\n\
             metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
             metricsProvider.httpPort=7001\n4lw.commands.whitelist=ruok, srvr\n",
        )
        .unwrap();
    let own = config.tls.client.key_store.as_ref().unwrap();
    assert_eq!(
        (own.path.as_path(), own.kind),
        (Path::new("/k.jks"), StoreKind::JksOrPkcs12)
    );
    assert_eq!(own.password, "secret");
    let quorum = config.tls.quorum.key_store.as_ref().unwrap();
    assert_eq!(
        (quorum.path.as_path(), quorum.kind),
        (Path::new("/q.pem"), StoreKind::Pem)
    );
    assert_eq!(config.auth.sasl_super_users, ["sam", "kim"]);
    assert!(!format!("{config:?}").contains("secret"));
    assert!(config.metrics.prometheus);
    assert_eq!(config.auth.providers["1"], "org.example.Auth");
    assert_eq!(config.metrics.port, 7001);
    assert_eq!(config.client.four_letter_words, ["ruok", "srvr"]);
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("org.example.Auth"));
}

#[test]
fn a_member_that_comes_back_takes_its_client_port_and_its_role_from_zoo_cfg() {
    let files = Files::new();
    files.write("myid", "2\n");
    // It was taken out: the newest configuration that it knows does not have it.
    files.write(
        "zoo.cfg.dynamic.10000000a",
        "server.1=a:2888:3888:participant;0.0.0.0:2181\n",
    );
    let config = files
        .read(
            "dataDir=DIR\ninitLimit=1\nsyncLimit=1\nreconfigEnabled=true\nstandaloneEnabled=false\n\
             dynamicConfigFile=DIR/zoo.cfg.dynamic\nserver.1=a:2888:3888;2181\n\
             server.2=b:2888:3888:observer;2182\n",
        )
        .unwrap();
    assert_eq!(config.client.address, Some(HostPort::new("0.0.0.0", 2182)));
    assert_eq!(config.quorum.peer_type, Role::Observer);
}

#[test]
fn a_member_that_is_being_added_is_what_the_proposed_configuration_says() {
    let files = Files::new();
    files.write("myid", "3\n");
    let list = "server.1=a:2888:3888:participant;2181\nserver.2=b:2888:3888:participant;2181\n";
    files.write("zoo.cfg.dynamic.100000000", list);
    let lines = "dataDir=DIR\ninitLimit=1\nsyncLimit=1\nreconfigEnabled=true\n\
                 dynamicConfigFile=DIR/zoo.cfg.dynamic.100000000\n";
    assert_eq!(
        files.refuse(lines),
        "DIR/zoo.cfg: DIR/myid says 3, but there is no server.3; the list has 1, 2"
    );
    files.write(
        "zoo.cfg.dynamic.next",
        &format!("{list}server.3=c:2888:3888:participant;2183\nversion=100000005\n"),
    );
    let config = files.read(lines).unwrap();
    assert_eq!(config.own.unwrap().address().host, "c");
    assert_eq!(config.client.address, Some(HostPort::new("0.0.0.0", 2183)));
    assert!(config.ensemble_next.is_some());
}

#[test]
fn throttles_take_javas_keys_and_weights_scale_the_tokens() {
    let files = Files::new();
    let config = files
        .read(
            "dataDir=DIR\nclientPort=2181\nthrottled_op_wait_time=250\nlocalSessionsEnabled=true\n\
             zookeeper.connection_throttle_tokens=10\nconnection_throttle_fill_count=2\n\
             connection_throttle_freeze_time=100\nconnection_throttle_drop_increase=0.5\n\
             connection_throttle_weight_enabled=true\n\
             connection_throttle_global_session_weight=4\n",
        )
        .unwrap();
    assert_eq!(config.client.throttled_op_wait_ms, 250);
    assert_eq!(config.warnings, Vec::<String>::new());
    let throttle = config.client.connection_throttle;
    assert_eq!((throttle.tokens_max, throttle.fill_count), (40, 8));
    assert_eq!(throttle.freeze_time_ms, Some(100));
    assert!((throttle.drop_increase - 0.5).abs() < f64::EPSILON);
    let weights = (throttle.new_session_weight, throttle.renewed_session_weight);
    assert_eq!(weights, (1, 2));
}
