//! The deterministic simulation of an ensemble: `zab::Zab` as the server runs it, on a network,
//! disks and clocks that a seed decides.
//!
//! The server's own sources of the consensus are compiled into this package, which is all that it
//! needs of the server: so it is built optimised in no time, with debug assertions.
//!
//! `SIMULATION_SEEDS=N` lives through more seeds, `SIMULATION_FIRST=N` begins elsewhere,
//! `SIMULATION_SEED=S` replays one and prints all that happens.

#[path = "../../src/ids.rs"]
pub mod ids;
#[path = "../../src/zab/mod.rs"]
pub mod zab;

#[cfg(test)]
mod checks;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod duties;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod lives;
#[cfg(test)]
mod member;
#[cfg(test)]
mod network;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod random;
#[cfg(test)]
mod reconfigure;
#[cfg(test)]
mod roster;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod spec;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod tally;
#[cfg(test)]
mod world;
