//! `subcast new`: a folder to begin with, which builds and serves as it is.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::Failure;
use super::output;

/// Each file with its content.
const FILES: [(&str, &str); 4] = [
    ("resolvers.py", include_str!("new/resolvers.py")),
    ("schema.graphql", include_str!("new/schema.graphql")),
    ("subcast.toml", include_str!("new/subcast.toml")),
    ("README.md", include_str!("new/README.md")),
];

/// What to do next; the same as in the README.
const NEXT: &str = r#"pip install 'componentize-py==0.25.*'
subcast build resolvers.py
subcast serve

in a second terminal:
  subcast subscribe http://127.0.0.1:8000 'subscription { userUpdated(id: "123") { name email } }'

in a third:
  subcast publish http://127.0.0.1:8000 --channel users --type userUpdated \
      --data '{"id": "123", "name": "Alice Smith", "email": "alice@example.com"}'"#;

/// Write a folder to begin with: resolvers, schema, configuration, README
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder; made if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = &arguments.folder;
    write(folder)?;
    output::line(format_args!("wrote {} to {}", FILES.map(|(name, _)| name).join(", "), folder.display()))?;
    output::line("\nnext:")?;
    if folder != Path::new(".") {
        output::line(format_args!("  cd {}", quoted(folder)))?;
    }
    NEXT.lines().try_for_each(|line| output::line(format!("  {line}").trim_end()))
}

/// Writes all files, or, if one of them is there already, none.
fn write(folder: &Path) -> Result<(), Failure> {
    if let Some((name, _)) = FILES.iter().find(|(name, _)| folder.join(name).symlink_metadata().is_ok()) {
        return Err(refusal(&folder.join(name)));
    }
    fs::create_dir_all(folder)
        .map_err(|error| Failure::failed(format!("failed to make {}: {error}", folder.display())))?;
    for (name, content) in FILES {
        let path = folder.join(name);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()));
        written.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => refusal(&path),
            _ => Failure::failed(format!("failed to write {}: {error}", path.display())),
        })?;
    }
    Ok(())
}

fn refusal(path: &Path) -> Failure {
    Failure::failed(format!("{} exists already, and nothing is overwritten; name another folder", path.display()))
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if !text.starts_with('-') && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::config::{Config, Overrides};

    #[test]
    fn the_files_are_written_once_and_the_configuration_holds() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        write(&folder).unwrap();
        let file = folder.join("subcast.toml");
        let config = Config::load(Some(&file), std::iter::empty(), Overrides::default()).unwrap();
        assert_eq!(config.modules[0].path, Some(folder.join("resolvers.wasm")));

        fs::write(folder.join("resolvers.py"), "mine").unwrap();
        fs::remove_file(folder.join("README.md")).unwrap();
        let Err(Failure::Failed(refused)) = write(&folder) else { panic!("it was overwritten") };
        assert!(refused.contains("resolvers.py exists already"), "{refused}");
        assert_eq!(fs::read_to_string(folder.join("resolvers.py")).unwrap(), "mine");
        assert!(!folder.join("README.md").exists());
    }

    #[test]
    fn the_readme_shows_the_next_commands() {
        let readme = FILES[3].1;
        for line in NEXT.lines().map(str::trim).filter(|line| line.starts_with("subcast") || line.starts_with("--")) {
            assert!(readme.contains(line), "{line}");
        }
    }

    #[test]
    fn folders_are_quoted_for_the_shell() {
        assert_eq!(quoted(Path::new("a/b-c")), "a/b-c");
        assert_eq!(quoted(Path::new("it's here")), r"'it'\''s here'");
    }
}
