//! Any text as a path and as a host: the normal form is final, begins with a slash, and holds nothing that servers read as
//! a step up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::config::listener::PathReading;
use sluice::router::{host, path};

fuzz_target!(|input: (bool, bool, &str)| {
    let (keeps_slashes, rejects_encoded_slash, text) = input;
    let reading = PathReading { keeps_slashes, rejects_encoded_slash };
    if let Ok(once) = path::normalise(text, reading) {
        assert!(once.starts_with('/') && once.is_ascii());
        assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
        assert!(keeps_slashes || !once.contains("//"));
        assert_eq!(path::normalise(&once, reading).as_deref(), Ok(once.as_ref()));
    }
    if let Ok(found) = host::normalise(text) {
        let again = host::normalise(&found.name).expect("a host stays one");
        assert_eq!((again.name.as_ref(), again.port), (found.name.as_ref(), None));
        assert!(!found.name.bytes().any(|byte| byte.is_ascii_uppercase() || byte <= b' ' || byte == b'/' || byte == b'@'));
    }
});
