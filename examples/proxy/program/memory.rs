//! Memory goes back to the system when a crowd of clients has gone.
//!
//! The allocator of glibc keeps what was freed, unless it lies at the end of the heap, and there is usually something
//! small behind it. So a process would stay as large as the largest crowd has made it.

/// Gives memory back after a crowd.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The most clients since memory was given back.
    most: usize,
}

impl Memory {
    /// Call it once per turn with the number of clients.
    pub(crate) fn note_clients(&mut self, clients: usize) {
        self.most = self.most.max(clients);
        // After each half of a crowd: walking the heap takes some milliseconds.
        if self.most >= CROWD && clients <= self.most / 2 {
            self.most = clients;
            trim();
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    #[expect(unsafe_code, reason = "there is no safe function for it")]
    // SAFETY: malloc_trim(3) may be called at any time by any thread, and changes no memory that is in use.
    let _ = unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

/// What the memory of fewer clients takes is not worth it.
const CROWD: usize = 128;
