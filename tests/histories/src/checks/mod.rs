//! What must hold of a history, each sentence in a file of its own. Every check gives its breaches,
//! and none where all is well.

pub mod ending;
pub mod linear;
pub mod order;
pub mod sessions;
pub mod watches;
pub mod writes;

use crate::history::History;
use writes::Writes;

/// Breaches told of one check at most: the first says what is wrong.
const TOLD_MAX: usize = 5;

/// Everything that can be checked from what clients wrote down, but for linearizability, which
/// [`linear`] leaves to a checker of its own.
#[must_use]
pub fn check(history: &History) -> Vec<String> {
    let writes = Writes::of(history);
    let mut breaches = history
        .clients
        .iter()
        .flat_map(|client| client.breaches.clone())
        .collect::<Vec<_>>();
    breaches.truncate(TOLD_MAX);
    for found in [
        writes.contradictions.clone(),
        order::check(history),
        order::check_reads(history, &writes),
        sessions::check(history, &writes),
        watches::check(history, &writes),
        ending::check_sequence(history),
    ] {
        breaches.extend(found.into_iter().take(TOLD_MAX));
    }
    breaches
}
