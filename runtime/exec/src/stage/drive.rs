//! What drives a stage: parts of a bounded source, streams that never end, or the queue of rows that others send.

use super::{Exit, LocalWork, Stage};
use crate::epochs::Gathered;
use crate::ledger::NodeLedger;
use crate::queue::{Message, QueueReceiver};
use crate::stop::lock;
use selvedge_node::{Next, Positions, Reader, Result, Source, Split, Watermark};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A part of an unbounded source that is being read.
struct Open {
    name: String,
    reader: Box<dyn Reader>,
    /// Of a run that only wants to catch up: it has.
    caught_up: bool,
}

impl Stage {
    /// The parts of a bounded source, one after the other.
    pub(super) fn read(&mut self, splits: &Mutex<VecDeque<Box<dyn Split>>>) -> Result<()> {
        while !self.run.stop.draining() {
            let Some(split) = lock(splits).pop_front() else { break };
            let name = split.name();
            let mut open = [Open { name, reader: split.open(&self.nodes[0].task)?, caught_up: false }];
            let mut done = false;
            while !self.run.stop.draining() {
                // Without a position it can only be left between two splits, where what has been read is to be remembered.
                if self.run.states.is_none() || self.wanted() && open[0].reader.position().is_some() {
                    self.pause(&open)?;
                }
                match self.read_one(&mut open[0])? {
                    Next::More => {}
                    Next::Done => {
                        done = true;
                        break;
                    }
                    Next::Idle(time) => self.sleep(time),
                }
            }
            match (open[0].reader.position(), done) {
                (None, true) => self.read.push(std::mem::take(&mut open[0].name)),
                _ => self.positions.extend(positions(&open)),
            }
            self.pause(&[])?;
        }
        Ok(())
    }

    /// All parts of an unbounded source that this instance has, in turn, and those that come up while it runs.
    pub(super) fn stream(&mut self, source: &dyn Source, splits: Vec<Box<dyn Split>>) -> Result<()> {
        let mut open = self.open_all(splits)?;
        while !self.run.stop.draining() {
            self.pause(&open)?;
            let (mut more, mut rest) = (false, Duration::MAX);
            for at in (0..open.len()).rev() {
                if open[at].caught_up {
                    continue;
                }
                match self.read_one(&mut open[at])? {
                    Next::More => more = true,
                    Next::Done => {
                        let closed = open.swap_remove(at);
                        self.positions.extend(positions(&[closed]));
                    }
                    Next::Idle(time) => {
                        rest = rest.min(time);
                        open[at].caught_up = self.run.once;
                    }
                }
            }
            match open.iter().filter(|o| !o.caught_up).map(|o| o.reader.watermark()).min() {
                Some(mark) => self.advance(mark)?,
                // The end comes next. Were it called idle, nodes would pass that on before they send what they hold.
                None if self.run.once => {}
                None => self.advance(Watermark::Idle)?,
            }
            if more {
                continue;
            }
            let found = source.discover(&self.nodes[0].task)?;
            if !found.is_empty() {
                open.extend(self.open_all(found)?);
            } else if self.run.once {
                break;
            } else {
                self.sleep(rest);
            }
        }
        self.positions.extend(positions(&open));
        Ok(())
    }

    fn open_all(&mut self, splits: Vec<Box<dyn Split>>) -> Result<Vec<Open>> {
        let task = &self.nodes[0].task;
        let open = |split: Box<dyn Split>| Ok(Open { name: split.name(), reader: split.open(task)?, caught_up: false });
        splits.into_iter().map(open).collect()
    }

    fn read_one(&mut self, open: &mut Open) -> Result<Next> {
        self.born = open.reader.arrived().unwrap_or_else(Instant::now);
        let next = open.reader.read(&mut Exit { stage: self, at: 0 })?;
        self.send_rejected(0)?;
        if self.run.live {
            self.node_ledger().mark(&open.name, open.reader.watermark());
        }
        Ok(next)
    }

    fn node_ledger(&self) -> &NodeLedger {
        &self.run.ledger.nodes[self.nodes[0].index]
    }

    fn sleep(&mut self, time: Duration) {
        let since = Instant::now();
        // A reader that asks to be asked again at once still lets others run.
        self.nodes[0].task.wake.sleep(time.max(Duration::from_millis(1)));
        self.waited(since.elapsed(), NodeLedger::add_idle);
    }

    fn wanted(&self) -> bool {
        self.run.epochs.wanted() != self.epoch
    }

    /// Closes an epoch where one is wanted, and waits until all others have closed it too.
    fn pause(&mut self, open: &[Open]) -> Result<()> {
        let wanted = self.run.epochs.wanted();
        if wanted == self.epoch {
            return Ok(());
        }
        let source = self.nodes[0].index;
        let now: Positions = self.positions.clone().into_iter().chain(positions(open)).collect();
        let (positions, read) = (vec![(source, now)], vec![(source, std::mem::take(&mut self.read))]);
        self.close(wanted, Gathered { positions, read, ..Gathered::default() })?;
        let since = Instant::now();
        self.run.epochs.wait(wanted, &self.run.stop)?;
        self.waited(since.elapsed(), NodeLedger::add_blocked);
        Ok(())
    }

    /// Flushes the writers of this thread, saves what its nodes remember, and tells those behind that the epoch is over.
    fn close(&mut self, epoch: u64, mut gathered: Gathered) -> Result<()> {
        let caller = self.clock.at;
        for at in 0..self.nodes.len() {
            match self.nodes[at].work {
                Some(LocalWork::Writer(_)) => {
                    self.flush(at, epoch, &mut gathered)?;
                    self.send_rejected(at)?;
                }
                Some(LocalWork::Transform(_)) => self.save(at, epoch, &mut gathered)?,
                Some(LocalWork::Map(_) | LocalWork::Source) | None => {}
            }
            for output in &self.nodes[at].outputs {
                output.targets.iter().for_each(|target| target.tell(|_, _| Message::Barrier { epoch }));
            }
        }
        self.switch(caller);
        self.epoch = epoch;
        self.run.epochs.arrive(gathered);
        Ok(())
    }

    /// Event time has come to `mark` for all that arrives here: tells the node, and those behind. It does not go back, although a
    /// part that comes up late may be behind the others.
    fn advance(&mut self, mark: Watermark) -> Result<()> {
        if !self.run.live || mark == Watermark::None {
            return Ok(());
        }
        let mut mark = mark;
        if let Watermark::At(time) = mark {
            if time > self.heard {
                self.heard = time;
                self.promised = self.promised.max(self.tell_node(time)?);
            }
            // A node that waits for something else cannot tell yet.
            if self.promised == i64::MIN {
                return Ok(());
            }
            mark = Watermark::At(self.promised);
        }
        if mark == self.told {
            return Ok(());
        }
        self.told = mark;
        let born = self.born;
        for output in self.nodes.iter().flat_map(|node| &node.outputs) {
            let tell = |_, channel| Message::Watermark { channel, mark, born };
            output.targets.iter().for_each(|target| target.tell(tell));
        }
        Ok(())
    }

    /// Answers how far what this thread sends has come.
    fn tell_node(&mut self, time: i64) -> Result<i64> {
        let mut promised = time;
        let mut work = self.nodes[0].work.take();
        if let Some(LocalWork::Transform(transform)) = &mut work {
            promised = transform.watermark(time, &mut Exit { stage: self, at: 0 })?.min(time);
        }
        self.nodes[0].work = work;
        self.send_rejected(0)?;
        Ok(promised)
    }

    /// What others send, until all of them have ended.
    pub(super) fn receive(&mut self, receiver: &QueueReceiver, mut senders: Vec<usize>, alone: bool) -> Result<()> {
        let mut left: usize = senders.iter().sum();
        let mut marks = vec![Watermark::None; left];
        let mut barriers = 0;
        let stop = self.run.stop.clone();
        while let Some((message, waited)) = receiver.receive(&stop)? {
            if !waited.is_zero() {
                self.waited(waited, NodeLedger::add_idle);
            }
            match message {
                Message::Data { edge, port, batch, bytes, born } => {
                    self.born = born;
                    self.deliver(0, edge, port, batch, bytes)?;
                }
                Message::Watermark { channel, mark, born } => {
                    self.born = born;
                    marks[channel] = mark;
                    self.advance(least(&marks))?;
                }
                Message::Barrier { epoch } => {
                    barriers += 1;
                    if barriers == left {
                        barriers = 0;
                        self.close(epoch, Gathered::default())?;
                    }
                }
                Message::End { port, channel } => {
                    senders[port] = senders[port].saturating_sub(1);
                    left -= 1;
                    if alone && senders[port] == 0 {
                        self.end_port(0, port)?;
                    }
                    marks[channel] = Watermark::Idle;
                    // After the last one comes what the node still holds, which event time must not overtake.
                    if left > 0 {
                        self.advance(least(&marks))?;
                    }
                    if barriers > 0 && barriers == left {
                        barriers = 0;
                        self.close(self.run.epochs.wanted(), Gathered::default())?;
                    }
                }
            }
        }
        if !alone {
            (0..self.nodes[0].inputs).try_for_each(|port| self.end_port(0, port))?;
        }
        Ok(())
    }
}

fn least(marks: &[Watermark]) -> Watermark {
    marks.iter().copied().min().unwrap_or_default()
}

fn positions(open: &[Open]) -> impl Iterator<Item = (String, String)> {
    open.iter().filter_map(|o| Some((o.name.clone(), o.reader.position()?)))
}
