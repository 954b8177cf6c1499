//! The pages of the AdminServer's commands, under the names and with the fields that Java gives them.
//! Source: `Commands.java`, `JsonOutputter.java`.

use super::commands;
use crate::service::{LearnerStatus, MemberState, Role, Service, Serving};
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::UNIX_EPOCH;

/// Names, as Java lists them, and their short forms.
pub(super) const COMMANDS: [(&str, &[&str]); 28] = [
    ("configuration", &["conf", "config"]),
    ("connection_stat_reset", &["crst"]),
    ("connections", &["cons"]),
    ("dirs", &[]),
    ("dump", &[]),
    ("environment", &["env", "envi"]),
    ("get_trace_mask", &["gtmk"]),
    ("hash", &[]),
    ("initial_configuration", &["icfg"]),
    ("is_read_only", &["isro"]),
    ("last_snapshot", &["lsnp"]),
    ("leader", &["lead"]),
    ("monitor", &["mntr"]),
    ("observer_connection_stat_reset", &["orst"]),
    ("observers", &["obsr"]),
    ("restore", &["rest"]),
    ("ruok", &[]),
    ("server_stats", &["srvr"]),
    ("set_trace_mask", &["stmk"]),
    ("snapshot", &["snap"]),
    ("stat_reset", &["srst"]),
    ("stats", &["stat"]),
    ("system_properties", &["sysp"]),
    ("voting_view", &[]),
    ("watch_summary", &["wchs"]),
    ("watches", &["wchc"]),
    ("watches_by_path", &["wchp"]),
    ("zabstate", &[]),
];

/// The name of a command by any of its names.
pub(super) fn full_name(asked: &str) -> Option<&'static str> {
    COMMANDS
        .iter()
        .find(|(name, short)| *name == asked || short.contains(&asked))
        .map(|(name, _)| *name)
}

/// What was asked for.
pub(super) struct Asked {
    /// One of [`COMMANDS`].
    pub(super) name: &'static str,
    /// The argument of `set_trace_mask`.
    pub(super) trace_mask: Option<String>,
}

pub(super) const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

type Answer = Result<Map<String, Value>, String>;

/// The page, without the fields that all have. It may read directories: not for async tasks.
pub(super) fn answer(service: &Service, mask: &AtomicI64, asked: &Asked) -> Map<String, Value> {
    let answer = match asked.name {
        "stats" => stats(service, true),
        "server_stats" => stats(service, false),
        "monitor" => Ok(monitor(service)),
        "connections" => connections(service),
        "configuration" => Ok(configuration(service)),
        "initial_configuration" => {
            let text = service.settings.initial_configuration.as_str();
            Ok(object(json!({"initial_configuration": text})))
        }
        "leader" => leader(service),
        "is_read_only" => {
            let read_only = service.serving() == Some(Serving::ReadOnly);
            Ok(object(json!({"read_only": read_only})))
        }
        "last_snapshot" => last_snapshot(service),
        "hash" => Ok(hash(service)),
        "dirs" => dirs(service),
        "dump" => dump(service),
        "environment" => Ok(texts(commands::environment())),
        // There is no Java machine whose properties these would be.
        "system_properties" => Ok(texts(commands::environment())),
        "watch_summary" => Ok(watch_summary(service)),
        "watches" => Ok(watches(service)),
        "watches_by_path" => Ok(watches_by_path(service)),
        "stat_reset" => {
            service.stats.reset();
            Ok(Map::new())
        }
        "connection_stat_reset" => {
            service.each_connection(|connection| {
                connection.state.lock().info = Default::default();
            });
            Ok(Map::new())
        }
        "observers" => Ok(observers(service)),
        "voting_view" => Ok(voting_view(service)),
        "zabstate" => Ok(zabstate(service)),
        "get_trace_mask" => Ok(object(json!({"tracemask": mask.load(Ordering::Relaxed)}))),
        "set_trace_mask" => set_trace_mask(mask, asked.trace_mask.as_deref()),
        // `ruok`; and observers' connections have no statistics to reset.
        _ => Ok(Map::new()),
    };
    answer.unwrap_or_else(|text| super::http::error(&text))
}

fn set_trace_mask(mask: &AtomicI64, argument: Option<&str>) -> Answer {
    const WANTED: &str = "setTraceMask requires long traceMask argument";
    let text = argument.ok_or(WANTED)?;
    let value = text
        .parse::<i64>()
        .map_err(|_| format!("{WANTED}, got {text}"))?;
    mask.store(value, Ordering::Relaxed);
    Ok(object(json!({"tracemask": value})))
}

fn texts(pairs: Vec<(&'static str, String)>) -> Map<String, Value> {
    let pairs = pairs.into_iter();
    pairs
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .collect()
}

/// `tickTime` as `tick_time`.
fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn stats(service: &Service, clients: bool) -> Answer {
    let serving = service.serving().ok_or(NOT_SERVING)?;
    let latency = service.stats.latency();
    let (zxid, nodes) = {
        let db = service.database.read();
        (db.last_processed(), commands::java_node_count(&db))
    };
    let sizes = directory_sizes(service)?;
    let mut page = object(json!({
        "version": super::FULL_VERSION,
        "read_only": serving == Serving::ReadOnly,
        "server_stats": {
            "packets_sent": service.stats.packets_sent(),
            "packets_received": service.stats.packets_received(),
            "max_latency": latency.max_ms,
            "avg_latency": latency.average_ms(),
            "min_latency": latency.min_ms,
            "outstanding_requests": service.stats.outstanding(),
            "server_state": serving.as_str(),
            "num_alive_client_connections": service.connection_count(),
            "last_processed_zxid": zxid.0,
            "data_dir_size": sizes.data,
            "log_dir_size": sizes.log,
            "uptime": commands::uptime_ms(),
        },
        "node_count": nodes,
    }));
    if serving == Serving::Leader {
        let (last, min, max) = service.status.read().proposal_bytes;
        page.insert(
            "proposal_stats".to_owned(),
            json!({"last_buffer_size": last, "min_buffer_size": min, "max_buffer_size": max}),
        );
    }
    if clients {
        page.insert("connections".to_owned(), connection_list(service));
        page.insert("secure_connections".to_owned(), json!([]));
    }
    Ok(page)
}

fn monitor(service: &Service) -> Map<String, Value> {
    let state = service.serving().map(Serving::as_str);
    let mut page = object(json!({
        "version": super::FULL_VERSION,
        "server_state": state,
    }));
    for (name, figure) in commands::metrics(service) {
        page.insert(name.to_owned(), json!(figure));
    }
    page
}

fn connections(service: &Service) -> Answer {
    service.serving().ok_or(NOT_SERVING)?;
    Ok(object(json!({
        "connections": connection_list(service),
        "secure_connections": [],
    })))
}

fn connection_list(service: &Service) -> Value {
    let mut list = Vec::new();
    service.each_connection(|connection| {
        let state = connection.state.lock();
        let info = &state.info;
        list.push(json!({
            "remote_socket_address": commands::java_address(connection.peer),
            "outstanding_requests": state.outstanding(),
            "packets_received": info.received,
            "packets_sent": info.sent,
            "session_id": state.session.0,
            "last_operation": info.last_op,
            "session_timeout": state.timeout_ms,
            "last_cxid": info.last_cxid,
            "last_zxid": info.last_zxid.0,
            "last_latency": info.last_latency_ms,
            "min_latency": info.latency.min_ms,
            "avg_latency": info.latency.total_ms.checked_div(info.latency.count).unwrap_or(0),
            "max_latency": info.latency.max_ms,
        }));
    });
    Value::Array(list)
}

fn configuration(service: &Service) -> Map<String, Value> {
    // Members have their lines in `conf`, and here a field of their own.
    let configuration = service.configuration();
    let pairs = configuration.iter();
    let pairs = pairs.filter(|(key, _)| !key.contains(['.', ':']));
    let mut page: Map<String, Value> = pairs
        .map(|(key, value)| {
            let number = value.parse::<i64>().map(Value::from);
            (
                snake_case(key),
                number.unwrap_or_else(|_| Value::from(value.as_str())),
            )
        })
        .collect();
    let text = service.status.read().config_text.clone();
    page.insert("membership".to_owned(), Value::from(text));
    page
}

fn leader(service: &Service) -> Answer {
    let status = service.status.read();
    if status.state == MemberState::Standalone {
        return Err("server is not initialized".to_owned());
    }
    let address = status
        .leader_id
        .and_then(|leader| member_line(&status.config_text, leader.0))
        .map(|line| line.split(':').next().unwrap_or_default().to_owned());
    Ok(object(json!({
        "is_leader": service.serving() == Some(Serving::Leader),
        "leader_id": status.leader_id.map(|id| id.0),
        "leader_ip": address.unwrap_or_default(),
    })))
}

/// What stands behind `server.N=` in a configuration's text.
fn member_line(config: &str, id: i64) -> Option<&str> {
    let key = format!("server.{id}=");
    config.lines().find_map(|line| line.strip_prefix(&key))
}

fn last_snapshot(service: &Service) -> Answer {
    let last = match service.maintenance() {
        Some(maintenance) => maintenance.last_snapshot().map_err(|e| e.to_string())?,
        None => None,
    };
    // Java's is in seconds, whatever its name says.
    let page = match last {
        Some((zxid, written)) => {
            let since = written.duration_since(UNIX_EPOCH).unwrap_or_default();
            json!({"zxid": format!("{:x}", zxid.0), "timestamp": since.as_secs()})
        }
        None => json!({"zxid": format!("{:x}", -1_i64), "timestamp": -1}),
    };
    Ok(object(page))
}

fn dump(service: &Service) -> Answer {
    service.serving().ok_or(NOT_SERVING)?;
    let db = service.database.read();
    let mut ephemerals = Map::new();
    for owner in db.tree.sessions_with_ephemerals() {
        ephemerals.insert(owner.0.to_string(), json!(db.tree.ephemerals(owner)));
    }
    // When sessions end is known to whoever leads, and changes with every packet; what they were
    // promised is known everywhere.
    let timeouts = db.sessions().iter();
    let timeouts: Map<String, Value> = timeouts
        .map(|(session, timeout_ms)| (session.0.to_string(), json!(timeout_ms)))
        .collect();
    Ok(object(json!({
        "session_id_to_timeout_ms": timeouts,
        "session_id_to_ephemeral_paths": ephemerals,
    })))
}

fn hash(service: &Service) -> Map<String, Value> {
    let db = service.database.read();
    object(json!({
        "digests": [{
            "zxid": db.last_processed().0,
            "digest": format!("{:x}", db.digest()),
            "digestVersion": crate::tree::DIGEST_VERSION,
        }],
    }))
}

fn directory_sizes(service: &Service) -> Result<crate::service::DirectorySizes, String> {
    match service.maintenance() {
        Some(maintenance) => maintenance.directory_sizes().map_err(|e| e.to_string()),
        None => Ok(crate::service::DirectorySizes::default()),
    }
}

fn dirs(service: &Service) -> Answer {
    let sizes = directory_sizes(service)?;
    Ok(object(
        json!({"datadir_size": sizes.data, "logdir_size": sizes.log}),
    ))
}

fn watch_summary(service: &Service) -> Map<String, Value> {
    let (connections, paths, total) = service.watches.lock().data_summary();
    object(json!({
        "num_connections": connections,
        "num_paths": paths,
        "num_total_watches": total,
    }))
}

fn watches(service: &Service) -> Map<String, Value> {
    let sessions = commands::sessions_by_connection(service);
    let watches = service.watches.lock();
    let mut map = Map::new();
    for (conn, paths) in watches.data_by_conn() {
        if let Some(session) = sessions.get(&conn) {
            let paths: Vec<&str> = paths.collect();
            map.insert(session.0.to_string(), json!(paths));
        }
    }
    object(json!({"session_id_to_watched_paths": map}))
}

fn watches_by_path(service: &Service) -> Map<String, Value> {
    let sessions = commands::sessions_by_connection(service);
    let watches = service.watches.lock();
    let mut map = Map::new();
    for (path, conns) in watches.data_by_path() {
        let known = conns.filter_map(|conn| sessions.get(&conn));
        let known: Vec<i64> = known.map(|session| session.0).collect();
        map.insert(path.to_owned(), json!(known));
    }
    object(json!({"path_to_session_ids": map}))
}

fn observers(service: &Service) -> Map<String, Value> {
    let status = service.status.read();
    let synced = status.learners.iter();
    let synced: Vec<Value> = synced
        .filter(|learner| learner.role == Role::Observer && learner.synced)
        .map(|learner: &LearnerStatus| {
            json!({"sid": learner.id.0, "last_zxid": learner.zxid.to_string()})
        })
        .collect();
    object(json!({"synced_observers": synced.len(), "observers": synced}))
}

fn voting_view(service: &Service) -> Map<String, Value> {
    let status = service.status.read();
    let voters = status.voters.iter();
    let voters: Map<String, Value> = voters
        .map(|id| {
            let line = member_line(&status.config_text, id.0).unwrap_or_default();
            (id.0.to_string(), member_view(line))
        })
        .collect();
    object(json!({"current_config": voters}))
}

/// A member as its line `host:quorum:election[:role][|…][;client]` has it.
fn member_view(line: &str) -> Value {
    let (addresses, client) = line.split_once(';').unwrap_or((line, ""));
    let (mut quorum, mut election, mut role) = (Vec::new(), Vec::new(), "participant");
    for address in addresses.split('|').filter(|address| !address.is_empty()) {
        let mut address = address;
        for known in ["participant", "observer"] {
            if let Some(rest) = address
                .strip_suffix(known)
                .and_then(|rest| rest.strip_suffix(':'))
            {
                (address, role) = (rest, known);
            }
        }
        // From the end: a host may be IPv6.
        let mut parts = address.rsplitn(3, ':');
        let (election_port, quorum_port) = (parts.next(), parts.next());
        if let (Some(host), Some(quorum_port), Some(election_port)) =
            (parts.next(), quorum_port, election_port)
        {
            quorum.push(format!("{host}:{quorum_port}"));
            election.push(format!("{host}:{election_port}"));
        }
    }
    json!({
        "server_addresses": quorum,
        "election_addresses": election,
        "client_address": client,
        "learner_type": role,
    })
}

fn zabstate(service: &Service) -> Map<String, Value> {
    let serving = service.serving();
    let last_zxid = service.database.read().last_processed();
    let status = service.status.read();
    let (voting, state) = match (status.state, serving) {
        (MemberState::Standalone | MemberState::Starting, _) => {
            return object(json!({"voting": false, "zabstate": ""}));
        }
        (MemberState::Looking, _) => (status.role == Role::Participant, "election"),
        (_, Some(_)) => (status.role == Role::Participant, "broadcast"),
        (_, None) => (status.role == Role::Participant, "synchronization"),
    };
    object(json!({
        "myid": status.server_id.0,
        "is_leader": serving == Some(Serving::Leader),
        "voting": voting,
        "last_zxid": last_zxid.to_string(),
        "zab_epoch": last_zxid.epoch().0,
        "zab_counter": last_zxid.counter(),
        "zabstate": state,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_short_form_is_known_once() {
        let mut all = Vec::new();
        for (name, short) in COMMANDS {
            all.push(name);
            all.extend(short);
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(all.iter().all(|name| full_name(name).is_some()));
        assert_eq!(full_name("snap"), Some("snapshot"));
        assert_eq!(full_name("none"), None);
    }

    #[test]
    fn a_member_is_shown_with_all_of_its_addresses() {
        assert_eq!(
            member_view("a:1:2|[::1]:3:4:observer;0.0.0.0:2181"),
            json!({
                "server_addresses": ["a:1", "[::1]:3"],
                "election_addresses": ["a:2", "[::1]:4"],
                "client_address": "0.0.0.0:2181",
                "learner_type": "observer",
            })
        );
        assert_eq!(member_view("")["server_addresses"], json!([]));
    }

    #[test]
    fn fields_are_written_as_java_writes_them() {
        assert_eq!(
            snake_case("clientPortListenBacklog"),
            "client_port_listen_backlog"
        );
        assert_eq!(snake_case("tickTime"), "tick_time");
    }
}
