//! What the repository promises about itself.

mod layering;
