//! What is tried with a manifest: it is refused with places, or consistent.

use std::path::Path;

use as112d::config::apps::parse;

/// A manifest. Whether it was taken.
pub fn manifests(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let problems = match parse(text, Path::new("/nowhere/apps.d/filter")) {
        Ok(manifest) => {
            assert_eq!(manifest.name, "filter");
            assert!(manifest.module.starts_with("/nowhere/apps.d/filter"), "{:?}", manifest.module);
            assert!(manifest.limits.restart.0 <= manifest.limits.restart.1);
            assert!(manifest.allow.sockets.iter().all(|path| path.is_absolute()));
            return true;
        }
        Err(problems) => problems,
    };
    assert!(!problems.is_empty());
    for problem in problems {
        let place = problem.place.strip_prefix("app.toml").expect("the file");
        let numbers = place.split(':').skip(1).map(str::parse::<usize>).collect::<Result<Vec<_>, _>>();
        assert!(numbers.is_ok_and(|numbers| [0, 2].contains(&numbers.len())), "{problem}");
        assert!(!problem.message.is_empty() && !problem.message.contains('\n'), "{problem}");
    }
    false
}
