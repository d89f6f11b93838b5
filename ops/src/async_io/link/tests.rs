//! Tests of the link.

use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll, Waker};

use slotflow_runtime::testing::subtask;
use slotflow_runtime::{Arena, Blame, Error};

use super::*;

/// Requests by number, which the test answers in its own order.
#[derive(Clone, Default)]
struct ByHand {
    futures: Arc<Mutex<Vec<Option<Request>>>>,
    answers: Arc<Mutex<Vec<Option<std::result::Result<u64, String>>>>>,
}

impl ByHand {
    fn spawn(&self) -> impl Fn(Request) + Clone + Send + 'static {
        let futures = self.futures.clone();
        move |request| futures.lock().unwrap().push(Some(request))
    }

    /// Makes a future that is ready once its number has an answer.
    fn request(&self) -> impl FnMut(&u64) -> AnswerOf + Clone + Send + use<> {
        let answers = self.answers.clone();
        move |_| {
            answers.lock().unwrap().push(None);
            AnswerOf { number: answers.lock().unwrap().len() - 1, answers: answers.clone() }
        }
    }

    fn answer(&self, number: usize, outcome: std::result::Result<u64, String>) {
        self.answers.lock().unwrap()[number] = Some(outcome);
        let mut future = self.futures.lock().unwrap()[number].take().unwrap();
        let ended = future.as_mut().poll(&mut Poller::from_waker(Waker::noop()));
        assert_eq!(ended, Poll::Ready(()));
    }

    fn drop_request(&self, number: usize) {
        self.futures.lock().unwrap()[number] = None;
    }
}

struct AnswerOf {
    number: usize,
    answers: Arc<Mutex<Vec<Option<std::result::Result<u64, String>>>>>,
}

impl Future for AnswerOf {
    type Output = std::result::Result<u64, String>;
    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Poller<'_>) -> Poll<Self::Output> {
        self.answers.lock().unwrap()[self.number].take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Writes down what comes, with the watermark in force. Needs two calls for a watermark.
#[derive(Default)]
struct Notes {
    text: Vec<String>,
    halfway: bool,
    holds: bool,
    /// How many parts are still to fire by the clock.
    parts: usize,
}

impl Output<Owned<Outcome<u64, u64>>> for Notes {
    fn push<'s>(&mut self, outcome: Outcome<u64, u64>, ctx: &mut Context<'s>) {
        let (at, behind) = (ctx.timestamp(), ctx.watermark());
        let behind = if behind == MIN_TIMESTAMP { "-".into() } else { behind.to_string() };
        self.text.push(match outcome {
            Ok(answer) => format!("{answer}@{at}>{behind}"),
            Err(refused) => format!("!{}x{} {}", refused.record, refused.attempts, refused.cause),
        });
    }
}

impl Tail for Notes {
    fn room(&mut self) -> usize {
        usize::MAX
    }
    fn flush(&mut self, _: u64) -> Result<Flush> {
        Ok(Flush::IDLE)
    }
    fn barrier(&mut self, barrier: Barrier) {
        self.text.push(format!("#{}", barrier.id));
    }
    fn mark(&mut self, mark: LatencyMark, now_ns: u64) {
        self.text.push(format!("mark {}-{now_ns}", mark.sent_ns));
    }
    fn forward_watermark(&mut self, _: Timestamp) {}
    fn forward_idle(&mut self) {
        self.text.push("idle".into());
    }
    fn close(&mut self) {}
    fn finished(&mut self) -> bool {
        true
    }
    fn charge_blocked(&mut self, _: u64) {}
}

impl Consumer<Owned<Outcome<u64, u64>>> for Notes {
    fn watermark(&mut self, watermark: Timestamp, _: &mut Context<'_>) -> Flow {
        self.halfway = !self.halfway;
        if self.halfway {
            return Flow::More;
        }
        self.text.push(format!("|{watermark}"));
        Flow::Done
    }
    fn due_ns(&self) -> u64 {
        if self.parts > 0 { 0 } else { u64::MAX }
    }
    fn tick(&mut self, _: &mut Context<'_>) -> Flow {
        if self.parts == 0 {
            return Flow::Done;
        }
        self.text.push(format!("part {}", self.parts));
        self.parts -= 1;
        if self.parts > 0 { Flow::More } else { Flow::Done }
    }
    fn settle(&mut self, _: &mut Context<'_>) -> Flow {
        if !std::mem::take(&mut self.holds) {
            return Flow::Done;
        }
        self.text.push("held".into());
        Flow::More
    }
    fn end(&mut self, _: &mut Context<'_>) -> Flow {
        self.text.push("end".into());
        Flow::Done
    }
}

/// What a test does between two looks at what has come out.
enum Do {
    Push(u64, Timestamp),
    Watermark(Timestamp),
    Barrier(u64),
    Idle,
    /// An operator behind holds something back.
    Hold,
    /// What is behind fires in so many parts.
    Fire(usize),
    Mark(u64),
    Answer(usize, std::result::Result<u64, String>),
    Drop(usize),
    /// The clock, in milliseconds.
    At(u64),
    End,
}
use Do::{
    Answer as Reply, At, Barrier as Line, Drop as Lose, End, Fire, Hold, Idle, Mark, Push, Watermark as Time,
};

/// A link without anything under way.
fn linked<S: Fn(Request) + Clone + Send + 'static>(
    io: AsyncIo<S>,
    by_hand: &ByHand,
) -> AsyncLink<u64, u64, S, impl FnMut(&u64) -> AnswerOf + use<S>, Notes> {
    let (answers, under_way) = (Answers::new(subtask().waker), UnderWay::new(io.order));
    let caller = Caller { operator: 0, io, request: by_hand.request(), answers, under_way };
    AsyncLink { caller, rest: Notes::default(), watermark: MIN_TIMESTAMP, crossing: None }
}

/// Does all of it, lets the link be called whenever it is due, and gives what has come out.
fn run<S: Fn(Request) + Clone + Send + 'static>(io: AsyncIo<S>, by_hand: &ByHand, script: Vec<Do>) -> String {
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
    let mut link = linked(io, by_hand);
    let mut now_ns = 1;
    for step in script {
        let mut ctx = Context::new(&arena, &place, &blame, now_ns);
        match step {
            Push(record, at) => {
                ctx.set_timestamp(at);
                link.push(record, &mut ctx);
            }
            Time(at) => assert_eq!(link.watermark(at, &mut ctx), Flow::Done),
            Line(id) => link.barrier(Barrier { id }),
            Idle => link.forward_idle(),
            Hold => link.rest.holds = true,
            Fire(parts) => {
                link.rest.parts = parts;
                continue;
            }
            Mark(sent_ns) => link.mark(LatencyMark { sent_ns }, now_ns),
            Reply(number, outcome) => by_hand.answer(number, outcome),
            Lose(number) => by_hand.drop_request(number),
            At(now_ms) => now_ns = now_ms * 1_000_000,
            End => {
                let flow = link.end(&mut ctx);
                link.rest.text.push(format!("{flow:?}"));
            }
        }
        let mut ctx = Context::new(&arena, &place, &blame, now_ns);
        while link.due_ns() <= now_ns {
            let _again = link.tick(&mut ctx);
        }
        let none: Option<Error> = ctx.into_error();
        assert!(none.is_none());
    }
    link.rest.text.join(" ")
}

#[test]
fn unordered_answers_pass_one_another_but_no_watermark_and_no_barrier() {
    let by_hand = ByHand::default();
    let script = vec![
        Push(1, 10),
        Push(2, 20),
        Time(5),
        Push(3, 30),
        Line(1),
        Reply(2, Ok(33)),
        Reply(1, Ok(22)),
        Reply(0, Ok(11)),
    ];
    let seen = run(AsyncIo::unordered(by_hand.spawn()), &by_hand, script);
    assert_eq!(seen, "22@20>- 11@10>- |5 33@30>5 #1");
}

#[test]
fn neither_a_barrier_nor_idleness_passes_what_is_held_back_behind() {
    let by_hand = ByHand::default();
    let script = vec![Push(1, 10), Hold, Line(1), Reply(0, Ok(11)), Hold, Idle];
    let seen = run(AsyncIo::unordered(by_hand.spawn()), &by_hand, script);
    assert_eq!(seen, "11@10>- held #1 held idle");
}

#[test]
fn ordered_answers_keep_the_order_of_their_records() {
    let by_hand = ByHand::default();
    let script = vec![Push(1, 10), Push(2, 20), Reply(1, Ok(22)), Time(20), Reply(0, Ok(11)), Line(1)];
    let seen = run(AsyncIo::ordered(by_hand.spawn()), &by_hand, script);
    assert_eq!(seen, "11@10>- 22@20>- |20 #1");
}

#[test]
fn what_fails_is_asked_again_after_a_pause_that_doubles_and_then_handed_back() {
    let by_hand = ByHand::default();
    let script = vec![
        Push(7, 0),
        At(1),
        Reply(0, Err("a".into())),
        At(10),
        At(11),
        Reply(1, Err("b".into())),
        At(30),
        At(31),
        Reply(2, Err("c".into())),
    ];
    let seen = run(AsyncIo::unordered(by_hand.spawn()).retry(3, 10), &by_hand, script);
    assert_eq!(seen, "!7x3 c");
    assert_eq!(by_hand.futures.lock().unwrap().len(), 3);
}

#[test]
fn an_attempt_that_takes_too_long_has_failed_and_its_late_answer_is_ignored() {
    let by_hand = ByHand::default();
    let script = vec![Push(7, 0), At(50), At(100), At(105), Reply(0, Ok(1)), Reply(1, Ok(2))];
    let seen = run(AsyncIo::unordered(by_hand.spawn()).timeout_ms(99).retry(2, 5), &by_hand, script);
    assert_eq!(seen, "2@0>-");
    let once = AsyncIo::unordered(by_hand.spawn()).timeout_ms(99);
    let seen = run(once, &ByHand::default(), vec![Push(7, 0), At(100)]);
    assert_eq!(seen, "!7x1 no answer within timeout_ms = 99");
}

#[test]
fn a_latency_mark_takes_as_long_as_the_record_in_front_of_it() {
    let by_hand = ByHand::default();
    let script = vec![Push(1, 0), Mark(1), At(5), Reply(0, Ok(11)), Mark(6)];
    let seen = run(AsyncIo::unordered(by_hand.spawn()), &by_hand, script);
    assert_eq!(seen, "11@0>- mark 1-5000000 mark 6-5000000");
}

#[test]
fn a_request_that_is_dropped_has_failed() {
    let by_hand = ByHand::default();
    let seen = run(AsyncIo::ordered(by_hand.spawn()), &by_hand, vec![Push(7, 0), Lose(0)]);
    assert_eq!(seen, "!7x1 its future panicked, or its executor dropped it");
}

#[test]
fn the_end_comes_behind_the_last_answer() {
    let by_hand = ByHand::default();
    let script = vec![Push(1, 0), Time(9), End, Reply(0, Ok(11)), End];
    let seen = run(AsyncIo::unordered(by_hand.spawn()), &by_hand, script);
    assert_eq!(seen, "Waits 11@0>- |9 end Done");
}

#[test]
fn what_outlives_its_records_is_due_no_more_at_the_end() {
    let by_hand = ByHand::default();
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
    let mut link = linked(AsyncIo::unordered(by_hand.spawn()).timeout_ms(5), &by_hand);
    let mut ctx = Context::new(&arena, &place, &blame, 1);
    link.push(1, &mut ctx);
    by_hand.answer(0, Ok(11));
    assert_eq!(link.tick(&mut ctx), Flow::Done);
    let late_ns = 6_000_000;
    assert!(link.due_ns() <= late_ns, "the attempt has a time still");
    let mut ctx = Context::new(&arena, &place, &blame, late_ns);
    assert_eq!((link.end(&mut ctx), link.due_ns()), (Flow::Done, u64::MAX));
}

#[test]
fn nothing_comes_between_two_parts_of_what_fires_behind() {
    let by_hand = ByHand::default();
    let script = vec![Push(1, 0), Fire(3), Reply(0, Ok(11))];
    let seen = run(AsyncIo::unordered(by_hand.spawn()), &by_hand, script);
    assert_eq!(seen, "part 3 part 2 part 1 11@0>-");
}

#[test]
fn nothing_fires_by_the_clock_in_the_middle_of_a_watermark_or_once_the_end_has_begun() {
    let by_hand = ByHand::default();
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
    let mut ctx = Context::new(&arena, &place, &blame, 1);
    let mut link = linked(AsyncIo::unordered(by_hand.spawn()), &by_hand);
    link.forward_watermark(9);
    assert_eq!(link.tick(&mut ctx), Flow::More, "half of it has passed");
    link.rest.parts = 1;
    assert_eq!([link.tick(&mut ctx), link.tick(&mut ctx)], [Flow::Done; 2]);
    link.rest.parts = 1;
    assert_eq!([link.end(&mut ctx), link.end(&mut ctx)], [Flow::Done; 2]);
    assert_eq!(link.rest.text, ["|9", "part 1", "end", "end"]);
}

#[test]
fn a_full_link_has_no_room_but_lets_answers_go() {
    let by_hand = ByHand::default();
    let mut link = linked(AsyncIo::unordered(by_hand.spawn()).capacity(2), &by_hand);
    assert_eq!(link.room(), 2);
    for n in 0..2 {
        link.caller.under_way.admit(n, 0);
    }
    assert_eq!((link.room(), link.room_behind()), (0, usize::MAX));
}
