//! What a plugin may take. Every limit has a default, which a graph may change for a node, up to the operator's cap.

use schemars::JsonSchema;
use serde::Deserialize;
use std::str::FromStr;
use std::time::Duration;

/// Limits of one instance of a plugin. What is not set keeps its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory of an instance, in MiB [default: 256].
    pub memory_mib: Option<u32>,
    /// Seconds that one call may take [default: 10].
    pub call_seconds: Option<u32>,
    /// What one call may be sent, in MiB; a batch above it is cut [default: 8].
    pub batch_mib: Option<u32>,
    /// What one call may put out, in MiB: rows, reasons and samples together [default: 128].
    pub output_mib: Option<u32>,
    /// What `save` may give, in MiB [default: 64].
    pub state_mib: Option<u32>,
    /// Elements in the tables of an instance: functions that can be called by reference [default: 100000].
    pub table_elements: Option<u32>,
    /// Log lines a second; more are counted and left out [default: 100].
    pub log_lines: Option<u32>,
    /// Traps and time-outs after which the plugin is no longer tried and the run fails [default: 100].
    pub faults: Option<u32>,
}

/// Limits with every value known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub memory: usize,
    pub call: Duration,
    pub batch: usize,
    pub output: usize,
    pub state: usize,
    pub table_elements: usize,
    pub log_lines: u32,
    pub faults: u32,
}

/// One field of [`Limits`]: its name, where it is, its default.
type Limit = (&'static str, fn(&mut Limits) -> &mut Option<u32>, u32);

const ALL: [Limit; 8] = [
    ("memory_mib", |l| &mut l.memory_mib, 256),
    ("call_seconds", |l| &mut l.call_seconds, 10),
    ("batch_mib", |l| &mut l.batch_mib, 8),
    ("output_mib", |l| &mut l.output_mib, 128),
    ("state_mib", |l| &mut l.state_mib, 64),
    ("table_elements", |l| &mut l.table_elements, 100_000),
    ("log_lines", |l| &mut l.log_lines, 100),
    ("faults", |l| &mut l.faults, 100),
];

/// `memory_mib=64,call_seconds=5`
impl FromStr for Limits {
    type Err = String;
    fn from_str(text: &str) -> Result<Limits, String> {
        let mut limits = Limits::default();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("`{part}`: expected LIMIT=NUMBER"))?;
            let names = ALL.map(|(name, _, _)| name).join(", ");
            let known = ALL.iter().find(|(known, _, _)| *known == name.trim());
            let (_, field, _) = known.ok_or_else(|| format!("no limit named `{name}`; there are {names}"))?;
            let number = value.trim().parse().ok().filter(|n| *n > 0);
            *field(&mut limits) = Some(number.ok_or_else(|| format!("`{part}`: expected a number from 1"))?);
        }
        Ok(limits)
    }
}

impl Limits {
    /// What holds for a node: its own limits or the defaults, and no more than the operator's `caps`. A limit that the graph
    /// set above a cap is named in the error.
    pub fn within(&self, caps: &Limits) -> Result<Bounds, String> {
        let (mut own, mut caps) = (*self, *caps);
        let mut values = [0; ALL.len()];
        for (value, (name, field, default)) in values.iter_mut().zip(ALL) {
            let cap = *field(&mut caps);
            *value = match (*field(&mut own), cap) {
                (Some(0), _) => return Err(format!("`{name}` must be at least 1")),
                (Some(own), Some(cap)) if own > cap => {
                    return Err(format!("`{name}` is {own}, but this machine's operator allows {cap}"));
                }
                (Some(own), _) => own,
                (None, cap) => default.min(cap.unwrap_or(u32::MAX)),
            };
        }
        let [memory, call, batch, output, state, table_elements, log_lines, faults] = values;
        let mib = |n: u32| n as usize * (1 << 20);
        Ok(Bounds {
            memory: mib(memory),
            call: Duration::from_secs(call.into()),
            batch: mib(batch),
            output: mib(output),
            state: mib(state),
            table_elements: table_elements as usize,
            log_lines,
            faults,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_may_go_up_to_the_cap_and_defaults_bow_to_it() {
        let none = Limits::default();
        assert_eq!(none.within(&none).unwrap().memory, 256 << 20);
        let caps = Limits { memory_mib: Some(64), ..none };
        assert_eq!(none.within(&caps).unwrap().memory, 64 << 20);
        let own = Limits { memory_mib: Some(65), ..none };
        assert_eq!(own.within(&none).unwrap().memory, 65 << 20);
        assert_eq!(own.within(&caps).unwrap_err(), "`memory_mib` is 65, but this machine's operator allows 64");
        let caps: Limits = "memory_mib=64, call_seconds=5".parse().unwrap();
        assert_eq!((caps.memory_mib, caps.call_seconds, caps.faults), (Some(64), Some(5), None));
        assert!("memory=64".parse::<Limits>().unwrap_err().contains("no limit named `memory`; there are memory_mib,"));
        assert!("memory_mib=0".parse::<Limits>().is_err());
        assert!(Limits { call_seconds: Some(0), ..none }.within(&none).unwrap_err().contains("at least 1"));
    }
}
