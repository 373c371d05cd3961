//! From targets to scripts, by name and on a real file system.

use std::fs;
use std::path::Path;

use mio_fcgi::cgi::{Forbidden, Invalid, Resolution, Script, ScriptMap};
