//! Maps a guest's handles to tensors. The engine checks that a guest uses only its own handles; this table gives their
//! meanings, in slots that are reused. Depends only on `kernels::op`.

use kernels::op::TensorId;

#[derive(Debug)]
pub struct Handles {
    slots: Vec<Option<TensorId>>,
    free: Vec<u32>,
    limit: usize,
}

/// An unknown handle, or one handle too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// All allowed handles are in use.
    #[error("{limit} handles are held; drop some first")]
    Full {
        /// The number of allowed handles.
        limit: usize,
    },
    /// The handle was dropped, or never given out.
    #[error("handle {0} stands for nothing; it was dropped")]
    Stale(u32),
}

impl Handles {
    /// A table for at most `limit` handles.
    pub fn new(limit: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), limit: limit.min(u32::MAX as usize) }
    }

    /// Gives out a handle for `id`.
    pub fn push(&mut self, id: TensorId) -> Result<u32, HandleError> {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(id);
            return Ok(slot);
        }
        if self.slots.len() >= self.limit {
            return Err(HandleError::Full { limit: self.limit });
        }
        self.slots.push(Some(id));
        Ok(self.slots.len() as u32 - 1)
    }

    /// The tensor of a handle.
    pub fn get(&self, handle: u32) -> Result<TensorId, HandleError> {
        self.slots.get(handle as usize).copied().flatten().ok_or(HandleError::Stale(handle))
    }

    /// Drops a handle and returns its tensor.
    pub fn delete(&mut self, handle: u32) -> Result<TensorId, HandleError> {
        let id = self.slots.get_mut(handle as usize).and_then(Option::take).ok_or(HandleError::Stale(handle))?;
        self.free.push(handle);
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_used_again_and_mean_nothing_when_dropped() {
        let mut handles = Handles::new(2);
        let (a, b) = (handles.push(TensorId(7)).unwrap(), handles.push(TensorId(8)).unwrap());
        assert_eq!(handles.push(TensorId(9)), Err(HandleError::Full { limit: 2 }));
        assert_eq!((handles.get(a), handles.delete(a)), (Ok(TensorId(7)), Ok(TensorId(7))));
        assert_eq!((handles.get(a), handles.delete(a)), (Err(HandleError::Stale(a)), Err(HandleError::Stale(a))));
        assert_eq!((handles.push(TensorId(9)), handles.get(b)), (Ok(a), Ok(TensorId(8))));
        assert_eq!(handles.get(99), Err(HandleError::Stale(99)));
    }
}
