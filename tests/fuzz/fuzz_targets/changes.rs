#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    mio_fcgi_fuzz::changes(input);
});
