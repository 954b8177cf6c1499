//! A pass without changes writes nothing.

use crate::Outcome;
use crate::ensemble::NAME;
use crate::objects;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use std::time::Duration;

/// Longer than two of the operator's rounds of 30 s.
const PEACE: Duration = Duration::from_secs(65);

pub(super) fn case(suite: &mut Suite) -> Outcome {
    suite.ensemble()?;
    suite.leave_in_peace()?;
    let idle = suite.idle.clone().ok_or("the ensemble was left in peace")?;
    until("the operator has gone round twice", PEACE * 2, || {
        let passes =
            crate::operator::passes(&suite.kube, &suite.environment)?.saturating_sub(idle.passes);
        let passed = idle.since.elapsed();
        if passes >= 2 && passed >= PEACE {
            note!("  {passes} passes in {:.0} s", passed.as_secs_f32());
            Ok(())
        } else {
            Err(format!("{passes} passes in {} s", passed.as_secs()))
        }
    })?;
    let now = objects::owned(&suite.kube, NAME)?;
    ensure(now.len() >= 10, || {
        let names: Vec<_> = now.keys().collect();
        format!("too few objects were found to say anything: {names:?}")
    })?;
    let written = objects::written(&idle.objects, &now);
    ensure(written.is_empty(), || {
        format!(
            "these were written to in {} s of peace: {written:?}",
            idle.since.elapsed().as_secs()
        )
    })
}
