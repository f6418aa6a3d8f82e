//! CONFIG REWRITE: the settings in force, written into the configuration file.
//!
//! Comments, blank lines, order and directives of the start stay as they are. A setting that the
//! file has gets its value where it stands; one that changed and is not there comes at the end.
//! The new file takes the old one's place in one step, once it is durable.

use std::io::Write;
use std::path::Path;

use node::{InForce, Setting};

const HEADING: &str = "# Written by CONFIG REWRITE";

/// Writes `settings` into `file`.
pub fn rewrite(file: &Path, settings: &[InForce]) -> Result<(), String> {
    let old = std::fs::read_to_string(file)
        .map_err(|cause| format!("cannot read {}: {cause}. Check its rights", file.display()))?;
    let new = rewritten(&old, settings);
    replace(file, new.as_bytes()).map_err(|cause| {
        format!(
            "cannot write beside {}: {cause}. Check the directory's rights and space",
            file.display()
        )
    })
}

fn rewritten(old: &str, settings: &[InForce]) -> String {
    let mut new = String::new();
    let mut written: Vec<&str> = Vec::new();
    for line in old.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let known = Setting::find(name.as_bytes());
        let setting = known.and_then(|known| settings.iter().find(|one| one.name == known.name));
        match setting {
            // One line says all; what repeats the directive goes.
            Some(setting) if written.contains(&setting.name) => continue,
            Some(setting) => {
                written.push(setting.name);
                new.push_str(&line_of(setting));
            }
            None => new.push_str(line),
        }
        new.push('\n');
    }
    let mut has_heading = old.lines().any(|line| line == HEADING);
    for setting in settings {
        if setting.is_changed && !written.contains(&setting.name) {
            if !has_heading {
                new.push_str(HEADING);
                new.push('\n');
                has_heading = true;
            }
            new.push_str(&line_of(setting));
            new.push('\n');
        }
    }
    new
}

fn line_of(setting: &InForce) -> String {
    let InForce { name, value, .. } = setting;
    let is_word =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'#');
    // What has several words is read word by word; a password is one word whatever is in it.
    let is_plain = match *name {
        "requirepass" => value.bytes().all(is_word),
        _ => value.bytes().all(|byte| is_word(byte) || byte == b' '),
    };
    match is_plain && !value.is_empty() {
        true => format!("{name} {value}"),
        false => {
            let mut quoted = String::new();
            for letter in value.chars() {
                match letter {
                    '"' | '\\' => quoted.extend(['\\', letter]),
                    '\n' => quoted.push_str("\\n"),
                    '\r' => quoted.push_str("\\r"),
                    '\t' => quoted.push_str("\\t"),
                    _ => quoted.push(letter),
                }
            }
            format!("{name} \"{quoted}\"")
        }
    }
}

/// Puts a durable file of this content in the place of `file`.
fn replace(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let directory = match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".rewrite");
    let beside = directory.join(name);
    let written = (|| {
        let mut new = std::fs::File::create(&beside)?;
        new.set_permissions(std::fs::metadata(file)?.permissions())?;
        new.write_all(content)?;
        new.sync_all()?;
        std::fs::rename(&beside, file)?;
        std::fs::File::open(directory)?.sync_all()
    })();
    if written.is_err() && beside.exists() {
        // What is left of a failed attempt is of no use to anybody.
        std::fs::remove_file(&beside)?;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn in_force(name: &'static str, value: &str, is_changed: bool) -> InForce {
        InForce { name, value: value.to_owned(), is_changed }
    }

    /// Red when a comment is lost, an order changed, or an unchanged setting added.
    #[test]
    fn what_the_file_says_stays_but_for_the_values() {
        let old = "# mine\nport 7000\n\nTimeout 0\n  hz 10\ntimeout 5\n# end\n";
        let settings = [
            in_force("hz", "20", true),
            in_force("maxmemory", "0", false),
            in_force("requirepass", "a \"b\"", true),
            in_force("timeout", "9", true),
        ];
        let new = rewritten(old, &settings);
        let expected = "# mine\nport 7000\n\ntimeout 9\nhz 20\n# end\n# Written by CONFIG \
                        REWRITE\nrequirepass \"a \\\"b\\\"\"\n";
        assert_eq!(new, expected);
        assert_eq!(rewritten(&new, &settings), expected, "again changes nothing");
    }

    /// Red when what is written cannot be read, or the old file is not replaced.
    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = directory.path().join("toroid.conf");
        std::fs::write(&path, "port 7001\n").expect("the file can be written");
        let mut settings = Vec::new();
        for setting in node::SETTINGS {
            let value = setting.default_value();
            settings.push(InForce { name: setting.name, value, is_changed: true });
        }
        rewrite(&path, &settings).expect("the directory can be written");
        let mut config = Config::new();
        config.read_file(&path).expect("what was written is well formed");
        assert_eq!(config.port, 7001);
        let files = std::fs::read_dir(directory.path()).expect("it can be read").count();
        assert_eq!(files, 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let why = rewrite(Path::new("/nowhere/toroid.conf"), &[]).expect_err("it is not there");
        assert!(why.contains("/nowhere/toroid.conf"), "{why}");
    }
}
