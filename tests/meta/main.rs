//! What the repository promises about itself: which module may import which, what public types can do, what errors and
//! logs say, which words are used, which test proves which case, and that each planted fault can still be planted.

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
mod variants;
mod words;
