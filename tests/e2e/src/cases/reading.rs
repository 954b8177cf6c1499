//! A client that shares no code with ours: kazoo.

use crate::Outcome;
use crate::suite::Suite;
use crate::wait::ensure;
use crate::writer::verify;
use std::fs::OpenOptions;
use std::io::Write;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let ensemble = suite.ensemble()?;
    let mut writer = suite.writer(&ensemble, "reading", 400)?;
    writer.await_progress(600)?;
    let journal = writer.journal.clone();
    suite.finish(writer, &ensemble)?;
    suite.leave_in_peace()?;

    // The judge is judged: one promise that nobody made must be missed.
    let invented = r#"{"e":"ack","t":0,"seq":900000000,"op":"create","path":"c/n900000000","zxid":"0x7fffffff00000000"}"#;
    let appended = OpenOptions::new()
        .append(true)
        .open(&journal)
        .and_then(|mut file| writeln!(file, "{invented}"));
    appended.map_err(|error| format!("append to {}: {error}", journal.display()))?;
    match verify(&suite.environment, &journal, &ensemble.members, None) {
        Ok(_) => Err("the verification did not miss a write that nobody made".to_owned()),
        Err(missed) => {
            let told = ensemble
                .members
                .iter()
                .all(|member| missed.contains(&format!("{}: c/n900000000", member.pod)));
            ensure(told, || {
                format!("the verification failed for another reason: {missed}")
            })
        }
    }
}
