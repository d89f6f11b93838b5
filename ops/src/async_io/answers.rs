//! The way back of answers: from the executor's threads to the slot.
//!
//! 1. Each attempt has a [`Reply`], which its future owns. Answering uses it up.
//! 2. A reply that is dropped unused says so: the future has panicked, or its executor has dropped it. No record waits
//!    for ever for an answer that nobody will give.
//! 3. An answer is put into the queue first, counted second, and the slot is woken last. The slot reads the count
//!    before it sleeps (`slot/park.rs` has the fences), so it finds what was counted.
//! 4. The slot takes no more than it has counted. What is in the queue and not counted yet wakes it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use slotflow_runtime::slot::Waker;

/// What one attempt came to.
pub(super) struct Answer<U> {
    /// Where the record waits.
    pub(super) place: usize,
    /// Which attempt of all it was.
    pub(super) attempt: u64,
    pub(super) outcome: Result<U, String>,
}

/// How many answers have come that were not taken, and who is to be woken.
struct Bell {
    count: AtomicUsize,
    waker: Waker,
}

/// Where one subtask's answers arrive.
pub(super) struct Answers<U> {
    queue: Receiver<Answer<U>>,
    back: Sender<Answer<U>>,
    bell: Arc<Bell>,
}

impl<U> Answers<U> {
    pub(super) fn new(waker: Waker) -> Self {
        let (back, queue) = mpsc::channel();
        Answers { queue, back, bell: Arc::new(Bell { count: AtomicUsize::new(0), waker }) }
    }

    /// What an attempt is answered with.
    pub(super) fn reply(&self, place: usize, attempt: u64) -> Reply<U> {
        Reply { place, attempt, back: Some(self.back.clone()), bell: self.bell.clone() }
    }

    /// Whether there are any.
    #[inline]
    pub(super) fn any(&self) -> bool {
        // Acquire: what was counted is in the queue.
        self.bell.count.load(Ordering::Acquire) > 0
    }

    /// Takes one.
    pub(super) fn take(&self) -> Option<Answer<U>> {
        if !self.any() {
            return None;
        }
        self.bell.count.fetch_sub(1, Ordering::Relaxed);
        self.queue.try_recv().ok()
    }
}

/// How one attempt is answered, once.
pub(super) struct Reply<U> {
    place: usize,
    attempt: u64,
    /// `None` once answered.
    back: Option<Sender<Answer<U>>>,
    bell: Arc<Bell>,
}

impl<U> Reply<U> {
    pub(super) fn answer(mut self, outcome: Result<U, String>) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: Result<U, String>) {
        let Some(back) = self.back.take() else { return };
        // A job that is over has nobody left to read it.
        let _unread = back.send(Answer { place: self.place, attempt: self.attempt, outcome });
        // Release: whoever sees the count finds the answer.
        self.bell.count.fetch_add(1, Ordering::Release);
        self.bell.waker.wake();
    }
}

impl<U> Drop for Reply<U> {
    fn drop(&mut self) {
        self.send(Err("its future panicked, or its executor dropped it".into()));
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;

    use super::*;

    #[test]
    fn an_answer_is_given_once_and_a_lost_reply_is_one() {
        let answers = Answers::new(subtask().waker);
        assert!(!answers.any());
        answers.reply(3, 7).answer(Ok('a'));
        drop(answers.reply(4, 8));
        let (first, second) = (answers.take().unwrap(), answers.take().unwrap());
        assert_eq!((first.place, first.attempt, first.outcome), (3, 7, Ok('a')));
        assert!(second.outcome.unwrap_err().contains("dropped"));
        assert!(answers.take().is_none());
    }

    #[test]
    fn a_reply_outlives_its_job() {
        let answers = Answers::new(subtask().waker);
        let reply = answers.reply(0, 0);
        drop(answers);
        reply.answer(Ok(1));
    }
}
