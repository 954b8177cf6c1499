//! The cases, each with an ensemble of its own.

mod failing;
mod layouts;
mod local_sessions;
mod moving;
mod observing;
mod reconfiguring;
mod synchronizing;
mod weighing;

use crate::Outcome;
use crate::environment::Environment;
use std::future::Future;
use std::pin::Pin;

/// What a case has to say when it went well.
type Told = Pin<Box<dyn Future<Output = Outcome<String>>>>;

/// A case by its name.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Whether the short form has it too.
    pub(crate) short: bool,
    pub(crate) run: Box<dyn Fn(Environment) -> Told + Send>,
}

impl Case {
    fn new<F, T>(name: impl Into<String>, short: bool, run: F) -> Self
    where
        F: Fn(Environment) -> T + Send + 'static,
        T: Future<Output = Outcome<String>> + 'static,
    {
        Case {
            name: name.into(),
            short,
            run: Box::new(move |environment| Box::pin(run(environment))),
        }
    }
}

/// All of them, in the order in which they run.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = layouts::cases();
    cases.extend(local_sessions::cases());
    cases.extend(synchronizing::cases());
    cases.extend(failing::cases());
    cases.extend(moving::cases());
    cases.extend(reconfiguring::cases());
    cases.extend(weighing::cases());
    cases.extend(observing::cases());
    cases
}
