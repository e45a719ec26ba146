//! Panics that tests plant, to see what they cost. A build without debug assertions, such as any release, has none of this.

/// A place where a panic can be planted. `text` tells one passage from another, so that a test meets its own alone.
#[inline]
pub fn point(place: &str, text: &str) {
    #[cfg(debug_assertions)]
    planted::pass(place, text);
    #[cfg(not(debug_assertions))]
    let _ = (place, text);
}

/// Plants a panic for the next passage of `place` whose text contains `mark`.
#[cfg(debug_assertions)]
pub fn plant(place: &str, mark: &str) {
    planted::plant(place, mark);
}

#[cfg(debug_assertions)]
mod planted {
    use std::sync::LazyLock;

    use parking_lot::Mutex;

    /// Places with marks. Processes of their own are given one by `SUBCAST_TEST_FAULT=PLACE=MARK`.
    static PLANTED: LazyLock<Mutex<Vec<(String, String)>>> = LazyLock::new(|| {
        let given = std::env::var("SUBCAST_TEST_FAULT").unwrap_or_default();
        let fault = given.split_once('=').map(|(place, mark)| (place.to_owned(), mark.to_owned()));
        Mutex::new(fault.into_iter().collect())
    });

    pub(super) fn plant(place: &str, mark: &str) {
        PLANTED.lock().push((place.to_owned(), mark.to_owned()));
    }

    pub(super) fn pass(place: &str, text: &str) {
        let mut planted = PLANTED.lock();
        let found = planted.iter().position(|(at, mark)| at == place && text.contains(mark.as_str()));
        if let Some(found) = found {
            planted.swap_remove(found);
            drop(planted);
            panic!("planted at {place}");
        }
    }
}
