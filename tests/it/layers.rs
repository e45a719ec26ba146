//! The layers of `docs/architecture.md`, checked: a module imports only from lower layers, and names that belong to one
//! place stay there.

use std::fs;
use std::path::{Path, PathBuf};

const LAYERS: &[&[&str]] = &[
    &[
        "ids",
        "event",
        "position",
        "principal",
        "outcome",
        "manifest",
        "pace",
        "text",
        "number",
        "digest",
        "budget",
        "footprint",
        "fault",
    ],
    &["graphql", "protocol", "policy"],
    &["sandbox", "bus", "outbox", "auth", "componentize", "tasks", "throttle", "aside", "supervision"],
    &["modules"],
    &["registry"],
    &["delivery", "session"],
    &["deploy"],
    &["runtime"],
    &["server"],
    &["cli"],
    &["python"],
];

/// A crate's name, and the modules that may use it.
const BORDERS: &[(&str, &[&str])] = &[
    ("wasmtime", &["sandbox"]),
    ("wasmtime_wasi", &["sandbox"]),
    ("hyper", &["server"]),
    ("hyper_util", &["server"]),
    ("tokio_tungstenite", &["server"]),
    ("apollo_compiler", &["graphql"]),
    ("cel", &["policy"]),
    ("clap", &["cli"]),
    ("jsonwebtoken", &["auth"]),
    ("pyo3", &["python"]),
];

/// What layer 1 must not know: time, tasks, locks, I/O.
const IMPURE: &[&str] =
    &["tokio", "parking_lot", "std::fs", "std::net", "std::sync::Mutex", "Instant::now", "SystemTime"];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Each source file with the top-level module that it belongs to, comments and tests left out.
fn modules() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let read: Vec<(PathBuf, String)> =
        files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    let tests: Vec<PathBuf> = read.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    read.into_iter()
        .filter(|(path, _)| !tests.iter().any(|test| path.starts_with(test) || *path == test.with_extension("rs")))
        .filter_map(|(path, text)| {
            let relative = path.strip_prefix(&root).unwrap();
            let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
            let module = first.trim_end_matches(".rs").to_owned();
            let is_root = module == "lib" || module == "main";
            let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            (!is_root).then(|| (module, relative.to_string_lossy().into_owned(), code.join("\n")))
        })
        .collect()
}

/// The modules that a file declares for tests alone, as paths without `.rs`.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match path.file_name() {
        Some(name) if name == "mod.rs" || name == "lib.rs" => path.parent().unwrap().to_owned(),
        _ => path.with_extension(""),
    };
    let declared = text.split("#[cfg(test)]\nmod ").skip(1);
    // `mod tests { … }` is no file of its own.
    let named =
        declared.filter_map(|rest| rest.split_once(';')).map(|(name, _)| name).filter(|name| !name.contains(' '));
    named.map(|name| folder.join(name)).collect()
}

/// The top-level modules that follow `crate::` in the code, `crate::{a, b}` included.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let word =
            |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0_i32;
            let mut start = 0;
            for (index, c) in list.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => {
                        found.push(word(&list[start..index]));
                        break;
                    }
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.push(word(&list[start..index]));
                        start = index + 1;
                    }
                    _ => {}
                }
            }
        } else {
            found.push(word(rest));
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// Every upward edge of the given files, as text.
fn upward_edges(files: &[(String, String, String)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (module, file, code) in files {
        let Some(own) = layer_of(module) else {
            wrong.push(format!("{file}: module `{module}` belongs to no layer; add it to LAYERS"));
            continue;
        };
        for import in imports(code) {
            if import != *module && layer_of(&import).is_none_or(|layer| layer > own) {
                wrong.push(format!("{file}: layer {own} imports crate::{import}"));
            }
        }
    }
    wrong
}

#[test]
fn no_module_imports_from_a_higher_layer() {
    let files = modules();
    assert!(files.len() > 30, "only {} files found", files.len());
    let wrong = upward_edges(&files);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_upward_edge_is_found() {
    let file = |module: &str, code: &str| (module.to_owned(), format!("{module}.rs"), code.to_owned());
    assert_eq!(upward_edges(&[file("graphql", "use crate::event::Event;")]), Vec::<String>::new());
    assert_eq!(upward_edges(&[file("graphql", "use crate::sandbox::Module;")]).len(), 1);
    assert_eq!(upward_edges(&[file("bus", "use crate::{event::{Event, Channel}, delivery::Delivery};")]).len(), 1);
    assert_eq!(upward_edges(&[file("elsewhere", "")]).len(), 1);
}

#[test]
fn names_stay_behind_their_border() {
    let mut wrong = Vec::new();
    for (module, file, code) in modules() {
        for (name, allowed) in BORDERS {
            let named = code
                .match_indices(&format!("{name}::"))
                .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
            if named && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{file} names {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pure_layer_knows_no_time_no_task_no_lock_and_no_file() {
    let mut wrong = Vec::new();
    for (module, file, code) in modules() {
        if layer_of(&module) == Some(1) {
            wrong.extend(IMPURE.iter().filter(|name| code.contains(**name)).map(|name| format!("{file} names {name}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tasks_are_spawned_in_one_place() {
    let spawning = |code: &str| code.contains("tokio::spawn(") || code.contains("task::spawn(");
    let wrong: Vec<_> = modules()
        .into_iter()
        .filter(|(module, _, code)| module != "tasks" && spawning(code))
        .map(|(_, file, _)| file)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
