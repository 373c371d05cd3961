//! What the repository promises about itself: which module may import which, what public types can do, what errors and
//! logs say, which words are used, which test proves which case, that each planted fault can still be planted, and that
//! the page on trust is true.

mod cases;
mod faults;
mod layering;
mod logs;
mod messages;
mod owners;
mod proxy;
mod rooms;
mod samples;
mod source;
mod statuses;
mod surface;
mod trust;
mod variants;
mod words;
