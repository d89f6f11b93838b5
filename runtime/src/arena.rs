//! The step's arena: scratch memory that is free again when the step ends.

use bumpalo::Bump;

/// A step larger than this gives its memory back instead of keeping it (a guess: four times L1).
const KEPT_BYTES: usize = 128 * 1024;

/// Bump-allocated memory that lives for one step of a subtask.
///
/// Reached through [`Context::arena`](crate::Context::arena). Everything in it is forgotten at
/// once when the step ends, without running destructors; nothing of it can leave the step:
///
/// ```compile_fail
/// use slotflow_runtime::{Arena, Context, Operator, Output, Owned};
/// struct Keeps(Option<&'static [u8]>);
/// impl Operator<Owned<u64>> for Keeps {
///     type Out = Owned<u64>;
///     fn process<'s>(&mut self, n: u64, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) {
///         self.0 = Some(ctx.arena().copy_bytes(&n.to_le_bytes())); // lives only for 's
///         out.push(n, ctx);
///     }
/// }
/// ```
#[derive(Default)]
pub struct Arena {
    bump: Bump,
}

impl Arena {
    /// An empty arena; memory is taken from the system at the first use.
    pub fn new() -> Arena {
        Arena::default()
    }

    /// Copies `bytes` into the arena.
    pub fn copy_bytes(&self, bytes: &[u8]) -> &[u8] {
        self.bump.alloc_slice_copy(bytes)
    }

    /// Copies `text` into the arena.
    pub fn copy_str(&self, text: &str) -> &str {
        self.bump.alloc_str(text)
    }

    /// Builds a slice of `length` items, each from its index.
    ///
    /// ```
    /// # use slotflow_runtime::Arena;
    /// let arena = Arena::new();
    /// let line = b"abc";
    /// assert_eq!(arena.slice_with(line.len(), |i| line[i].to_ascii_uppercase()), b"ABC");
    /// ```
    pub fn slice_with<T: Copy>(&self, length: usize, item: impl FnMut(usize) -> T) -> &[T] {
        self.bump.alloc_slice_fill_with(length, item)
    }

    /// Moves `value` into the arena; its destructor will not run.
    pub fn keep<T>(&self, value: T) -> &mut T {
        self.bump.alloc(value)
    }

    /// The allocator itself, for bumpalo's own collections.
    pub fn bump(&self) -> &Bump {
        &self.bump
    }

    /// Forgets everything. One outlier does not inflate the arena for ever.
    pub(crate) fn reset(&mut self) {
        if self.bump.allocated_bytes() > KEPT_BYTES {
            self.bump = Bump::new();
        } else {
            self.bump.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_is_given_back() {
        let mut arena = Arena::new();
        arena.slice_with(KEPT_BYTES + 1, |_| 0u8);
        arena.reset();
        assert_eq!(arena.bump().allocated_bytes(), 0);
    }

    #[test]
    fn a_usual_step_keeps_its_memory() {
        let mut arena = Arena::new();
        arena.copy_bytes(&[0; 100]);
        let before = arena.bump().allocated_bytes();
        arena.reset();
        assert_eq!(arena.bump().allocated_bytes(), before);
    }
}
