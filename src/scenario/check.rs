//! Settings held against each other.

use super::document::Place;
use super::settings::Settings;
use crate::diagnostic::Problems;

pub(super) fn settings(_settings: &Settings, _at: &Place, _problems: &mut Problems) {}
