//! The table of pains leads to tests that are there.

use std::fs;
use std::path::Path;

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn each_of_the_twenty_one_pains_names_tests_that_exist() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(project.join("docs/pains.md")).expect("the table");
    let mut text = String::new();
    for folder in ["src", "tests", "server/src", "server/tests"] {
        sources(&project.join(folder), &mut text);
    }
    let mut pains = 0;
    for row in table.lines() {
        let number = row.split('|').nth(1).unwrap_or_default().trim();
        if number.parse::<u32>().is_err() {
            continue;
        }
        pains += 1;
        // A test is a sentence; a path, a field or a file is none.
        let names: Vec<&str> = row
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.matches('_').count() > 3)
            .collect();
        assert!(!names.is_empty() || row.contains("the same four"), "{row}");
        for name in names {
            let function = format!("fn {name}(");
            // The end-to-end cases are named by strings.
            let case = format!("\"{name}\"");
            assert!(
                text.contains(&function) || text.contains(&case),
                "no test is named {name}"
            );
        }
    }
    assert_eq!(pains, 21);
}
