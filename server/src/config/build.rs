//! From settings to a checked [`ServerConfig`].

use super::error::ConfigError;
use super::settings::ServerConfig;
use super::source::Settings;
use super::{dynamic, foreign, sections, security};
use crate::ensemble::{Ensemble, Role};
use crate::ids::ServerId;
use std::path::{Path, PathBuf};

/// What the reader of a configuration wants of `myid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdNeed {
    /// A member of an ensemble must have it: the server runs.
    Required,
    /// It is being written, or does not matter.
    Ignored,
}

type Result<T> = std::result::Result<T, ConfigError>;

/// Reads zoo.cfg, its dynamic part and `myid`. `overrides` are `-D` pairs; as in Java, zoo.cfg
/// counts more than they do.
///
/// # Errors
/// [`ConfigError`], one line naming file, line and key.
pub fn read_config(
    file: &Path,
    overrides: &[(String, String)],
    need: IdNeed,
) -> Result<ServerConfig> {
    build(Settings::read(file, overrides)?, need, Some(file))
}

impl ServerConfig {
    /// The server that runs without a zoo.cfg: standalone on the loopback address, its data under
    /// the working directory.
    ///
    /// # Errors
    /// [`ConfigError`] where an override makes no sense.
    pub fn without_file(overrides: &[(String, String)]) -> Result<Self> {
        const BUILT_IN: &[u8] =
            b"dataDir=./zookeeper-data\nclientPort=2181\nclientPortAddress=127.0.0.1\nadmin.serverAddress=127.0.0.1\n";
        // Here the command line is the only voice, so it counts more than what is built in.
        let settings = Settings::of(Path::new("built-in defaults"), BUILT_IN, &[])?;
        let settings = settings.overridden(overrides);
        build(settings, IdNeed::Ignored, None)
    }
}

fn build(mut settings: Settings, need: IdNeed, file: Option<&Path>) -> Result<ServerConfig> {
    let s = &mut settings;
    let data_dir = match s.text("dataDir") {
        Some(dir) => PathBuf::from(dir),
        None => return Err(s.missing("dataDir", "must name the directory of the data")),
    };
    let data_log_dir = s
        .text("dataLogDir")
        .map_or_else(|| data_dir.clone(), PathBuf::from);
    let tick_time_ms = s.number_or("tickTime", (1, 3_600_000), 3000)?;
    let standalone_enabled = s.flag("standaloneEnabled", true)?;
    let reconfig_enabled = s.flag("reconfigEnabled", false)?;
    let quorum = sections::quorum(s)?;
    let client = sections::client(s, tick_time_ms)?;
    let storage = sections::storage(s)?;
    let purge = sections::purge(s)?;
    let container = sections::container(s)?;
    let admin = sections::admin(s)?;
    let metrics = sections::metrics(s)?;
    let tls = security::tls(s, client.secure_address.is_some())?;
    let secure = client.secure_address.is_some() || tls.client_port_unification;
    let auth = security::auth(s, secure)?;
    let listed = dynamic::ensemble(s, file, quorum.multi_address_enabled)?;
    let mut config = ServerConfig {
        file: file.map(Path::to_owned),
        server_id: None,
        data_dir,
        data_log_dir,
        tick_time_ms,
        ensemble: listed.ensemble,
        ensemble_next: listed.next.filter(|_| reconfig_enabled),
        own: None,
        dynamic: listed.dynamic,
        standalone_enabled,
        reconfig_enabled,
        client,
        quorum,
        storage,
        purge,
        container,
        admin,
        metrics,
        auth,
        tls,
        warnings: Vec::new(),
    };
    check_ensemble(s, &config)?;
    if need == IdNeed::Required {
        let id = server_id(s, &config)?;
        place_in_ensemble(s, &mut config, id, &listed.seed)?;
    }
    warn(s, &mut config);
    Ok(config)
}

/// Source: `QuorumPeerConfig.java` parseDynamicConfig and checkValidity.
fn check_ensemble(s: &Settings, config: &ServerConfig) -> Result<()> {
    let voters = config.ensemble.voters().count();
    let observers = config.ensemble.observers().count();
    if voters == 0 && !config.standalone_enabled {
        return Err(s.missing(
            "standaloneEnabled",
            "is false, so the list needs at least one server.N with a vote",
        ));
    }
    if voters <= 1 && config.standalone_enabled && observers > 0 {
        return Err(s.wrong(
            "observers need an ensemble of at least two voters, or standaloneEnabled=false",
        ));
    }
    if config.is_distributed() {
        for (key, ticks) in [
            ("initLimit", config.quorum.init_limit_ticks),
            ("syncLimit", config.quorum.sync_limit_ticks),
        ] {
            if ticks == 0 {
                return Err(s.missing(key, "must be set in an ensemble, in ticks"));
            }
        }
    }
    Ok(())
}

/// The content of `myid`. Source: `QuorumPeerConfig.java` setupMyId.
fn server_id(s: &Settings, config: &ServerConfig) -> Result<Option<ServerId>> {
    let path = config.data_dir.join("myid");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if config.is_distributed() {
                return Err(s.wrong(format!(
                    "{} is missing; a member of an ensemble has its number there (zookeeper-server init writes it)",
                    path.display()
                )));
            }
            return Ok(None);
        }
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    let first = text.lines().next().unwrap_or_default().trim();
    match first.parse::<i64>() {
        Ok(id) if id >= 0 => Ok(Some(ServerId(id))),
        _ => Err(ConfigError::Whole {
            place: path.display().to_string(),
            problem: format!("`{first}` is no server id; an id is a number, best from 1 to 255"),
        }),
    }
}

/// Finds this server in the list and settles its client address.
/// Source: `QuorumPeerConfig.java` setupClientPort, setupPeerType; `QuorumPeer.java` start.
fn place_in_ensemble(
    s: &mut Settings,
    config: &mut ServerConfig,
    id: Option<ServerId>,
    seed: &Ensemble,
) -> Result<()> {
    config.server_id = id;
    let Some(id) = id else { return Ok(()) };
    let distributed = config.is_distributed();
    let own = config.ensemble.members.get(&id);
    let next = config.ensemble_next.as_ref();
    let next = next.and_then(|next| next.members.get(&id));
    config.own = own.or(next).or_else(|| seed.members.get(&id)).cloned();
    if own.is_none() && distributed && config.reconfig_enabled && config.own.is_some() {
        // A member that was removed, and is started to be added again; or one that is being added,
        // which may be needed to complete that. Java's does not start, and nobody completes it.
        s.warnings.push(format!(
            "{}: server.{id} is not in the configuration {:x}; it follows without a vote until it is added",
            s.file().display(),
            config.ensemble.version
        ));
        // Where its clients connect, and whether it asks for a vote, zoo.cfg alone says.
        if let Some(seeded) = &config.own {
            config.quorum.peer_type = seeded.role;
            if config.client.address.is_none() {
                config.client.address.clone_from(&seeded.client);
            }
        }
        return Ok(());
    }
    let Some(member) = config.ensemble.members.get_mut(&id) else {
        if distributed {
            let known: Vec<String> = config
                .ensemble
                .members
                .keys()
                .map(ServerId::to_string)
                .collect();
            return Err(s.wrong(format!(
                "{} says {id}, but there is no server.{id}; the list has {}",
                config.data_dir.join("myid").display(),
                known.join(", ")
            )));
        }
        return Ok(());
    };
    match (&member.client, &config.client.address) {
        (Some(listed), Some(own)) => {
            let any = own.host == "0.0.0.0" || own.host == "::";
            if own.port != listed.port || (!any && own.host != listed.host) {
                return Err(s.missing(
                    "clientPort",
                    format!("{own} differs from {listed} in server.{id}"),
                ));
            }
            config.client.address = Some(listed.clone());
        }
        (Some(listed), None) => config.client.address = Some(listed.clone()),
        (None, Some(own)) => {
            member.client = Some(own.clone());
            member.client_from_static = true;
        }
        (None, None) => {}
    }
    let listed = member.role;
    if listed != config.quorum.peer_type {
        // An observer in the list without `peerType` is common, so only a contradiction is told.
        if config.quorum.peer_type == Role::Observer {
            s.warnings.push(format!(
                "{}: peerType: is observer, but server.{id} is a {listed}; the list counts",
                s.file().display()
            ));
        }
        config.quorum.peer_type = listed;
    }
    Ok(())
}

fn warn(s: &mut Settings, config: &mut ServerConfig) {
    let mut warnings = std::mem::take(&mut s.warnings);
    for (key, setting) in s.not_understood() {
        let why = foreign::reason(key).map_or_else(
            || "is unknown and ignored".to_owned(),
            |reason| format!("means nothing here: {reason}"),
        );
        warnings.push(format!("{}: {}: {why}", setting.place, setting.key));
    }
    let voters = config.ensemble.voters().count();
    let file = s.file().display();
    if config.is_distributed() && voters == 2 {
        warnings.push(format!(
            "{file}: two voters can't lose one; three are the smallest ensemble that can"
        ));
    } else if config.is_distributed() && voters > 2 && voters.is_multiple_of(2) {
        warnings.push(format!(
            "{file}: {voters} voters bear no more losses than {}; use an odd number",
            voters - 1
        ));
    }
    if config.client.address.is_none() && config.client.secure_address.is_none() {
        warnings.push(format!(
            "{file}: clientPort is not set; no client can connect"
        ));
    }
    for id in config.ensemble.members.keys().chain(&config.server_id) {
        if id.0 > 255 {
            warnings.push(format!(
                "{file}: server id {id} is above 255; session ids of such servers can collide"
            ));
        }
    }
    for (what, path) in [
        ("dataDir", &config.data_dir),
        ("dataLogDir", &config.data_log_dir),
    ] {
        if config.file.is_some() && path.is_relative() {
            warnings.push(format!(
                "{file}: {what}: `{}` is relative to the working directory",
                path.display()
            ));
        }
    }
    config.warnings = warnings;
}
