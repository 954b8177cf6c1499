//! A seeded schedule of all faults under clients that write down everything.

use histories::Outcome;
use histories::checks::ending::common_tree;
use histories::checks::linear::Verdict;
use histories::checks::{check, ending, linear};
use histories::ensemble::{Ensemble, wait_for};
use histories::environment::Environment;
use histories::history::{History, Request, SessionEnd};
use histories::member::PATIENCE;
use histories::nemesis::{Nemesis, Suffered};
use histories::workload::Workload;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Clients at a time.
const CLIENTS: usize = 8;

/// One run on an ensemble of `members`, which come and go if they are to `change`.
pub(crate) fn run(environment: &Environment, members: usize, change: bool) -> Outcome<String> {
    let name = if change { "changing" } else { "lasting" };
    on(
        environment,
        &format!("{members}-{name}-members"),
        change,
        || Ensemble::start(environment, members),
    )
}

/// One run on an ensemble of Apache's servers and ours.
pub(crate) fn mixed(environment: &Environment, layout: &str) -> Outcome<String> {
    on(environment, layout, false, || {
        Ensemble::start_mixed(environment, layout)
    })
}

fn on(
    environment: &Environment,
    name: &str,
    change: bool,
    start: impl FnOnce() -> Outcome<Ensemble>,
) -> Outcome<String> {
    let seed = environment.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(1, |now| now.as_secs() ^ u64::from(now.subsec_nanos()))
    });
    println!("{name}, seed {seed}");
    let mut ensemble = start()?;
    let told = under_faults(environment, &mut ensemble, seed, change);
    told.map_err(|error| {
        let kept = ensemble.keep(&format!("{name}-seed-{seed}"));
        format!("{error}\nreplay with HISTORIES_SEED={seed}\n{kept}")
    })
}

fn under_faults(
    environment: &Environment,
    ensemble: &mut Ensemble,
    seed: u64,
    change: bool,
) -> Outcome<String> {
    let workload = Workload::start(ensemble.addresses(), CLIENTS, seed)?;
    let nemesis = if change {
        Nemesis::that_changes_members(seed)
    } else {
        Nemesis::new(seed)
    };
    let suffered = nemesis.torment(ensemble, &workload, environment.length)?;
    let (history, acknowledged) = finish(environment, ensemble, workload)?;
    Ok(format!(
        "seed {seed}; {}; {acknowledged}; {}",
        figures(&history),
        faults(&suffered)
    ))
}

/// Stops the clients and checks everything; gives the history and what the checker says.
pub(crate) fn finish(
    environment: &Environment,
    ensemble: &mut Ensemble,
    workload: Workload,
) -> Outcome<(History, String)> {
    ensemble.wait_until_all_serve(PATIENCE)?;
    let alive = workload.settle()?;
    let mut why = String::new();
    let tree = wait_for("one tree at all members", PATIENCE, || {
        common_tree(&ensemble.addresses(), &alive)
            .map_err(|error| why = error)
            .ok()
    });
    let history = workload.end()?;
    let tree = tree.map_err(|error| format!("{error}: {why}"))?;
    let mut breaches = check(&history);
    breaches.extend(ending::check(&history, &tree));
    let verdict = judge(environment, &history, &ensemble.dir().join("history.json"))?;
    let told = match verdict {
        Verdict::Linearizable(told) => told,
        Verdict::Not(told) => {
            breaches.push(format!("not linearizable: {told}"));
            told
        }
    };
    if breaches.is_empty() {
        Ok((
            history,
            format!("linearizable: {told}; {} nodes at all members", tree.len()),
        ))
    } else {
        Err(format!(
            "{} breaches:\n{}",
            breaches.len(),
            breaches.join("\n")
        ))
    }
}

fn judge(environment: &Environment, history: &History, file: &Path) -> Outcome<Verdict> {
    linear::judge(&environment.checker, history, file)
}

fn figures(history: &History) -> String {
    let operations = history.operations().count();
    let unknown = history
        .operations()
        .filter(|operation| operation.reply().is_none())
        .count();
    let writes = history
        .operations()
        .filter(|operation| operation.request.is_write());
    let done = writes.filter(|operation| operation.is_done()).count();
    let events: usize = history
        .clients
        .iter()
        .map(|client| client.events.len())
        .sum();
    let connections: u64 = history
        .clients
        .iter()
        .map(|client| client.connections)
        .sum();
    let ends = |wanted| {
        let sessions = history.clients.iter().flat_map(|client| &client.sessions);
        sessions.filter(|(_, end)| *end == wanted).count()
    };
    let restored = history
        .operations()
        .filter(|operation| operation.request == Request::Watches && operation.is_done())
        .count();
    format!(
        "{operations} operations, {done} writes done, {unknown} of unknown outcome; \
         {connections} connections, sessions: {} closed, {} expired, {} abandoned; \
         {events} watch events, watches restored {restored} times",
        ends(SessionEnd::Closed),
        ends(SessionEnd::Expired),
        ends(SessionEnd::Abandoned),
    )
}

fn faults(suffered: &Suffered) -> String {
    let total: u32 = suffered.faults.values().sum();
    let kinds = suffered
        .faults
        .iter()
        .map(|(fault, count)| format!("{fault} {count}"))
        .collect::<Vec<_>>()
        .join(", ");
    let changes = suffered.changes.map_or_else(String::new, |changes| {
        format!(
            "changes of members: {} done, {} refused, {} without an answer, ",
            changes.done, changes.refused, changes.unknown
        )
    });
    format!(
        "{total} faults ({kinds}), {changes}slowest recovery {:.1} s",
        suffered.slowest_recovery.as_secs_f32()
    )
}
