//! The reference of the configuration: a file with every key, its meaning and its preset. It is valid itself, and
//! decides nothing: what it sets is what holds anyway.

use std::fmt::Write;

use super::keys::{MODULE, Preset, SECTIONS};

const WIDTH: usize = 100;

const HEAD: &str = "\
Every key of subcast.toml. A line that sets something shows what holds without it; a line behind # shows a key that is
unset, by an example, or the beginning of a table that is not there. Durations are \"50ms\", \"3s\", \"10m\", \"1h\"; sizes
\"512B\", \"64KiB\", \"1MiB\", \"1GiB\". The environment beats the file: SUBCAST_SERVER_LISTEN sets [server] listen,
SUBCAST_DELIVERY_OUTBOX_BYTES sets outbox.bytes of [delivery]. Flags of the command line beat both. Secrets never stand
here: keys that end with _env name the environment variable that holds one.";

/// A commented file with every key.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    comment(&mut text, &HEAD.replace('\n', " "));
    for section in SECTIONS {
        text.push('\n');
        comment(&mut text, section.about);
        let head = if section.name == MODULE { "# [[module]]".to_owned() } else { format!("[{}]", section.name) };
        line(&mut text, &head);
        for key in section.keys {
            text.push('\n');
            comment(&mut text, key.about);
            match key.preset {
                Preset::Is(value) => line(&mut text, &format!("{} = {value}", key.name)),
                Preset::Within(value) | Preset::Unset(value) => line(&mut text, &format!("# {} = {value}", key.name)),
            }
        }
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

fn comment(text: &mut String, prose: &str) {
    let mut current = String::from("#");
    for word in prose.split(' ') {
        if current.chars().count() + 1 + word.chars().count() > WIDTH {
            line(text, &current);
            current = String::from("#");
        }
        current.push(' ');
        current.push_str(word);
    }
    line(text, &current);
}
