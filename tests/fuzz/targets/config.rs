//! Any text as a configuration file: it is described or refused, with every problem at a place inside the text, and
//! nothing panics. What is right once is right again, and means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::config::file::parse;

fuzz_target!(|text: &str| {
    let files = [("fuzz.yaml".to_owned(), text.to_owned())];
    match parse(&files) {
        Ok(loaded) => {
            let again = parse(&files).expect("what is right once is right again");
            assert_eq!(loaded.gateway, again.gateway);
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a word");
            let lines = text.split(['\n', '\r']).count() + 1;
            for problem in problems {
                assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{problem}");
                assert!(!problem.to_string().contains('\n'), "{problem}");
            }
        }
    }
});
