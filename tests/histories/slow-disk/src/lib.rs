//! A disk that is slow whenever a test wants it to be: loaded before a program (`LD_PRELOAD`), it
//! takes the place of the C library's `fsync` and `fdatasync`. Before each it waits for as many
//! milliseconds as the file named by `SLOW_DISK` says at that moment.

use std::time::Duration;

/// The file's name is here.
const VARIABLE: &str = "SLOW_DISK";

/// As `fsync(2)`, later.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(file: libc::c_int) -> libc::c_int {
    wait();
    // SAFETY: the call takes a number, and answers with an error for one that is no open file.
    let result = unsafe { libc::syscall(libc::SYS_fsync, file) };
    libc::c_int::try_from(result).unwrap_or(-1)
}

/// As `fdatasync(2)`, later.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(file: libc::c_int) -> libc::c_int {
    wait();
    // SAFETY: the call takes a number, and answers with an error for one that is no open file.
    let result = unsafe { libc::syscall(libc::SYS_fdatasync, file) };
    libc::c_int::try_from(result).unwrap_or(-1)
}

fn wait() {
    let delay_ms = std::env::var_os(VARIABLE)
        .and_then(|file| std::fs::read_to_string(file).ok())
        .and_then(|text| text.trim().parse().ok());
    if let Some(delay_ms) = delay_ms.filter(|delay_ms| *delay_ms > 0) {
        std::thread::sleep(Duration::from_millis(delay_ms));
    }
}
