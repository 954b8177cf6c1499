//! The server's binary.

use std::process::ExitCode;

/// The allocator of musl, which the static build links, is slow under threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    zookeeper_server::cli::main()
}
