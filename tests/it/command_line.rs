//! Wrong uses of the real binary: one clear sentence on stderr, what to do, and an exit code.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support::process::finished;

/// Runs `subcast` in a folder of its own; its exit code and what it says on stderr.
fn refused(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subcast"));
    command
        .args(arguments)
        .current_dir(folder)
        .env("PATH", folder)
        .env("NO_COLOR", "1")
        .env_remove("SUBCAST_COMPONENTIZE_PY")
        .env("SUBCAST_SANDBOX_CACHE_DIR", folder.join("cache"));
    let output = finished(&mut command);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_port_that_is_taken_is_told_before_modules_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let (code, said) = refused(folder.path(), &["serve", "missing.wasm", "--listen", &address]);
    assert_eq!(code, 1);
    assert!(said.starts_with(&format!("error: {address} is in use by another program")), "{said}");
    assert!(said.contains("choose another port with --listen"), "{said}");
    drop(other);
    let (code, said) = refused(folder.path(), &["serve", "missing.wasm", "--listen", &address]);
    assert_eq!((code, said.contains("missing.wasm")), (1, true), "{said}");
}

#[test]
fn what_is_no_module_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("resolvers.py"), "print('hello')").unwrap();
    std::fs::write(folder.path().join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    std::fs::write(folder.path().join("other.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    for (module, problem) in [
        ("missing.wasm", "was not found; `subcast build resolvers.py -o missing.wasm`"),
        ("missing.py", "was not found; modules are components"),
        ("resolvers.py", "subcast build"),
        ("core.wasm", "subcast build"),
        ("other.wasm", "subcast build"),
    ] {
        for command in [&["serve", module, "--listen", "127.0.0.1:0"][..], &["inspect", module]] {
            let (code, said) = refused(folder.path(), command);
            assert_eq!(code, 1, "{command:?}: {said}");
            assert!(
                said.starts_with("error: ") && said.contains(module) && said.contains(problem),
                "{command:?}: {said}"
            );
            assert_eq!(said.trim_end().lines().count(), 1, "{command:?}: {said}");
        }
    }
}

#[test]
fn a_build_without_the_tool_or_the_source_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = refused(folder.path(), &["build", "resolvers.py"]);
    assert_eq!((code, said.contains("resolvers.py does not exist")), (1, true), "{said}");
    std::fs::write(folder.path().join("resolvers.py"), "").unwrap();
    let (code, said) = refused(folder.path(), &["build", "resolvers.py"]);
    assert_eq!((code, said.contains("pip install 'componentize-py==")), (1, true), "{said}");
}

#[test]
fn a_wrong_command_line_or_configuration_is_a_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = refused(folder.path(), &["serve"]);
    assert_eq!((code, said.contains("no module to serve")), (2, true), "{said}");
    let (code, said) = refused(folder.path(), &["serve", "m.wasm", "--port", "1"]);
    assert_eq!((code, said.contains("unexpected argument '--port'")), (2, true), "{said}");
    std::fs::write(folder.path().join("subcast.toml"), "[server]\nlissten = \"127.0.0.1:0\"\n").unwrap();
    let (code, said) = refused(folder.path(), &["serve", "m.wasm"]);
    assert_eq!((code, said.contains("subcast.toml:2") && said.contains("lissten")), (1, true), "{said}");
}
