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
