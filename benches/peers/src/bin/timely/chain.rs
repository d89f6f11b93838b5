//! `chain`: an operator for each step.

use std::cell::Cell;
use std::rc::Rc;

use peers::args::Args;
use peers::chain::{add_one, expand, is_kept, multiply};
use peers::report::Part;
use peers::{share, splitmix64};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::vec::{Filter, Map};
use timely::worker::Worker;

use crate::{BATCH, finish, start, total};

pub fn run(args: &Args, thread: &mut Worker) -> Part {
    let sum = Rc::new(Cell::new(0));
    let mut input: InputHandle<u64, _> = InputHandle::new();
    thread.dataflow::<u64, _, _>(|scope| {
        let records = input.to_stream(scope).map(multiply).filter(is_kept).map(add_one).flat_map(expand);
        total(records, &sum, |x| *x);
    });
    let mut records = share(args.records, thread.index(), thread.peers()).map(splitmix64).peekable();
    let began = start(thread);
    while records.peek().is_some() {
        records.by_ref().take(args.batch_or(BATCH)).for_each(|record| input.send(record));
        thread.step();
    }
    drop(input);
    finish(thread);
    Part::since(began, sum.get())
}
