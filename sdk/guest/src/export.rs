//! Makes a kind into the exports of a world.

use crate::bindings::about::exports::selvedge::plugin::about as about_node;
use crate::bindings::{sink, source, transform, types};
use crate::imports::log_panics;
use crate::kind::{Commit, Kind, Map, Sink, Source, Transform};
use crate::run::{self, Process, Read, Stateless, Write};
use crate::{Error, Result};
use sink::exports::selvedge::plugin::sink_node;
use source::exports::selvedge::plugin::source_node;
use std::cell::RefCell;
use std::marker::PhantomData;
use transform::exports::selvedge::plugin::transform_node;

/// The version of a plugin: that of its package.
pub trait Version {
    /// As in its Cargo.toml.
    const VERSION: &'static str;
}

/// Exports of a [`Map`].
pub struct MapPlugin<K>(PhantomData<K>);
/// Exports of a [`Transform`].
pub struct TransformPlugin<K>(PhantomData<K>);
/// Exports of a [`Source`].
pub struct SourcePlugin<K>(PhantomData<K>);
/// Exports of a [`Sink`].
pub struct SinkPlugin<K>(PhantomData<K>);

fn about<K: Kind + Version>() -> types::Info {
    log_panics();
    types::Info {
        name: K::NAME.into(),
        version: K::VERSION.into(),
        about: K::ABOUT.into(),
        docs: K::DOCS.into(),
        example: K::EXAMPLE.into(),
        wishes: K::WISHES.iter().map(Into::into).collect(),
    }
}

impl<K: Kind + Version> about_node::Guest for MapPlugin<K> {
    fn about() -> types::Info {
        about::<K>()
    }
}
impl<K: Kind + Version> about_node::Guest for TransformPlugin<K> {
    fn about() -> types::Info {
        about::<K>()
    }
}
impl<K: Kind + Version> about_node::Guest for SourcePlugin<K> {
    fn about() -> types::Info {
        about::<K>()
    }
}
impl<K: Kind + Version> about_node::Guest for SinkPlugin<K> {
    fn about() -> types::Info {
        about::<K>()
    }
}

/// The one instance that a component is.
struct Running<T: ?Sized + 'static>(RefCell<Option<Box<T>>>);

impl<T: ?Sized> Running<T> {
    const fn new() -> Running<T> {
        Running(RefCell::new(None))
    }
    fn set(&self, instance: Box<T>) {
        *self.0.borrow_mut() = Some(instance);
    }
    fn with<R>(&self, work: impl FnOnce(&mut T) -> Result<R>) -> std::result::Result<R, types::Error> {
        match self.0.borrow_mut().as_mut() {
            Some(instance) => work(instance).map_err(Into::into),
            None => Err(Error::bug("called before `open`").into()),
        }
    }
}

thread_local! {
    static TRANSFORM: Running<dyn Process> = const { Running::new() };
    static READER: Running<dyn Read> = const { Running::new() };
    static WRITER: Running<dyn Write> = const { Running::new() };
}

fn transform_plan<K: Kind>(config: &str, inputs: Vec<types::Port>, stateful: bool) -> Result<transform_node::Plan> {
    log_panics();
    let planned = run::plan::<K>(config, inputs, true)?;
    Ok(transform_node::Plan {
        outputs: planned.outputs(),
        reads: planned.reads(),
        may_reject: planned.built.may_reject,
        partitioning: planned.built.partitioning,
        stateful,
    })
}

fn open_transform<K: Kind, T: Transform>(
    config: &str,
    inputs: Vec<types::Port>,
    task: &types::Task,
    wrap: impl FnOnce(K::Work) -> T,
) -> Result<()> {
    log_panics();
    let (wiring, work) = run::plan::<K>(config, inputs, true)?.start();
    let mut work = wrap(work);
    work.open(task)?;
    TRANSFORM.with(|t| t.set(Box::new((wiring, work))));
    Ok(())
}

macro_rules! transform_node {
    ($plugin:ident, $role:ident, $wrap:expr, $stateful:literal) => {
        impl<K: Kind<Work: $role> + Version> transform_node::Guest for $plugin<K> {
            fn describe(config: String) -> std::result::Result<types::Ports, types::Error> {
                log_panics();
                Ok(run::ports::<K>(&config)?)
            }
            fn output_schema(
                config: String,
                inputs: Vec<types::Port>,
            ) -> std::result::Result<transform_node::Plan, types::Error> {
                Ok(transform_plan::<K>(&config, inputs, $stateful)?)
            }
            fn open(
                config: String,
                inputs: Vec<types::Port>,
                task: types::Task,
            ) -> std::result::Result<(), types::Error> {
                Ok(open_transform::<K, _>(&config, inputs, &task, $wrap)?)
            }
            fn load(state: Vec<u8>) -> std::result::Result<(), types::Error> {
                TRANSFORM.with(|t| t.with(|t| t.load(&state)))
            }
            fn process(input: u32, batch: types::Batch) -> std::result::Result<(), types::Error> {
                TRANSFORM.with(|t| t.with(|t| t.process(input as usize, batch)))
            }
            fn watermark(time: i64) -> std::result::Result<(), types::Error> {
                TRANSFORM.with(|t| t.with(|t| t.watermark(time)))
            }
            fn finish() -> std::result::Result<bool, types::Error> {
                TRANSFORM.with(|t| t.with(|t| t.finish()))
            }
            fn save() -> std::result::Result<Vec<u8>, types::Error> {
                TRANSFORM.with(|t| t.with(|t| t.save()))
            }
        }
    };
}
transform_node!(MapPlugin, Map, Stateless, false);
transform_node!(TransformPlugin, Transform, std::convert::identity, true);

impl<K: Kind<Work: Source> + Version> source_node::Guest for SourcePlugin<K> {
    fn output_schema(config: String) -> std::result::Result<source_node::Plan, types::Error> {
        log_panics();
        let planned = run::plan::<K>(&config, vec![], true)?;
        let outputs = planned.outputs();
        Ok(source_node::Plan {
            outputs: planned.names.into_iter().zip(outputs).collect(),
            unbounded: planned.built.unbounded,
            may_reject: planned.built.may_reject,
        })
    }
    fn splits(config: String, positions: Vec<(String, String)>) -> std::result::Result<Vec<String>, types::Error> {
        log_panics();
        Ok(run::plan::<K>(&config, vec![], true)?.built.work.splits(&positions)?)
    }
    fn open(
        config: String,
        task: types::Task,
        split: String,
        position: Option<String>,
    ) -> std::result::Result<(), types::Error> {
        log_panics();
        let reader = run::open_split::<K>(&config, &task, &split, position.as_deref())?;
        READER.with(|r| r.set(reader));
        Ok(())
    }
    fn read() -> std::result::Result<crate::Next, types::Error> {
        READER.with(|r| r.with(|r| r.read()))
    }
    fn position() -> std::result::Result<Option<String>, types::Error> {
        READER.with(|r| r.with(|r| r.position()))
    }
}

impl<K: Sink + Version> sink_node::Guest for SinkPlugin<K> {
    fn describe(config: String) -> std::result::Result<types::Inputs, types::Error> {
        log_panics();
        Ok(run::ports::<K>(&config)?.inputs)
    }
    fn check(config: String, inputs: Vec<types::Port>) -> std::result::Result<sink_node::Plan, types::Error> {
        log_panics();
        let planned = run::plan::<K>(&config, inputs, false)?;
        Ok(sink_node::Plan {
            reads: planned.reads(),
            partitioning: planned.built.partitioning,
            may_reject: planned.built.may_reject,
            target: planned.built.target,
        })
    }
    fn open(config: String, inputs: Vec<types::Port>, task: types::Task) -> std::result::Result<(), types::Error> {
        use crate::kind::Writer;
        log_panics();
        let (wiring, mut writer) = run::plan::<K>(&config, inputs, false)?.start();
        writer.open(&task)?;
        WRITER.with(|w| w.set(Box::new((wiring, writer))));
        Ok(())
    }
    fn write(input: u32, batch: types::Batch) -> std::result::Result<(), types::Error> {
        WRITER.with(|w| w.with(|w| w.write(input as usize, batch)))
    }
    fn flush(epoch: u64) -> std::result::Result<String, types::Error> {
        WRITER.with(|w| w.with(|w| w.flush(epoch)))
    }
    fn commit(config: String, run: String, epoch: u64, pending: Vec<String>) -> std::result::Result<(), types::Error> {
        log_panics();
        Ok(K::commit(&run::config::<K>(&config)?, &Commit { run, epoch }, &pending)?)
    }
    fn abort(config: String, pending: Vec<String>) -> std::result::Result<(), types::Error> {
        log_panics();
        Ok(K::abort(&run::config::<K>(&config)?, &pending)?)
    }
}

/// Exports a kind whose work is a [`Map`](crate::Map). Does nothing outside of WebAssembly.
#[macro_export]
macro_rules! export_map {
    ($kind:ty) => {
        $crate::__export!($kind, MapPlugin, transform, __export_transform_part);
    };
}
/// Exports a kind whose work is a [`Transform`](crate::Transform). Does nothing outside of WebAssembly.
#[macro_export]
macro_rules! export_transform {
    ($kind:ty) => {
        $crate::__export!($kind, TransformPlugin, transform, __export_transform_part);
    };
}
/// Exports a kind whose work is a [`Source`](crate::Source). Does nothing outside of WebAssembly.
#[macro_export]
macro_rules! export_source {
    ($kind:ty) => {
        $crate::__export!($kind, SourcePlugin, source, __export_source_part);
    };
}
/// Exports a [`Sink`](crate::Sink). Does nothing outside of WebAssembly.
#[macro_export]
macro_rules! export_sink {
    ($kind:ty) => {
        $crate::__export!($kind, SinkPlugin, sink, __export_sink_part);
    };
}
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($kind:ty, $plugin:ident, $world:ident, $export:ident) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "exports")]
        const _: () = {
            impl $crate::export::Version for $kind {
                const VERSION: &'static str = env!("CARGO_PKG_VERSION");
            }
            type Plugin = $crate::export::$plugin<$kind>;
    $crate::bindings::about::__export_about_part!(Plugin with_types_in $crate::bindings::about);
    $crate::bindings::$world::$export!(Plugin with_types_in $crate::bindings::$world);
        };
    };
}
