//! What is being done, or waited for.

use crate::plan::{Action, Plan, Waiting};
use crate::reasons::Reason;

/// Whether something is under way, the reason, and a sentence.
pub(super) fn progress(plan: &Plan) -> (bool, Reason, String) {
    let restarting = !plan.stale.is_empty();
    let left = || {
        let pods: Vec<&str> = plan.stale.iter().map(|(pod, _)| pod.as_str()).collect();
        format!(
            "{} of {} members are still to be restarted: {}",
            pods.len(),
            plan.roster.members.len(),
            pods.join(", ")
        )
    };
    let changes_left = || {
        let pods: Vec<&str> = plan.changes.iter().map(|(m, _)| m.pod.as_str()).collect();
        format!("still to change: {}", pods.join(", "))
    };
    let blocked = || {
        let why: Vec<&str> = plan.refusals.iter().map(|r| r.message.as_str()).collect();
        why.join("; ")
    };
    match &plan.action {
        Action::Nothing => (
            false,
            Reason::UpToDate,
            "every member is what the spec asks for".to_owned(),
        ),
        Action::Paused => (false, Reason::Paused, "spec.paused is set".to_owned()),
        Action::Apply(objects) => {
            let names: Vec<String> = objects
                .iter()
                .map(|object| format!("{} {}", object.kind.resource().1, object.name))
                .collect();
            (
                true,
                Reason::ApplyingObjects,
                format!("writing {}", names.join(", ")),
            )
        }
        Action::DrawSuperuser => (
            true,
            Reason::DrawingSuperuser,
            "drawing the superuser's password".to_owned(),
        ),
        Action::Recreate(recreation) => (
            true,
            Reason::GrowingVolume,
            format!(
                "the StatefulSet is made again around its pods, with {} for {}",
                recreation.to, recreation.volume
            ),
        ),
        Action::HandOver(asking) => (
            true,
            Reason::HandingOver,
            format!(
                "{} leads, and is asked to hand over before it goes",
                asking.member.pod
            ),
        ),
        Action::Reconfig(reconfig) => (
            true,
            Reason::ChangingMembership,
            format!("{reconfig}; {}", changes_left()),
        ),
        Action::Wait(Waiting::Membership(pods)) => (
            true,
            Reason::ChangingMembership,
            match (pods.is_empty(), plan.refusals.is_empty()) {
                (true, _) => format!("{}; {}", changes_left(), blocked()),
                (false, true) => format!(
                    "waiting for {} to be in sync; {}",
                    pods.join(", "),
                    changes_left()
                ),
                (false, false) => format!(
                    "waiting for {}; {}; {}",
                    pods.join(", "),
                    changes_left(),
                    blocked()
                ),
            },
        ),
        Action::Wait(Waiting::Secrets(lacking)) => {
            let all: Vec<String> = lacking.iter().map(ToString::to_string).collect();
            (
                true,
                Reason::WaitingForSecret,
                format!("waiting for {}", all.join(", ")),
            )
        }
        Action::Grow(growth) => (
            true,
            Reason::GrowingVolume,
            format!(
                "volume {} grows from {} to {}",
                growth.claim, growth.from, growth.to
            ),
        ),
        Action::Restart(restart) => (
            true,
            Reason::RollingRestart,
            format!(
                "{} restarts because {}; {}",
                restart.pod,
                restart.why,
                left()
            ),
        ),
        Action::Wait(Waiting::StatefulSetNotObserved) => (
            true,
            Reason::WaitingForStatefulSet,
            "the StatefulSet controller has not seen the newest template".to_owned(),
        ),
        Action::Wait(Waiting::Members(_) | Waiting::Rollout) if restarting => (
            true,
            Reason::RollingRestart,
            format!("{}; {}", left(), blocked()),
        ),
        Action::Wait(Waiting::Members(pods)) => (
            true,
            Reason::WaitingForMembers,
            format!("waiting for {} to serve", pods.join(", ")),
        ),
        Action::Wait(Waiting::Rollout) => (true, Reason::RollingRestart, left()),
    }
}
