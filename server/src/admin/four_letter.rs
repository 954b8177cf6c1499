//! Four-letter words: what `echo srvr | nc host 2181` is answered. Source: `server/command/*.java`.

use crate::admin::{FULL_VERSION, commands};
use crate::service::{Connection, Phase, Service, Serving};
use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// All of them. Source: `FourLetterCommands.java`.
const WORDS: [&str; 18] = [
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "ruok", "stmk", "srst", "srvr", "stat",
    "wchc", "wchp", "wchs", "mntr", "isro", "hash",
];

/// The word that a connection begins with, if it does. As the length of a packet it would be over
/// a gigabyte, so the two can't be confused.
#[must_use]
pub fn word(input: &[u8]) -> Option<&'static str> {
    let first = input.get(..4)?;
    WORDS.into_iter().find(|word| word.as_bytes() == first)
}

/// What the word is answered.
#[must_use]
pub fn answer(service: &Service, word: &str) -> String {
    if !service.settings.four_letter_words.allows(word) {
        return format!("{word} is not executed because it is not in the whitelist.\n");
    }
    let Some(serving) = service.serving() else {
        return match word {
            "ruok" => "imok".to_owned(),
            "isro" => "null".to_owned(),
            "envi" => envi(),
            _ => NOT_SERVING.to_owned(),
        };
    };
    match word {
        "ruok" => "imok".to_owned(),
        "isro" if serving == Serving::ReadOnly => "ro".to_owned(),
        "isro" => "rw".to_owned(),
        "srvr" => srvr(service, serving, false),
        "stat" => srvr(service, serving, true),
        "mntr" => mntr(service, serving),
        "conf" => conf(service),
        "cons" => cons(service),
        "crst" => {
            service.each_connection(|connection| {
                connection.state.lock().info = Default::default();
            });
            "Connection stats reset.\n".to_owned()
        }
        "srst" => {
            service.stats.reset();
            "Server stats reset.\n".to_owned()
        }
        "dirs" => {
            let status = service.status.read();
            format!(
                "datadir_size: {}\nlogdir_size: {}\n",
                status.data_dir_bytes, status.log_dir_bytes
            )
        }
        "dump" => dump(service),
        "envi" => envi(),
        "wchs" => {
            let (connections, paths, total) = service.watches.lock().data_summary();
            format!("{connections} connections watching {paths} paths\nTotal watches:{total}\n")
        }
        "wchp" => watches_by_path(service),
        "wchc" => watches_by_session(service),
        "hash" => {
            let db = service.database.read();
            format!("{:#x}: {:x}\n", db.last_processed().0, db.digest())
        }
        // Trace masks steer Java's log alone.
        _ => "0".to_owned(),
    }
}

/// Source: `StatCommand.java`, `ServerStats.java` toString.
fn srvr(service: &Service, serving: Serving, clients: bool) -> String {
    let mut out = format!("Zookeeper version: {FULL_VERSION}\n");
    if serving == Serving::ReadOnly {
        out.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    if clients {
        out.push_str("Clients:\n");
        service.each_connection(|connection| describe(connection, true, &mut out));
        out.push('\n');
    }
    let (zxid, nodes) = {
        let db = service.database.read();
        (db.last_processed(), commands::java_node_count(&db))
    };
    let latency = service.stats.latency();
    let _ = write!(
        out,
        "Latency min/avg/max: {}/{:?}/{}\nReceived: {}\nSent: {}\nConnections: {}\nOutstanding: {}\nZxid: {zxid}\nMode: {}\nNode count: {nodes}\n",
        latency.min_ms,
        latency.average_ms(),
        latency.max_ms,
        service.stats.packets_received(),
        service.stats.packets_sent(),
        service.connection_count(),
        service.stats.outstanding(),
        serving.as_str(),
    );
    if serving == Serving::Leader {
        let (last, min, max) = service.status.read().proposal_bytes;
        let _ = writeln!(out, "Proposal sizes last/min/max: {last}/{min}/{max}");
    }
    out
}

/// Source: `ServerCnxn.java` dumpConnectionInfo.
fn describe(connection: &Connection, brief: bool, out: &mut String) {
    let state = connection.state.lock();
    let info = &state.info;
    let interest = u8::from(state.phase == Phase::Open);
    let _ = write!(
        out,
        " /{}[{interest}](queued={},recved={},sent={}",
        commands::java_address(connection.peer),
        state.outstanding(),
        info.received,
        info.sent
    );
    if !brief && state.session.0 != 0 {
        let ms = |time: Option<std::time::SystemTime>| {
            time.and_then(|time| time.duration_since(UNIX_EPOCH).ok())
                .map_or(0, |since| since.as_millis())
        };
        let _ = write!(
            out,
            ",sid={},lop={},est={},to={}",
            state.session,
            info.last_op,
            ms(Some(connection.established)),
            state.timeout_ms
        );
        if info.last_cxid >= 0 {
            let _ = write!(out, ",lcxid={:#x}", info.last_cxid);
        }
        let average = info.latency.total_ms.checked_div(info.latency.count);
        let _ = write!(
            out,
            ",lzxid={:#x},lresp={},llat={},minlat={},avglat={},maxlat={}",
            info.last_zxid.0,
            ms(info.last_response),
            info.last_latency_ms,
            info.latency.min_ms,
            average.unwrap_or(0),
            info.latency.max_ms
        );
    }
    out.push_str(")\n");
}

fn cons(service: &Service) -> String {
    let mut out = String::new();
    service.each_connection(|connection| describe(connection, false, &mut out));
    out.push('\n');
    out
}

/// Source: `MonitorCommand.java`.
fn mntr(service: &Service, serving: Serving) -> String {
    let mut out = format!(
        "zk_version\t{FULL_VERSION}\nzk_server_state\t{}\n",
        serving.as_str()
    );
    for (name, value) in commands::metrics(service) {
        let _ = writeln!(out, "zk_{name}\t{value}");
    }
    out
}

/// Source: `ZooKeeperServer.java` and `QuorumZooKeeperServer.java` dumpConf.
fn conf(service: &Service) -> String {
    let mut out = String::new();
    for (key, value) in &service.configuration() {
        let _ = writeln!(out, "{key}={value}");
    }
    let status = service.status.read();
    if !status.config_text.is_empty() {
        let _ = write!(out, "membership: \n{}", status.config_text);
    }
    out
}

/// Source: `DumpCommand.java`, `LearnerSessionTracker.java` dumpSessions, `DataTree.java`
/// dumpEphemerals.
fn dump(service: &Service) -> String {
    let mut out = String::from("SessionTracker dump:\n");
    let db = service.database.read();
    let mut sessions: Vec<_> = db.sessions().iter().collect();
    sessions.sort_unstable();
    let _ = writeln!(out, "Global Sessions({}):", sessions.len());
    for (session, timeout_ms) in sessions {
        let _ = writeln!(out, "{session}\t{timeout_ms}ms");
    }
    let mut owners: Vec<_> = db.tree.sessions_with_ephemerals().collect();
    owners.sort_unstable();
    out.push_str("ephemeral nodes dump:\n");
    let _ = writeln!(out, "Sessions with Ephemerals ({}):", owners.len());
    for owner in owners {
        let _ = writeln!(out, "{owner}:");
        for path in db.tree.ephemerals(owner) {
            let _ = writeln!(out, "\t{path}");
        }
    }
    drop(db);
    out.push_str("Connections dump:\n");
    service.each_connection(|connection| describe(connection, true, &mut out));
    out
}

/// Source: `EnvCommand.java`; what is a property of the Java machine is left out.
fn envi() -> String {
    let mut out = String::from("Environment:\n");
    for (key, value) in commands::environment() {
        let _ = writeln!(out, "{key}={value}");
    }
    out
}

/// Source: `WatchManager.java` dumpWatches.
fn watches_by_path(service: &Service) -> String {
    let sessions = commands::sessions_by_connection(service);
    let mut out = String::new();
    for (path, conns) in service.watches.lock().data_by_path() {
        let _ = writeln!(out, "{path}");
        for session in conns.filter_map(|conn| sessions.get(&conn)) {
            let _ = writeln!(out, "\t{session}");
        }
    }
    out.push('\n');
    out
}

fn watches_by_session(service: &Service) -> String {
    let sessions = commands::sessions_by_connection(service);
    let mut out = String::new();
    for (conn, paths) in service.watches.lock().data_by_conn() {
        let Some(session) = sessions.get(&conn) else {
            continue;
        };
        let _ = writeln!(out, "{session}");
        for path in paths {
            let _ = writeln!(out, "\t{path}");
        }
    }
    out.push('\n');
    out
}
