use super::*;
use crate::limits::{APP_CONFIG_LEN_MAX, APP_MEMORY_LEN, APP_TIME};
use crate::policy::Fallback;
use crate::policy::phase::Phase;
use crate::work::sandbox::settings::{Allow, Isolation, Limits};

/// The application `filter` in a directory: its manifest and other files.
fn app(manifest: &str, files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("filter");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(MANIFEST), manifest).unwrap();
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
    parent
}

const MODULE: (&str, &[u8]) = ("filter.wasm", b"\0asm");

fn read_app(manifest: &str, files: &[(&str, &[u8])]) -> Result<Described, Vec<String>> {
    let parent = app(manifest, files);
    let within = format!("{}/filter/", parent.path().display());
    let told = |problem: &Problem| problem.to_string().replace(&within, "");
    read(&parent.path().join("filter")).map_err(|problems| problems.iter().map(told).collect())
}

fn described(manifest: &str) -> Described {
    read_app(manifest, &[MODULE]).unwrap()
}

fn mistakes(manifest: &str) -> Vec<String> {
    read_app(manifest, &[MODULE]).unwrap_err()
}

/// The manifest of the article that the interface is known by.
#[test]
fn a_router_and_a_fallback_are_a_manifest() {
    let text = "# Declare what kind of queries the app handles.\nrouter = [\n# The app is responsible for \
                all the AS112 IP prefixes.\n\"dst in { 192.31.196.0/24 192.175.48.0/24 2001:4:112::/48 \
                2620:4f:8000::/48 }\",\n]\n# If the app fails to handle the query, servfail should be \
                returned.\nfallback_action = \"fail\"\n";
    let app = described(text);
    let Manifest { name, router, fallback, order, isolation, phases, limits, allow, config, .. } =
        app.manifest;
    assert_eq!((name.as_str(), fallback, order, isolation), ("filter", Fallback::Fail, 100, Isolation::App));
    assert_eq!(phases, [Phase::Request]);
    assert!(router[0].text.starts_with("dst in { 192.31.196.0/24") && router.len() == 1);
    assert!(router[0].place.ends_with("filter/app.toml:4:1"), "{router:?}");
    assert_eq!((limits.memory, limits.time, limits.in_flight), (APP_MEMORY_LEN, APP_TIME, 1024));
    assert_eq!((allow, config), (Allow::default(), b"{}".to_vec()));
    assert_eq!(app.module, b"\0asm");
}

#[test]
fn every_key_is_for_something() {
    let text = "name = 'filter'\nabi = 1\nmodule = 'sub/m.wasm'\nrouter = ['any']\nfallback_action = \
                'native'\norder = -3\nisolation = 'query'\nphases = ['done', 'reply', 'done']\n[limits]\n\
                memory = '1MiB'\ntime = '2ms'\ninstances = 1\nin_flight = 0\nqueue = 9\nupstreams = 2\n\
                log_lines = 0\n\
                restart = '500ms..1h'\n[allow]\nforward = ['lan', '192.0.2.53']\nresolve = true\ngeo = true\n\
                cache_purge = ['Example.COM']\nsockets = ['/run/a.sock']\nmetrics = ['x_total']\n\
                files = ['list']\nauthoritative = true\n[config]\nlist = 'file:list'\nn = [1, 2.5, true]\n\
                [config.deep]\nat = 2026-01-02\n";
    let parent = app(text, &[("list", b"one\ntwo\n")]);
    let dir = parent.path().join("filter");
    fs::create_dir(dir.join("sub")).unwrap();
    fs::write(dir.join("sub/m.wasm"), "module").unwrap();
    let Described { manifest, module, forward, resolve } = read(&dir).unwrap();
    assert_eq!(module, b"module");
    let Manifest { name, place, fallback, order, isolation, phases, limits, allow, config, .. } = manifest;
    assert_eq!((name.as_str(), fallback, order), ("filter", Fallback::Native, -3));
    assert!(place.ends_with("app.toml:1:8"), "{place}");
    assert_eq!((isolation, phases), (Isolation::Query, vec![Phase::Reply, Phase::Done]));
    let ms = std::time::Duration::from_millis;
    let wanted = Limits {
        memory: 1 << 20,
        time: ms(2),
        in_flight: 0,
        queue: 9,
        upstreams: 2,
        log_lines: 0,
        restart: (ms(500), ms(3_600_000)),
    };
    assert_eq!(limits, wanted);
    let wanted = Allow {
        forward: vec!["lan".to_owned(), "192.0.2.53".to_owned()],
        resolve: true,
        geo: true,
        cache_purge: vec![(*b"\x07example\x03com\0").into()],
        sockets: vec!["/run/a.sock".into()],
        metrics: vec!["x_total".to_owned()],
        authoritative: true,
    };
    assert_eq!(allow, wanted);
    let places: Vec<_> = forward.iter().map(|one| one.place.rsplit_once('/').unwrap().1.to_owned()).collect();
    assert_eq!(places, ["app.toml:19:12", "app.toml:19:19"]);
    assert!(resolve.unwrap().ends_with("app.toml:20:11"));
    let wanted = r#"{"deep":{"at":"2026-01-02"},"list":"one\ntwo\n","n":[1,2.5,true]}"#;
    assert_eq!(String::from_utf8(config).unwrap(), wanted);
}

/// The manifest, and of each mistake where it stands and the beginning of what is told.
const MISTAKES: &[(&str, &[&str])] = &[
    ("roter = []", &["app.toml:1:1: unknown key `roter`; did you mean `router`?"]),
    (
        "[limit]\n[allow]\nfowrard = []\n[limits]\nmemori = 1",
        &[
            "app.toml:1:2: unknown key `limit`; did you mean `limits`?",
            "app.toml:3:1: unknown key `fowrard`; did you mean `forward`?",
            "app.toml:5:1: unknown key `memori`; did you mean `memory`?",
        ],
    ),
    ("name = 'another'", &["app.toml:1:8: the directory is called `filter`; give both the same name"]),
    ("name = 'Filter'", &["app.toml:1:8: `Filter` is not a name; give 1 to 32 lower-case letters"]),
    ("name = 'none'", &["app.toml:1:8: `none` is what else is counted as; choose another name"]),
    ("abi = 2", &["app.toml:1:7: this node has version 1 of the interface, and not `2`"]),
    ("module = '../x.wasm'", &["app.toml:1:10: `../x.wasm` is not a file in the directory of its manifest"]),
    ("module = '/x.wasm'", &["app.toml:1:10: `/x.wasm` is not a file in the directory"]),
    ("module = ''", &["app.toml:1:10: `` is not a file in the directory"]),
    ("module = 'x.wasm'", &["app.toml:1:10: the module x.wasm cannot be read (No such file"]),
    ("sha256 = 'abc'", &["app.toml:1:10: `abc` is not a SHA-256; give 64 hexadecimal digits"]),
    ("router = 'any'", &["app.toml:1:10: invalid type: string \"any\", expected a list"]),
    ("fallback_action = 'servfail'", &["app.toml:1:19: `servfail` is not a valid value; give \"fail\""]),
    ("order = 1.5", &["app.toml:1:9: invalid type: floating point `1.5`, expected a whole number"]),
    ("order = 99999999999", &["app.toml:1:9: `99999999999` is out of range"]),
    ("isolation = 'none'", &["app.toml:1:13: `none` is not a valid value; give \"app\" or \"query\""]),
    (
        "phases = ['request', 'route', 'requst']",
        &[
            "app.toml:1:22: what it has of the phase `route` is its `router`",
            "app.toml:1:31: `requst` is not a phase; give \"request\"",
        ],
    ),
    ("[limits]\nmemory = '64KiB'", &["app.toml:2:10: `64KiB` is out of range; give 128KiB to 256MiB"]),
    ("[limits]\nmemory = 4", &["app.toml:2:10: `4` is not a size; give a number with B"]),
    ("[limits]\ntime = '1s'", &["app.toml:2:8: `1s` is out of range; give 1ms to 100ms"]),
    ("[limits]\ninstances = 2", &["app.toml:2:13: `2` is out of range"]),
    ("[limits]\nqueue = 0", &["app.toml:2:9: `0` is out of range; give a whole number from 1 to 16384"]),
    ("[limits]\nin_flight = -1", &["app.toml:2:13: `-1` is out of range"]),
    ("[limits]\nrestart = '1s'", &["app.toml:2:11: `1s` is not two times such as \"1s..60s\""]),
    ("[limits]\nrestart = '2s..1s'", &["app.toml:2:11: `2s..1s` begins with the longer time"]),
    ("[allow]\nresolve = 'yes'", &["app.toml:2:11: invalid type: string \"yes\", expected a boolean"]),
    ("[allow]\nforward = ['a', 'a']", &["app.toml:2:17: `a` is listed twice; remove one"]),
    ("[allow]\ncache_purge = ['a..b']", &["app.toml:2:16: `a..b` has an empty label"]),
    ("[allow]\nsockets = ['run/a']", &["app.toml:2:12: `run/a` is not a whole path"]),
    ("[allow]\nsockets = ['/run/../a']", &["app.toml:2:12: `/run/../a` is not a whole path"]),
    (
        "[allow]\nmetrics = ['a-b', '1a']",
        &["app.toml:2:12: `a-b` is not the name", "app.toml:2:19: `1a` is not"],
    ),
    ("[config]\nlist = 'file:x'", &["app.toml:2:8: `x` is not allowed to be read; list it in `files`"]),
    (
        "[allow]\nfiles = ['x']\n[config]\na = ['file:x', nan]",
        &["app.toml:4:6: `x` cannot be read: No such file", "app.toml:4:16: `NaN` cannot be said in JSON"],
    ),
    ("config = 1", &["app.toml:1:10: `config` is not a section"]),
    ("name = ", &["app.toml:1:8: TOML syntax error"]),
];

#[test]
fn each_mistake_has_its_place_and_says_what_to_do() {
    for (text, wanted) in MISTAKES {
        let told = mistakes(text);
        assert_eq!(told.len(), wanted.len(), "{text}: {told:#?}");
        for (told, wanted) in told.iter().zip(*wanted) {
            assert!(told.starts_with(wanted), "{text}\n{told}\n{wanted}");
        }
    }
    let told = read_app("[allow]\nfiles = ['x']\n[config]\na = 'file:x'", &[MODULE, ("x", b"\xff")]);
    assert!(told.unwrap_err()[0].starts_with("app.toml:4:5: `x` is not UTF-8"));
    let long = vec![b'x'; APP_CONFIG_LEN_MAX + 1];
    let told = read_app("[allow]\nfiles = ['x']\n[config]\na = 'file:x'", &[MODULE, ("x", &long)]);
    assert!(told.unwrap_err()[0].starts_with("app.toml:4:5: `x` is longer than the 1048576 bytes"));
    let half = vec![b'x'; 600_000];
    let text = "[allow]\nfiles = ['x', 'y']\n[config]\na = 'file:x'\nb = 'file:y'";
    let told = read_app(text, &[MODULE, ("x", &half), ("y", &half)]).unwrap_err();
    let is_told = told[0].starts_with("app.toml:3:1: has 1200015 bytes as JSON, over the limit of 1048576");
    assert!(is_told, "{told:?}");
    let told = read_app(text, &[MODULE, ("x", &half), ("y", b"")]);
    assert!(told.is_ok_and(|app| app.manifest.config.len() == 600_015), "one of them fits");
}

#[test]
fn a_module_is_the_one_that_is_meant() {
    let empty = hexadecimal(digest(&SHA256, b"\0asm").as_ref());
    assert_eq!(described(&format!("sha256 = '{empty}'")).module, b"\0asm");
    assert_eq!(described(&format!("sha256 = '{}'", empty.to_uppercase())).module, b"\0asm");
    let told = mistakes(&format!("# one\nsha256 = '{}'", "0".repeat(64)));
    assert!(
        told[0].starts_with("app.toml:2:10: the module filter.wasm is not the one that is meant: it has ")
    );
    assert!(told[0].contains(&empty), "{told:?}");
    let told = read_app("", &[]).unwrap_err();
    assert!(told[0].starts_with("app.toml: the module filter.wasm cannot be read (No such file"), "{told:?}");
}

#[test]
fn applications_are_numbered_by_order_and_name() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("c", "order = 1"), ("b", ""), ("a", ""), (".hidden", "?")] {
        let path = dir.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join(MANIFEST), text).unwrap();
        fs::write(path.join(format!("{name}.wasm")), "").unwrap();
    }
    fs::write(dir.path().join("README"), "no application").unwrap();
    let names = |dir: &Path| -> Vec<String> {
        read_dir(dir).unwrap().into_iter().map(|app| app.manifest.name).collect()
    };
    assert_eq!(names(dir.path()), ["c", "a", "b"]);
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("b/app.toml"), "x = 1").unwrap();
    let told: Vec<String> = read_dir(dir.path()).unwrap_err().iter().map(ToString::to_string).collect();
    assert!(told[0].contains("b/app.toml:1:1: unknown key `x`"), "{told:?}");
    assert!(told[1].contains("d/app.toml: cannot be read (No such file"), "{told:?}");
    let told = read_dir(Path::new("/nowhere/apps.d")).unwrap_err();
    assert!(told[0].to_string().starts_with("/nowhere/apps.d: cannot be read (No such file"), "{told:?}");
    let many = tempfile::tempdir().unwrap();
    for n in 0..=APPS_MAX {
        fs::create_dir(many.path().join(n.to_string())).unwrap();
    }
    assert!(read_dir(many.path()).unwrap_err()[0].message.starts_with("has more than 32 applications"));
}

/// The application of docs/apps.md is what the page shows.
#[test]
fn the_example_of_the_page_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let dir = root.join("examples/apps/block");
    let manifest = fs::read_to_string(dir.join(MANIFEST)).unwrap();
    let page = fs::read_to_string(root.join("apps.md")).unwrap();
    let shown = manifest.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    assert!(page.contains(&format!("```toml\n{shown}\n```")), "{shown}");
    let manifest = parse(&manifest, &dir).unwrap();
    assert_eq!(manifest.config, br#"{"list":"ads.example.com\ntracker.example.com\n"}"#);
}

//------------ The example file ---

/// The example with every key made live.
fn uncommented() -> String {
    let is_key = |text: &str| {
        text.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', '`', ':'])) && !text.ends_with('.')
    };
    let live = |line: &'static str| line.strip_prefix("# ").filter(|text| is_key(text)).unwrap_or(line);
    EXAMPLE.lines().map(live).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_says_the_defaults() {
    let parent = app("", &[MODULE]);
    let read = |text| parse(text, &parent.path().join("filter")).unwrap();
    let (example, default) = (read(EXAMPLE), read(""));
    assert_eq!(example, default);
}

#[test]
fn the_example_holds_every_key_and_each_is_right() {
    let text = uncommented();
    // The digest is of another module.
    let told = mistakes(&text);
    assert!(told.len() == 1 && told[0].contains("is not the one that is meant"), "{told:?}\n{text}");
    let example: toml::Table = text.parse().unwrap();
    for section in ["", "limits", "allow"] {
        let key = if section.is_empty() { "\"?\" = 1".to_owned() } else { format!("[{section}]\n\"?\" = 1") };
        let told = &mistakes(&key)[0];
        let (_, known) = told.rsplit_once("known keys: ").unwrap_or_else(|| panic!("{told}"));
        let table = if section.is_empty() { &example } else { example[section].as_table().unwrap() };
        for key in known.split(", ") {
            assert!(table.contains_key(key), "[{section}] lacks {key}");
        }
    }
}

/// Corrupts the example in one to four places, as a typing error would, and reads it.
#[test]
fn damage_never_panics_and_every_message_is_one_line_with_a_place() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(112);
    let mut state: u64 = seed;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let parent = app("", &[MODULE, ("block.txt", b"")]);
    let dir = parent.path().join("filter");
    let whole: Vec<char> = [&uncommented(), "\nlist = 'file:block.txt'"].concat().chars().collect();
    let strokes: Vec<char> = "[]{}=\"'`#.,:-_ \n\t\\x0é9".chars().collect();
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..2000 {
        let mut text = whole.clone();
        for _ in 0..=random(4) {
            let at = random(text.len());
            match random(3) {
                0 => drop(text.remove(at)),
                1 => text[at] = strokes[random(strokes.len())],
                _ => text.insert(at, strokes[random(strokes.len())]),
            }
        }
        let text: String = text.into_iter().collect();
        let Err(problems) = parse(&text, &dir) else {
            taken += 1;
            continue;
        };
        refused += 1;
        assert!(!problems.is_empty());
        for problem in problems {
            let place =
                problem.place.strip_prefix("app.toml:").unwrap_or_else(|| panic!("{seed}: {problem}"));
            let numbers = place.split(':').filter_map(|number| number.parse::<usize>().ok());
            assert!(numbers.count() == 2 && !problem.message.contains('\n'), "{seed}: {problem}");
        }
    }
    assert!(refused > 300 && taken > 50, "{refused} {taken}");
}
