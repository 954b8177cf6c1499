//! Every kind of write through every member of mixed ensembles, and all trees equal in the end.

use super::Case;
use crate::Outcome;
use crate::ensemble::Ensemble;
use crate::environment::Environment;
use crate::member::Flavor;
use crate::sessions;
use crate::tree::assert_equal_everywhere;
use crate::workload::{outlive, write_everything};

/// The last voter leads; small letters observe.
const LAYOUTS: [(&str, bool); 10] = [
    ("JSJ", true),
    ("JJS", true),
    ("SJJ", false),
    ("SSJ", false),
    ("SJS", false),
    ("JSS", true),
    ("JSJsj", false),
    ("SJSjs", false),
    ("SJSJJ", false),
    ("JSJSS", false),
];

pub(super) fn cases() -> Vec<Case> {
    LAYOUTS
        .into_iter()
        .map(|(layout, short)| {
            let leader = match layout.chars().rfind(char::is_ascii_uppercase) {
                Some('J') => Flavor::Java,
                _ => Flavor::Ours,
            };
            Case::new(
                format!("layout {layout}, {leader} leads"),
                short,
                move |environment| run(environment, layout),
            )
        })
        .collect()
}

async fn run(environment: Environment, layout: &'static str) -> Outcome<String> {
    let mut ensemble = Ensemble::start(&environment, layout, "")?;
    let told = exercise(&mut ensemble).await;
    if told.is_err() {
        ensemble.explain();
    }
    told
}

async fn exercise(ensemble: &mut Ensemble) -> Outcome<String> {
    let mut alive = Vec::new();
    for member in &ensemble.members {
        alive.push(write_everything(member, "first").await?);
    }
    let moves = sessions::move_through_all(ensemble).await?;
    sessions::leave_connections_behind(ensemble)?;
    sessions::expire_at_each(ensemble).await?;
    outlive(ensemble).await?;
    let nodes = assert_equal_everywhere(ensemble).await?;
    // Whoever leads next, and whoever comes back, has the same tree.
    let leader = ensemble.leader()?;
    ensemble.members[leader].terminate()?;
    let next = ensemble.leader()?;
    ensemble.members[leader].start()?;
    ensemble.wait_until_all_serve()?;
    for member in &ensemble.members {
        alive.push(write_everything(member, "second").await?);
    }
    let more = assert_equal_everywhere(ensemble).await?;
    Ok(format!(
        "{nodes} nodes equal at all members, {more} after member {} led; a session moved {moves} times",
        ensemble.members[next].id
    ))
}
