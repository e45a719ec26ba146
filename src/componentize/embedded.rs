//! The SDK and the contract, as part of this binary.

use include_dir::{Dir, File, include_dir};

static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/guest-python/subcast_guest");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/wit");

/// The SDK's files, in a fixed order. Whatever else lay in its folder when we were compiled (caches) is left out.
pub(super) fn sdk() -> Vec<&'static File<'static>> {
    files(&SDK, "py")
}

/// The contract's files, in a fixed order.
pub(super) fn wit() -> Vec<&'static File<'static>> {
    files(&WIT, "wit")
}

fn files(dir: &'static Dir<'static>, extension: &str) -> Vec<&'static File<'static>> {
    let mut found: Vec<_> =
        dir.files().filter(|file| file.path().extension().is_some_and(|it| it == extension)).collect();
    found.extend(dir.dirs().flat_map(|inner| files(inner, extension)));
    found.sort_by_key(|file| file.path());
    found
}
