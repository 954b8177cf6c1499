#![no_main]

#[path = "../decoders/mod.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoders::credentials(bytes));
