//! Between the contract and a node: plans and instances.

use crate::bindings::types;
use crate::kind::{Built, Inputs, Kind, Map, Ports, Reader, Source, Transform, Writer};
use crate::out::Port;
use crate::schema::{Input, Schema};
use crate::{Batch, Error, Out, Result, config};
use std::rc::Rc;

pub fn config<K: Kind>(text: &str) -> Result<K::Config> {
    config::read(text, K::config)
}

pub fn ports<K: Kind>(text: &str) -> Result<Ports> {
    Ok(K::ports(&config::<K>(text)?))
}

/// A node that is checked: its ports and what it said of itself.
pub struct Planned<W> {
    pub names: Vec<String>,
    pub built: Built<W>,
    pub inputs: Vec<Input>,
}

/// Plans a node. `outputs`: whether its role has any.
pub fn plan<K: Kind>(text: &str, inputs: Vec<types::Port>, outputs: bool) -> Result<Planned<K::Work>> {
    let config = config::<K>(text)?;
    let ports = K::ports(&config);
    let inputs = Input::all(inputs)?;
    let expected = match &ports.inputs {
        _ if inputs.is_empty() => 0,
        Inputs::One => 1,
        Inputs::Named(names) => names.len(),
        Inputs::Each => inputs.len(),
    };
    if inputs.len() != expected {
        return Err(Error::bug(format!("expected {expected} inputs, found {}", inputs.len())));
    }
    let built = K::build(config, &inputs)?;
    let names = if outputs { ports.outputs } else { vec![] };
    if built.outputs.len() != names.len() {
        return Err(Error::bug(format!("has {} output ports, but {} schemas", names.len(), built.outputs.len())));
    }
    Ok(Planned { names, built, inputs })
}

impl<W> Planned<W> {
    pub fn reads(&self) -> Vec<Option<Vec<u32>>> {
        (0..self.inputs.len()).map(|i| self.built.reads_for(i)).collect()
    }
    pub fn outputs(&self) -> Vec<types::Schema> {
        self.built.outputs.iter().map(Schema::to_wire).collect()
    }
    /// The way from the contract to the work, and the work.
    pub fn start(self) -> (Wiring, W) {
        let reads = self.reads();
        let inputs: Vec<Rc<Schema>> = self.inputs.into_iter().map(|i| Rc::new(i.schema)).collect();
        let ports = self.built.outputs.into_iter().map(|schema| Port::new(schema, &inputs)).collect();
        (Wiring { ports, inputs: inputs.into_iter().zip(reads).collect() }, self.built.work)
    }
}

/// The ports of a running node.
pub struct Wiring {
    pub ports: Vec<Port>,
    inputs: Vec<(Rc<Schema>, Option<Vec<u32>>)>,
}

impl Wiring {
    fn take(&self, input: usize, batch: types::Batch) -> Result<(Batch, Out<'_>)> {
        let Some((schema, reads)) = self.inputs.get(input) else {
            return Err(Error::bug(format!("a batch for input {input}, there are {}", self.inputs.len())));
        };
        let batch = Batch::new(schema.clone(), reads.as_deref(), batch)?;
        let out = Out::new(&self.ports, Some((input, batch.rows())));
        Ok((batch, out))
    }
    fn out(&self) -> Out<'_> {
        Out::new(&self.ports, None)
    }
}

/// A running transform, without its type.
pub trait Process {
    fn process(&mut self, input: usize, batch: types::Batch) -> Result<()>;
    fn watermark(&mut self, time: i64) -> Result<()>;
    fn finish(&mut self) -> Result<bool>;
    fn save(&self) -> Result<Vec<u8>>;
    fn load(&mut self, state: &[u8]) -> Result<()>;
}

impl<T: Transform> Process for (Wiring, T) {
    fn process(&mut self, input: usize, batch: types::Batch) -> Result<()> {
        let (batch, mut out) = self.0.take(input, batch)?;
        self.1.process(input, &batch, &mut out)
    }
    fn watermark(&mut self, time: i64) -> Result<()> {
        self.1.watermark(time, &mut self.0.out())
    }
    fn finish(&mut self) -> Result<bool> {
        self.1.finish(&mut self.0.out())
    }
    fn save(&self) -> Result<Vec<u8>> {
        self.1.save()
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        self.1.load(state)
    }
}

/// A map, as a transform that has nothing to save.
pub struct Stateless<M>(pub M);

impl<M: Map> Transform for Stateless<M> {
    fn process(&mut self, _: usize, batch: &Batch, out: &mut Out) -> Result<()> {
        self.0.map(batch, out)
    }
    fn save(&self) -> Result<Vec<u8>> {
        Ok(vec![])
    }
    fn load(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// A running reader, without its type.
pub trait Read {
    fn read(&mut self) -> Result<crate::Next>;
    fn position(&self) -> Result<Option<String>>;
}

impl<R: Reader> Read for (Wiring, R) {
    fn read(&mut self) -> Result<crate::Next> {
        self.1.read(&mut self.0.out())
    }
    fn position(&self) -> Result<Option<String>> {
        self.1.position()
    }
}

/// Opens a split of a source.
pub fn open_split<K: Kind<Work: Source>>(
    text: &str,
    task: &types::Task,
    split: &str,
    position: Option<&str>,
) -> Result<Box<dyn Read>> {
    let (wiring, source) = plan::<K>(text, vec![], true)?.start();
    Ok(Box::new((wiring, source.open(task, split, position)?)))
}

/// A running writer, without its type.
pub trait Write {
    fn write(&mut self, input: usize, batch: types::Batch) -> Result<()>;
    fn flush(&mut self, epoch: u64) -> Result<String>;
}

impl<W: Writer> Write for (Wiring, W) {
    fn write(&mut self, input: usize, batch: types::Batch) -> Result<()> {
        let (batch, mut out) = self.0.take(input, batch)?;
        self.1.write(input, &batch, &mut out)
    }
    fn flush(&mut self, epoch: u64) -> Result<String> {
        self.1.flush(epoch)
    }
}
