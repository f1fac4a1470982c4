//! Hands libFuzzer's inputs to `fuzz::answers`.

#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::answers(bytes));
