//! Tests of the subtask.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::testing::subtask;
use crate::{
    Acknowledged, Barrier, Chain, LatencyMark, Operator, Output, Owned, SinkTail, SinkWriter, Tail, Timestamp,
};

/// An input that has ended.
struct Ended;

impl Head for Ended {
    type Item = Owned<u64>;
    fn drive<'s>(
        &'s mut self,
        _: usize,
        _: &mut Context<'s>,
        _: &mut impl Output<Owned<u64>>,
    ) -> Result<Drive> {
        Ok(Drive { records: 0, event: Some(Event::End) })
    }
}

/// An input of which the first record is one too many.
struct Failing;

impl Head for Failing {
    type Item = Owned<u64>;
    fn drive<'s>(
        &'s mut self,
        _: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<u64>>,
    ) -> Result<Drive> {
        out.push(1, ctx);
        ctx.fail(Error::user("one too many"));
        Ok(Drive { records: 1, event: None })
    }
}

/// Has two portions to emit at the end, and the room it is given.
struct Portions {
    left: usize,
    room: Arc<AtomicUsize>,
    staged: usize,
    sent: Arc<AtomicUsize>,
}

impl Portions {
    fn new(room: &Arc<AtomicUsize>) -> Portions {
        Portions { left: 2, room: room.clone(), staged: 0, sent: Arc::default() }
    }
}

impl Output<Owned<u64>> for Portions {
    fn push<'s>(&mut self, _: u64, _: &mut Context<'s>) {
        self.staged += 1;
    }
}

impl Tail for Portions {
    fn room(&mut self) -> usize {
        self.room.load(Ordering::Relaxed)
    }
    fn flush(&mut self, _: u64) -> Result<Flush> {
        self.sent.fetch_add(std::mem::take(&mut self.staged), Ordering::Relaxed);
        Ok(Flush::IDLE)
    }
    fn barrier(&mut self, _: Barrier) {}
    fn mark(&mut self, _: LatencyMark, _: u64) {}
    fn forward_watermark(&mut self, _: Timestamp) {}
    fn forward_idle(&mut self) {}
    fn close(&mut self) {}
    fn finished(&mut self) -> bool {
        true
    }
    fn charge_blocked(&mut self, _: u64) {}
}

impl Consumer<Owned<u64>> for Portions {
    fn watermark(&mut self, _: Timestamp, _: &mut Context<'_>) -> Flow {
        Flow::Done
    }
    fn end(&mut self, _: &mut Context<'_>) -> Flow {
        self.left -= 1;
        if self.left > 0 { Flow::More } else { Flow::Done }
    }
}

#[test]
fn firing_waits_for_room() {
    let room = Arc::new(AtomicUsize::new(1));
    let chain = Portions::new(&room);
    let mut subtask = ChainSubtask::new(Ended, chain, subtask(), Arc::new([]), Arc::default());
    let mut step = || subtask.step(Turn { now_ns: 1, budget: 1 });
    assert!(matches!(step(), Step::Progress(_)));
    room.store(0, Ordering::Relaxed);
    assert!(matches!(step(), Step::Blocked(_)));
    room.store(1, Ordering::Relaxed);
    assert!(matches!(step(), Step::Progress(_)));
    assert!(matches!(step(), Step::Done));
}

/// Nothing comes, and nothing ends.
struct Silent;

impl Head for Silent {
    type Item = Owned<u64>;
    fn drive<'s>(
        &'s mut self,
        _: usize,
        _: &mut Context<'s>,
        _: &mut impl Output<Owned<u64>>,
    ) -> Result<Drive> {
        Ok(Drive::NOTHING)
    }
    fn ready(&self) -> bool {
        false
    }
}

/// Wants to be called at 50, has two portions to emit then, and wants nothing more.
struct Alarm {
    due_ns: u64,
    portions: u64,
    /// For how long the subtask could run until then.
    ran_ns: Arc<AtomicUsize>,
}

impl Operator<Owned<u64>> for Alarm {
    type Out = Owned<u64>;
    fn process<'s>(&mut self, _: u64, _: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) {}
    fn due_ns(&self) -> u64 {
        self.due_ns
    }
    fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) -> Flow {
        out.push(self.portions, ctx);
        self.ran_ns.store(ctx.running_ns() as usize, Ordering::Relaxed);
        self.portions -= 1;
        if self.portions > 0 {
            return Flow::More;
        }
        self.due_ns = u64::MAX;
        Flow::Done
    }
}

#[test]
fn an_operator_is_called_when_its_time_has_come_although_nothing_comes() {
    let (room, ran_ns) = (Arc::new(AtomicUsize::new(0)), Arc::<AtomicUsize>::default());
    let head = Alarm { due_ns: 50, portions: 2, ran_ns: ran_ns.clone() };
    let rest = Portions::new(&room);
    let sent = rest.sent.clone();
    let chain = Chain { operator: 0, head, rest };
    let mut subtask = ChainSubtask::new(Silent, chain, subtask(), Arc::new([]), Arc::default());
    let mut step = |now_ns| subtask.step(Turn { now_ns, budget: 1 });
    room.store(1, Ordering::Relaxed);
    assert!(matches!(step(49), Step::Idle(50)));
    room.store(0, Ordering::Relaxed);
    assert!(matches!(step(50), Step::Blocked(_)));
    assert!(matches!(step(70), Step::Blocked(_)));
    room.store(1, Ordering::Relaxed);
    assert!(matches!(step(90), Step::Progress(0)));
    let done = || (sent.load(Ordering::Relaxed), ran_ns.load(Ordering::Relaxed));
    assert_eq!(done(), (1, 50), "the running clock stood still without room");
    assert!(matches!(step(92), Step::Progress(0)));
    assert_eq!(done(), (2, 52));
    assert!(matches!(step(93), Step::Idle(u64::MAX)));
}

#[test]
fn what_a_failed_step_has_staged_is_never_sent() {
    let chain = Portions::new(&Arc::new(AtomicUsize::new(1)));
    let sent = chain.sent.clone();
    let mut subtask = ChainSubtask::new(Failing, chain, subtask(), Arc::new([]), Arc::default());
    let mut step = || subtask.step(Turn { now_ns: 1, budget: 1 });
    assert!(matches!(step(), Step::Failed(_)));
    assert!(matches!(step(), Step::Done));
    drop(subtask);
    assert_eq!(sent.load(Ordering::Relaxed), 0);
}

/// Gives a mark, then one record.
struct Marked(usize);

impl Head for Marked {
    type Item = Owned<u64>;
    fn drive<'s>(
        &'s mut self,
        _: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<u64>>,
    ) -> Result<Drive> {
        self.0 += 1;
        match self.0 {
            1 => Ok(Drive { records: 0, event: Some(Event::Mark(LatencyMark { sent_ns: 1 })) }),
            _ => {
                out.push(7, ctx);
                Ok(Drive { records: 1, event: None })
            }
        }
    }
}

/// Notes what is done with it.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<&'static str>>>);

impl Noted {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }
}

impl Output<Owned<u64>> for Noted {
    fn push<'s>(&mut self, _: u64, _: &mut Context<'s>) {
        self.note("record");
    }
}

impl Tail for Noted {
    fn room(&mut self) -> usize {
        1
    }
    fn flush(&mut self, _: u64) -> Result<Flush> {
        self.note("flush");
        Ok(Flush::IDLE)
    }
    fn barrier(&mut self, _: Barrier) {
        self.note("barrier");
    }
    fn mark(&mut self, _: LatencyMark, _: u64) {
        self.note("mark");
    }
    fn forward_watermark(&mut self, _: Timestamp) {}
    fn forward_idle(&mut self) {
        self.note("idle");
    }
    fn close(&mut self) {}
    fn finished(&mut self) -> bool {
        true
    }
    fn charge_blocked(&mut self, _: u64) {}
}

impl Consumer<Owned<u64>> for Noted {
    fn watermark(&mut self, _: Timestamp, _: &mut Context<'_>) -> Flow {
        Flow::Done
    }
    fn end(&mut self, _: &mut Context<'_>) -> Flow {
        Flow::Done
    }
}

#[test]
fn a_latency_mark_goes_out_with_the_record_behind_it() {
    let noted = Noted::default();
    let mut subtask = ChainSubtask::new(Marked(0), noted.clone(), subtask(), Arc::new([]), Arc::default());
    assert!(matches!(subtask.step(Turn { now_ns: 1, budget: 1 }), Step::Progress(1)));
    assert_eq!(*noted.0.lock().unwrap(), ["flush", "mark", "record", "flush"]);
}

/// Gives two records, and says something behind them.
struct Says(Event);

impl Head for Says {
    type Item = Owned<u64>;
    fn drive<'s>(
        &'s mut self,
        _: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<u64>>,
    ) -> Result<Drive> {
        (0..2).for_each(|n| out.push(n, ctx));
        Ok(Drive { records: 2, event: Some(self.0) })
    }
}

/// Holds what comes until it is asked to settle, and gives one record for each call then.
#[derive(Default)]
struct Holding(Vec<u64>);

impl Operator<Owned<u64>> for Holding {
    type Out = Owned<u64>;
    fn process<'s>(&mut self, record: u64, _: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) {
        self.0.push(record);
    }
    fn settle<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) -> Flow {
        self.0.pop().into_iter().for_each(|record| out.push(record, ctx));
        if self.0.is_empty() { Flow::Done } else { Flow::More }
    }
}

#[test]
fn what_is_said_waits_for_what_an_operator_has_held_back() {
    for (said, noted_as) in [(Event::Barrier(Barrier { id: 1 }), "barrier"), (Event::Idle, "idle")] {
        let noted = Noted::default();
        let chain = Chain { operator: 0, head: Holding::default(), rest: noted.clone() };
        let mut subtask = ChainSubtask::new(Says(said), chain, subtask(), Arc::new([]), Arc::default());
        for _ in 0..2 {
            assert!(matches!(subtask.step(Turn { now_ns: 1, budget: 2 }), Step::Progress(_)));
        }
        assert_eq!(noted.0.lock().unwrap()[..6], ["flush", "record", "flush", "flush", "record", noted_as]);
    }
}

/// Waits at the end for an answer, which comes at the second call.
struct Waiting {
    asked: usize,
    moved: Arc<AtomicUsize>,
}

impl Output<Owned<u64>> for Waiting {
    fn push<'s>(&mut self, _: u64, _: &mut Context<'s>) {}
}

impl Tail for Waiting {
    fn room(&mut self) -> usize {
        1
    }
    fn flush(&mut self, _: u64) -> Result<Flush> {
        Ok(Flush { clear: true, moved: self.moved.swap(0, Ordering::Relaxed) > 0 })
    }
    fn barrier(&mut self, _: Barrier) {}
    fn mark(&mut self, _: LatencyMark, _: u64) {}
    fn forward_watermark(&mut self, _: Timestamp) {}
    fn forward_idle(&mut self) {}
    fn close(&mut self) {}
    fn finished(&mut self) -> bool {
        true
    }
    fn charge_blocked(&mut self, _: u64) {}
}

impl Consumer<Owned<u64>> for Waiting {
    fn watermark(&mut self, _: Timestamp, _: &mut Context<'_>) -> Flow {
        Flow::Done
    }
    fn due_ns(&self) -> u64 {
        77
    }
    fn end(&mut self, _: &mut Context<'_>) -> Flow {
        self.asked += 1;
        if self.asked < 4 { Flow::Waits } else { Flow::Done }
    }
}

#[test]
fn what_waits_for_an_answer_is_blocked_until_it_is_due_or_woken() {
    let moved = Arc::new(AtomicUsize::new(0));
    let chain = Waiting { asked: 0, moved: moved.clone() };
    let mut subtask = ChainSubtask::new(Ended, chain, subtask(), Arc::new([]), Arc::default());
    let mut step = || subtask.step(Turn { now_ns: 1, budget: 1 });
    assert!(matches!(step(), Step::Blocked(77)), "its core may sleep until then");
    moved.store(1, Ordering::Relaxed);
    assert!(matches!(step(), Step::Progress(0)), "what has gone out meanwhile wakes whoever reads it");
    assert!(matches!(step(), Step::Blocked(77)));
    assert!(matches!(step(), Step::Progress(0)));
    assert!(matches!(step(), Step::Done));
}

/// Holds what comes, is due at once, and waits twice before it lets that go.
#[derive(Default)]
struct HeldUp {
    held: Vec<u64>,
    ticks: usize,
    /// For how long the subtask could run until the last one.
    ran_ns: Arc<AtomicUsize>,
}

impl Operator<Owned<u64>> for HeldUp {
    type Out = Owned<u64>;
    fn process<'s>(&mut self, record: u64, _: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) {
        self.held.push(record);
    }
    fn due_ns(&self) -> u64 {
        if self.held.is_empty() { u64::MAX } else { 0 }
    }
    fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) -> Flow {
        self.ticks += 1;
        self.ran_ns.store(ctx.running_ns() as usize, Ordering::Relaxed);
        if self.ticks < 3 {
            return Flow::Waits;
        }
        self.held.drain(..).for_each(|record| out.push(record, ctx));
        Flow::Done
    }
    fn measure(&self, measures: &mut Measures<'_>) {
        measures.waiting(self.held.len(), || "an answer".into());
    }
}

#[test]
fn an_operator_that_waits_takes_no_input_and_lets_its_core_sleep() {
    let (noted, head) = (Noted::default(), HeldUp::default());
    let ran_ns = head.ran_ns.clone();
    let chain = Chain { operator: 0, head, rest: noted.clone() };
    let mut subtask = ChainSubtask::new(Says(Event::Noted), chain, subtask(), Arc::new([]), Arc::default());
    let mut step = |now_ns| subtask.step(Turn { now_ns, budget: 2 });
    assert!(matches!(step(1), Step::Progress(2)));
    for now_ns in [2, 50] {
        let step = step(now_ns);
        assert!(
            matches!(step, Step::Blocked(due_ns) if due_ns == now_ns + HIDDEN_NS),
            "until it is woken, or somebody is due whom it hides"
        );
    }
    assert!(matches!(step(90), Step::Progress(0)));
    assert_eq!(ran_ns.load(Ordering::Relaxed), 2, "silence counts for nothing while it waits");
    let records = noted.0.lock().unwrap().iter().filter(|it| **it == "record").count();
    assert_eq!(records, 2, "those of the first step, and none that came while it waited");
}

#[test]
fn a_latency_mark_waits_behind_the_records_that_an_operator_has_held_back() {
    let noted = Noted::default();
    let chain = Chain { operator: 0, head: HeldUp::default(), rest: noted.clone() };
    let says = Says(Event::Mark(LatencyMark { sent_ns: 1 }));
    let meter = Arc::<SubtaskMeter>::default();
    let mut subtask = ChainSubtask::new(says, chain, subtask(), Arc::new([]), meter.clone());
    let mut step = || subtask.step(Turn { now_ns: 1, budget: 2 });
    assert!(matches!(step(), Step::Blocked(due_ns) if due_ns == 1 + HIDDEN_NS));
    let told = &meter.operators.snapshot(|_| String::new())[0];
    assert_eq!(
        (told.waiting_records, &*told.waits_for),
        (2, "an answer"),
        "told in the step that took them in"
    );
    assert!(matches!(step(), Step::Blocked(due_ns) if due_ns == 1 + HIDDEN_NS));
    assert!(matches!(step(), Step::Progress(0)));
    let noted = noted.0.lock().unwrap();
    let passed: Vec<_> = noted.iter().copied().filter(|it| *it != "flush").collect();
    assert_eq!(passed, ["record", "record", "mark"]);
}

/// A writer with a call that panics, by its name.
struct Panics(&'static str);

impl Panics {
    fn at(&self, call: &str) {
        assert!(self.0 != call, "in {call}");
    }
}

impl SinkWriter<Owned<u64>> for Panics {
    fn write<'s>(&mut self, _: u64, _: &mut Context<'s>) {
        self.at("write");
    }
    fn room(&mut self) -> usize {
        self.at("room");
        2
    }
    fn flush(&mut self) -> Result<()> {
        self.at("flush");
        Ok(())
    }
    fn due_ns(&self) -> u64 {
        self.at("due_ns");
        u64::MAX
    }
    fn barrier(&mut self, _: Barrier) {
        self.at("barrier");
    }
    fn mark(&mut self, _: LatencyMark, _: u64) {
        self.at("mark");
    }
    fn close(&mut self) {
        self.at("close");
    }
    fn acknowledged(&mut self) -> Acknowledged {
        self.at("acknowledged");
        Acknowledged::Everything
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.at("drop");
    }
}

/// An operator whose destructor panics.
struct Frail(Panics);

impl Operator<Owned<u64>> for Frail {
    type Out = Owned<u64>;
    fn process<'s>(&mut self, _: u64, _: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) {
        self.0.at("process");
    }
}

/// What is said when a chain of "head", "middle" and "sink" goes, of which these panic.
fn said_at_leaving(middle: &'static str, sink: &'static str) -> Option<String> {
    let tail = SinkTail::new(Panics(sink), 2, subtask(), Arc::default(), Arc::default());
    let rest = Chain { operator: 1, head: Frail(Panics(middle)), rest: tail };
    let chain = Chain {
        operator: 0,
        head: Holding::default(),
        rest: crate::Fork::<_, _, crate::Cloning>::new(rest, Noted::default()),
    };
    let names = Arc::new(["head".into(), "middle".into(), "sink".into()]);
    ChainSubtask::new(Silent, chain, subtask(), names, Arc::default())
        .leave()
        .err()
        .map(|error| error.to_string())
}

#[test]
fn a_destructor_that_panics_is_blamed_on_its_own_operator() {
    assert_eq!(said_at_leaving("", ""), None);
    let said = |who| Some(format!("operator \"{who}\", subtask 0: panicked: in drop"));
    assert_eq!(said_at_leaving("", "drop"), said("sink"));
    assert_eq!(
        said_at_leaving("drop", "drop"),
        said("middle"),
        "the first one counts, and the other is dropped all the same"
    );
}

#[test]
fn a_writer_that_panics_in_any_call_is_named_and_not_the_head_of_its_chain() {
    let said = [Event::Barrier(Barrier { id: 1 }), Event::Mark(LatencyMark { sent_ns: 1 }), Event::End];
    for call in ["write", "room", "flush", "due_ns", "barrier", "mark", "close", "acknowledged"] {
        let failed = said.iter().find_map(|event| {
            let place = SubtaskContext { operator: "sink".into(), ..subtask() };
            let rest = SinkTail::new(Panics(call), 1, place, Arc::default(), Arc::default());
            let chain = Chain { operator: 0, head: Holding::default(), rest };
            let names = Arc::new(["head".into(), "sink".into()]);
            let mut subtask = ChainSubtask::new(Says(*event), chain, subtask(), names, Arc::default());
            (0..3).find_map(|_| match subtask.step(Turn { now_ns: 1, budget: 2 }) {
                Step::Failed(error) => Some(error.to_string()),
                _ => None,
            })
        });
        let text = format!("operator \"sink\", subtask 0: panicked: in {call}");
        assert_eq!(failed.as_deref(), Some(&*text));
    }
}

/// Emits a record whenever it is called, and is due as long as it has any.
struct Drips(usize);

impl Operator<Owned<u64>> for Drips {
    type Out = Owned<u64>;
    fn process<'s>(&mut self, _: u64, _: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) {}
    fn due_ns(&self) -> u64 {
        if self.0 > 0 { 0 } else { u64::MAX }
    }
    fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) -> Flow {
        self.0 -= 1;
        out.push(7, ctx);
        Flow::Done
    }
}

/// Fires in as many parts as it has left, and so again for each record.
struct InParts {
    left: usize,
    noted: Noted,
}

impl Operator<Owned<u64>> for InParts {
    type Out = Owned<u64>;
    fn process<'s>(&mut self, _: u64, _: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) {
        self.noted.note("in");
        self.left = 2;
    }
    fn due_ns(&self) -> u64 {
        if self.left > 0 { 0 } else { u64::MAX }
    }
    fn tick<'s>(&mut self, _: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) -> Flow {
        self.noted.note("part");
        self.left -= 1;
        if self.left > 0 { Flow::More } else { Flow::Done }
    }
}

#[test]
fn no_record_comes_between_two_parts_of_what_an_operator_fires() {
    let noted = Noted::default();
    let rest = Chain { operator: 1, head: InParts { left: 3, noted: noted.clone() }, rest: Noted::default() };
    let chain = Chain { operator: 0, head: Drips(2), rest };
    let mut subtask = ChainSubtask::new(Silent, chain, subtask(), Arc::new([]), Arc::default());
    for _ in 0..8 {
        let _progress = subtask.step(Turn { now_ns: 1, budget: 2 });
    }
    assert_eq!(
        *noted.0.lock().unwrap(),
        ["part", "part", "part", "in", "part", "part", "in", "part", "part"]
    );
}
