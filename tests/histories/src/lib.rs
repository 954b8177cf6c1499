//! Real ensembles under faults, and the histories that their clients bring home.
//!
//! Members are processes of the server, each in a network namespace of its own, so that a partition
//! is a partition: packets that don't arrive. Clients write down what they asked and what they
//! were told; the checks read that alone. `docs/histories.md` says what is checked.

pub mod checks;
pub mod client;
pub mod codec;
pub mod ensemble;
pub mod environment;
pub mod history;
pub mod member;
pub mod membership;
pub mod nemesis;
pub mod network;
pub mod random;
pub mod wire;
pub mod workload;

/// What a step came to: an error is a sentence for a person.
pub type Outcome<T = ()> = Result<T, String>;
