//! The layers of a configuration, one over the other: file, environment, flags.

use super::keys::{MODULE, SECTIONS};
use super::settings::Settings;

/// What was set of all sections, and of each module in the file.
#[derive(Debug)]
pub(super) struct Layers {
    /// As [`SECTIONS`], in its order; that of modules stays empty.
    pub(super) sections: Vec<Settings>,
    /// One for each `[[module]]`.
    pub(super) modules: Vec<Settings>,
}

impl Layers {
    /// Nothing set yet.
    pub(super) fn new() -> Self {
        Self { sections: SECTIONS.iter().map(|section| Settings::new(section, None)).collect(), modules: Vec::new() }
    }

    /// A section, to read or to set.
    pub(super) fn section(&mut self, name: &str) -> &mut Settings {
        let at = SECTIONS.iter().position(|section| section.name == name);
        &mut self.sections[at.expect("sections are named by constants; a test reads them all")]
    }

    /// A module of which nothing is set.
    pub(super) fn no_module(&self) -> Settings {
        let bare = self.sections.iter().zip(SECTIONS).find(|(_, section)| section.name == MODULE);
        bare.expect("the table of keys has modules").0.clone()
    }
}
