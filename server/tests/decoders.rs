//! No bytes make a decoder panic, and what one decodes comes back from its own encoding: with the
//! corpus that the fuzz targets have gathered, and with random bytes, plain and spliced into it.

#[path = "../fuzz/decoders/mod.rs"]
mod decoders;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assume};
use proptest::test_runner::TestRunner;
use std::fs;
use std::path::Path;

type Decoder = fn(&[u8]);

const SUBJECTS: [(&str, Decoder); 7] = [
    ("requests", decoders::requests),
    ("transactions", decoders::transactions),
    ("quorum", decoders::quorum),
    ("snapshots", decoders::snapshots),
    ("logs", decoders::logs),
    ("credentials", decoders::credentials),
    ("configuration", decoders::configuration),
];

fn corpus(subject: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(subject);
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = files
        .map(|file| file.expect("a file of the corpus").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "the corpus of {subject} is empty");
    paths
        .iter()
        .map(|path| fs::read(path).expect("a file of the corpus"))
        .collect()
}

#[test]
fn every_decoder_takes_its_whole_corpus() {
    for (subject, decode) in SUBJECTS {
        for bytes in corpus(subject) {
            decode(&bytes);
        }
    }
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    for (subject, decode) in SUBJECTS {
        let mut runner = TestRunner::new(ProptestConfig::with_cases(2000));
        runner
            .run(&vec(any::<u8>(), 0..512), |bytes| {
                decode(&bytes);
                Ok(())
            })
            .unwrap_or_else(|failure| panic!("{subject}: {failure}"));
    }
}

#[test]
fn no_damage_to_good_bytes_makes_a_decoder_panic() {
    for (subject, decode) in SUBJECTS {
        let corpus = corpus(subject);
        let damage = (
            any::<proptest::sample::Index>(),
            any::<proptest::sample::Index>(),
            any::<proptest::sample::Index>(),
            vec(any::<u8>(), 0..12),
        );
        let mut runner = TestRunner::new(ProptestConfig::with_cases(2000));
        runner
            .run(&damage, |(which, from, to, put)| {
                let mut bytes = which.get(&corpus).clone();
                prop_assume!(!bytes.is_empty());
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len() + 1));
                bytes.splice(from.min(to)..from.max(to).min(from.min(to) + 12), put);
                decode(&bytes);
                Ok(())
            })
            .unwrap_or_else(|failure| panic!("{subject}: {failure}"));
    }
}
