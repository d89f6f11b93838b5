//! What the registry has said of things that never change: asked once, however many want to know.
//!
//! 1. Each path has a place with a lock of its own. Whoever asks holds it until the answer has come, and all others
//!    wait there: the host's threads and those on the I/O cores, never a slot.
//! 2. An answer stays in its place for good.
//! 3. What is missing may come to be. Its place is forgotten, so that only those who waited there are told; and ids of
//!    garbage, which may be any number, take no memory.
//! 4. Who could not ask leaves the place empty, and the next in line tries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slotflow_runtime::Result;

/// What stands at a path, once somebody knows: a text, or nothing.
type Place = Arc<Mutex<Option<Option<String>>>>;

/// See the file.
#[derive(Default)]
pub(super) struct Answers(Mutex<HashMap<String, Place>>);

impl Answers {
    /// The answer of `path`, for which `ask` asks if nobody has.
    ///
    /// # Errors
    /// Those of `ask`.
    pub fn known_or_asked(
        &self,
        path: &str,
        ask: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<Option<String>> {
        let place = locked(&self.0).entry(path.into()).or_default().clone();
        let mut answer = locked(&place);
        if let Some(answer) = &*answer {
            return Ok(answer.clone());
        }
        let asked = ask()?;
        if asked.is_none() {
            locked(&self.0).remove(path);
        }
        *answer = Some(asked.clone());
        Ok(asked)
    }
}

fn locked<X>(mutex: &Mutex<X>) -> MutexGuard<'_, X> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use slotflow_runtime::Error;

    use super::*;

    /// What each of eight threads is told of "/a" where one who asks waits until all the others have come.
    fn told_at_once(answers: &Answers, said: Option<&str>) -> (usize, Vec<Option<String>>) {
        let asked = AtomicUsize::new(0);
        let ask = || {
            asked.fetch_add(1, Ordering::Relaxed);
            while Arc::strong_count(&locked(&answers.0)["/a"]) < 9 {
                thread::yield_now();
            }
            Ok(said.map(String::from))
        };
        let told = thread::scope(|scope| {
            let threads = [(); 8].map(|()| scope.spawn(|| answers.known_or_asked("/a", ask).unwrap()));
            threads.map(|thread| thread.join().unwrap()).into()
        });
        (asked.load(Ordering::Relaxed), told)
    }

    #[test]
    fn all_who_want_to_know_at_once_share_one_answer_and_only_what_is_there_stays() {
        let answers = Answers::default();
        assert_eq!(told_at_once(&answers, None), (1, vec![None; 8]));
        assert!(locked(&answers.0).is_empty(), "what is missing is not remembered");
        assert_eq!(told_at_once(&answers, Some("long")), (1, vec![Some("long".into()); 8]));
        assert_eq!(
            answers.known_or_asked("/a", || Ok(None)).unwrap(),
            Some("long".into()),
            "it never changes"
        );
    }

    #[test]
    fn who_could_not_ask_leaves_it_to_the_next() {
        let answers = Answers::default();
        assert!(answers.known_or_asked("/a", || Err(Error::world("away", "start it"))).is_err());
        assert_eq!(answers.known_or_asked("/a", || Ok(Some("long".into()))).unwrap(), Some("long".into()));
    }
}
