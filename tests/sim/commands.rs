//! The commands of the embedder for one request.

use mio_fcgi::StdinError;

use crate::far::{pattern, stdin_of};
use crate::run::World;

impl World<'_> {
    pub(crate) fn pause(&mut self, tag: u64) {
        if let Some(request) = self.model.requests.get_mut(&tag) {
            request.pauses.begin(self.network.elapsed());
            self.engine.pause(self.network.now(), request.handle);
        }
    }

    pub(crate) fn resume(&mut self, tag: u64) {
        if let Some(request) = self.model.requests.get_mut(&tag) {
            if request.pauses.end(self.network.elapsed()) {
                request.resumed = self.network.elapsed();
            }
            self.engine.resume(self.network.now(), request.handle);
        }
    }

    pub(crate) fn push(&mut self, tag: u64, len: usize) -> Result<(), String> {
        let Some(request) = self.model.requests.get_mut(&tag) else {
            return Ok(());
        };
        let declared = request.declared();
        let most = match declared {
            // Every second request offers too many bytes.
            Some(declared) if tag.is_multiple_of(2) => len.min(declared - request.pushed),
            _ => len,
        };
        let bytes = pattern(stdin_of(tag), request.pushed..request.pushed + most);
        let engine = &mut self.engine;
        let is_written = self.far.borrow_mut().is_written(tag, request.pushed as u64);
        match self.network.write_stdin(engine, request.handle, &bytes) {
            Ok(taken) if taken <= bytes.len() => {
                if is_written && taken > 0 {
                    request.writes_since = self.network.elapsed();
                }
                request.pushed += taken;
                request.wants_room |= taken < bytes.len();
            }
            Ok(taken) => return Err(format!("took {taken} of {most}")),
            Err(StdinError::TooLong { .. }) if declared < Some(request.pushed + most) => {}
            // The `End` of the request may be queued.
            Err(StdinError::Gone | StdinError::NotPushed | StdinError::BodyTooLarge { .. }) => {}
            Err(StdinError::Finished) if request.finished => {}
            Err(error) => return Err(format!("tag {tag}: {error}")),
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self, tag: u64) -> Result<(), String> {
        let Some(request) = self.model.requests.get_mut(&tag) else {
            return Ok(());
        };
        match self.engine.finish_stdin(self.network.now(), request.handle) {
            Ok(()) => request.finished = true,
            Err(StdinError::TooShort { .. }) if Some(request.pushed) < request.declared() => {}
            Err(StdinError::Gone | StdinError::NotPushed) => {}
            Err(StdinError::Finished) if request.finished => {}
            Err(error) => return Err(format!("tag {tag}: {error}")),
        }
        Ok(())
    }
}
