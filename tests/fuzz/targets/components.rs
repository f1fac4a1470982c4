//! Hands libFuzzer's inputs to `fuzz::components`.

#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::components(bytes));
