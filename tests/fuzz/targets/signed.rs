//! Hands libFuzzer's inputs to `fuzz::signed`.

#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::signed(bytes));
