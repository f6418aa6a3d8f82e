//! The configuration's promises: defaults are valid, Redis's words are translated or refused,
//! mistakes name their place.

use super::*;

fn words(values: &[&str]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.as_bytes().to_vec()).collect()
}

fn set(name: &str, values: &[&str]) -> Result<Config, String> {
    let mut config = Config::new();
    config.set(name, &words(values), Place::Flag).map_err(|error| error.to_string())?;
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

fn refusal(name: &str, values: &[&str]) -> String {
    set(name, values).expect_err("the value is refused")
}

#[test]
fn the_defaults_are_durable_and_local() {
    let config = Config::new();
    assert_eq!(config.port, 6379);
    assert_eq!(config.durability, node::Durability::Local);
    assert_eq!(config.bind.len(), 2);
    assert!(config.bind[1].optional);
    assert_eq!(config.wal_segment_size, base::limits::SEGMENT_SIZE);
}

#[test]
fn directives_are_sorted_and_unique() {
    let names: Vec<_> = DIRECTIVES.iter().map(|directive| directive.name).collect();
    assert!(names.is_sorted_by(|one, next| one < next));
}

#[test]
fn redis_words_for_durability_are_translated_or_refused() {
    let everysec = set("appendfsync", &["everysec"]).expect("is a level");
    assert_eq!(everysec.durability, node::Durability::Memory);
    assert!(refusal("appendfsync", &["no"]).contains("no mode without a flush"));
    assert!(refusal("appendonly", &["no"]).contains("no mode without a log"));
    assert!(set("appendonly", &["yes"]).is_ok());
}

#[test]
fn values_out_of_range_are_refused() {
    assert!(refusal("port", &["0"]).contains("between 1 and 65535"));
    assert!(refusal("port", &["x"]).contains("not a number"));
    assert!(refusal("cores", &["0"]).contains("between 1 and 1024"));
    assert!(refusal("slices", &["12"]).contains("8 and 16 are"));
    assert!(refusal("slices", &["2048"]).contains("between 1 and 1024"));
    assert!(refusal("bind", &["nowhere"]).contains("not an IP address"));
    assert!(refusal("wal-segment-size", &["5000"]).contains("multiple of 4096"));
    assert!(refusal("frobnicate", &["1"]).contains("not a directive"));
}

#[test]
fn the_level_may_not_be_below_the_floor() {
    let mut config = Config::new();
    config.set("durability-floor", &words(&["local"]), Place::Flag).expect("is a level");
    config.set("durability", &words(&["memory"]), Place::Flag).expect("is a level");
    assert!(config.check().is_err());
}

#[test]
fn a_mistake_in_a_file_names_its_line() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("toroid.conf");
    std::fs::write(&path, "# comment\nport 7000\n\nrequirepass \"a b\"\nbogus 1\n")
        .expect("the file can be written");
    let mut config = Config::new();
    let error = config.read_file(&path).expect_err("bogus is unknown").to_string();
    assert!(error.contains("line 5"), "{error}");
    assert!(error.contains(">>> 'bogus 1'"), "{error}");
    assert_eq!(config.port, 7000);
    assert_eq!(config.requirepass.as_deref(), Some(&b"a b"[..]));
}

#[test]
fn every_value_shown_can_be_set_again() {
    let shown = Config::new().values();
    let mut config = Config::new();
    for (name, value) in &shown {
        let values = match value.is_empty() {
            true => vec![Vec::new()],
            false => file::words(value).expect("shown values are well formed"),
        };
        config.set(name, &values, Place::Flag).expect("shown values are valid");
    }
    assert_eq!(config.values(), shown);
}

#[test]
fn there_are_no_more_cores_than_slices() {
    let mut config = Config::new();
    config.set("slices", &words(&["4"]), Place::Flag).expect("a power of two");
    config.set("cores", &words(&["4"]), Place::Flag).expect("in range");
    assert_eq!(config.check(), Ok(()));
    config.set("cores", &words(&["5"]), Place::Flag).expect("in range");
    let error = config.check().expect_err("a core would have no slice").to_string();
    assert!(error.contains("lower cores"), "{error}");
}

#[test]
fn what_was_made_in_the_image_of_a_directive_keeps_it_until_the_next_start() {
    for directive in DIRECTIVES {
        let is_fixed = ["bind", "cores", "dir", "port", "slices"].contains(&directive.name);
        assert!(!is_fixed || directive.change == Change::AtStart, "{}", directive.name);
    }
}

/// Red when a directive is declared that the documentation does not have. UPDATE_DOCS=1 writes it.
#[test]
fn the_documentation_lists_every_directive() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let wanted = documentation();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).expect("the documentation can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == wanted, "run: UPDATE_DOCS=1 cargo test the_documentation_lists");
}

fn documentation() -> String {
    let mut text = "# Directives\n\nThis page is generated from the declarations: `UPDATE_DOCS=1 \
                    cargo test the_documentation_lists` writes it.\n\nA directive is a line of \
                    the configuration file, a flag of `toroid serve`, and a name of CONFIG GET. \
                    What CONFIG SET can change says so.\n\n* **takes effect**: it does what it \
                    says.\n* **states**: the value is what Toroid does anyway; no other is \
                    accepted, and the refusal says why.\n* **is kept**: accepted and shown for \
                    tools that set it; it changes nothing yet.\n\n"
        .to_owned();
    text.push_str("| Directive | Default | Effect | Change | Meaning |\n|---|---|---|---|---|\n");
    let mut rows = Vec::new();
    let cell = |text: &str| format!("`{}`", if text.is_empty() { "\"\"" } else { text });
    for directive in DIRECTIVES {
        let setting = node::Setting::find(directive.name.as_bytes());
        let change = if setting.is_some() { "CONFIG SET" } else { "at the start" };
        let (name, doc) = (directive.name, directive.doc);
        let default = cell(directive.default);
        rows.push(format!("| `{name}` | {default} | takes effect | {change} | {doc} |"));
    }
    for setting in node::SETTINGS {
        let name = setting.name;
        if DIRECTIVES.iter().any(|directive| directive.name == name) {
            continue;
        }
        let effect = match setting.effect {
            node::Effect::Takes => "takes effect",
            node::Effect::States => "states",
            node::Effect::Nothing => "is kept",
        };
        let alias = setting.alias.map(|alias| format!(" (`{alias}`)")).unwrap_or_default();
        let default = cell(&setting.default_value());
        let doc = setting.doc;
        rows.push(format!("| `{name}`{alias} | {default} | {effect} | CONFIG SET | {doc} |"));
    }
    rows.sort();
    for row in rows {
        text.push_str(&row);
        text.push('\n');
    }
    text
}

/// Red when a setting of the node is not read from the file or is not checked there.
#[test]
fn settings_of_the_node_are_read_and_checked() {
    let config = set("maxmemory", &["1gb"]).expect("is a size");
    assert_eq!(config.given, [("maxmemory".to_owned(), b"1gb".to_vec())]);
    assert!(set("client-output-buffer-limit", &["normal", "0", "0", "0"]).is_ok());
    assert!(refusal("maxmemory-policy", &["some"]).contains("must be one of"));
    assert!(refusal("cluster-enabled", &["yes"]).contains("cluster mode is not there yet"));
}
