//! Hands libFuzzer's inputs to `fuzz::operations`.

#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::operations(bytes));
