//! Short names for the functions of a component: they are kept for the backtraces of traps, and as the compiler writes them they
//! are a third of a small plugin. `_ZN9upc_check4gtin4Gtin4read17h4f…E` becomes `upc_check::gtin::Gtin::read`.

/// The header of a module and of a component: magic, version, layer.
const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// Section numbers, of components and of modules.
const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const NESTED_COMPONENT: u8 = 4;

/// Parts of a module's section `name`.
const MODULE_NAME: u8 = 0;
const FUNCTION_NAMES: u8 = 1;

/// Components in components deeper than this are left as they are.
const DEPTH: usize = 8;

/// The component with short names of functions, and without names that no trap shows: those of its own parts, of globals, locals
/// and data. Everything else stays as it is, byte by byte, so that it does the same. Shortening twice changes nothing.
pub fn shorten(component: &[u8]) -> Result<Vec<u8>, String> {
    inside(component, DEPTH)
}

fn inside(binary: &[u8], depth: usize) -> Result<Vec<u8>, String> {
    let (header, sections) = binary.split_at_checked(8).unwrap_or((binary, &[]));
    let is_component = header == COMPONENT;
    if !is_component && header != MODULE {
        return Err("expected a WebAssembly component, found something else: build it for wasm32-wasip2".into());
    }
    let mut out = header.to_vec();
    let mut rest = Reader(sections);
    while !rest.0.is_empty() {
        let id = rest.byte()?;
        let content = rest.sized()?;
        match id {
            CORE_MODULE | NESTED_COMPONENT if is_component && depth > 0 => {
                section(&mut out, id, &inside(content, depth - 1)?);
            }
            CUSTOM => match (Reader(content).sized()?, is_component) {
                (b"component-name", true) => {}
                (b"name", false) => section(&mut out, id, &names(content)?),
                _ => section(&mut out, id, content),
            },
            _ => section(&mut out, id, content),
        }
    }
    Ok(out)
}

/// A module's section `name`, with the module's and short functions' names alone.
fn names(content: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = vec![];
    let mut rest = Reader(content);
    sized(&mut out, rest.sized()?);
    while !rest.0.is_empty() {
        match (rest.byte()?, rest.sized()?) {
            (MODULE_NAME, name) => section(&mut out, MODULE_NAME, name),
            (FUNCTION_NAMES, functions) => section(&mut out, FUNCTION_NAMES, &functions_of(functions)?),
            _ => {}
        }
    }
    Ok(out)
}

fn functions_of(functions: &[u8]) -> Result<Vec<u8>, String> {
    let mut rest = Reader(functions);
    let count = rest.number()?;
    let mut out = vec![];
    number(&mut out, count);
    for _ in 0..count {
        number(&mut out, rest.number()?);
        let name = std::str::from_utf8(rest.sized()?).map_err(|_| "a function's name is no UTF-8".to_string())?;
        sized(&mut out, short(name).as_bytes());
    }
    Ok(out)
}

/// A name as a person would say it: the path of the type, or else of the trait, and the function; no hash, no type parameters.
/// A closure has the name of the function that it is in.
fn short(name: &str) -> String {
    match rustc_demangle::try_demangle(name) {
        Ok(symbol) => path(&format!("{symbol:#}")),
        Err(_) => name.to_string(),
    }
}

fn path(full: &str) -> String {
    let path = match full.strip_prefix('<').and_then(closed) {
        // `<Type as Trait>::function`
        Some((inner, function)) => {
            let (ty, of) = inner.split_at(outside(inner, |rest| rest.starts_with(" as ")).unwrap_or(inner.len()));
            let of = of.strip_prefix(" as ").unwrap_or_default();
            let is_path = ty.starts_with(|c: char| c.is_alphabetic()) && ty.contains("::") && !ty.starts_with("dyn ");
            format!("{}{function}", if is_path { ty } else { of })
        }
        None => full.to_string(),
    };
    let plain = without_parameters(&path);
    let parts = plain.split("::").filter(|part| !part.is_empty() && !part.starts_with('{'));
    parts.collect::<Vec<_>>().join("::")
}

/// What is before and behind the `>` of a `<` that is already open.
fn closed(text: &str) -> Option<(&str, &str)> {
    let end = outside(text, |rest| rest.starts_with('>'))?;
    Some((&text[..end], &text[end + 1..]))
}

/// The first place outside of all `<…>` at which the text goes on like this.
fn outside(text: &str, like: impl Fn(&str) -> bool) -> Option<usize> {
    let mut open = 0;
    let found = text.char_indices().find(|(at, c)| {
        let found = open == 0 && depth(text, *at, *c) <= 0 && like(&text[*at..]);
        open += depth(text, *at, *c);
        found
    });
    found.map(|(at, _)| at)
}

fn without_parameters(text: &str) -> String {
    let mut open = 0;
    let plain = text.char_indices().filter(|(at, c)| {
        let change = depth(text, *at, *c);
        open += change;
        open == 0 && change == 0
    });
    plain.map(|(_, c)| c).collect()
}

/// 1 for `<`, -1 for `>`, but not for that of `->`.
fn depth(text: &str, at: usize, c: char) -> i32 {
    match c {
        '<' => 1,
        '>' if !text[..at].ends_with('-') => -1,
        _ => 0,
    }
}

fn section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    sized(out, content);
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u32);
    out.extend_from_slice(bytes);
}

/// LEB128, as short as can be.
fn number(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The bytes that are not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or("the component ends too early: is the file whole? build it again")?;
        self.0 = rest;
        Ok(taken)
    }
    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }
    fn number(&mut self) -> Result<u32, String> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(number).map_err(|_| "a number of the component is beyond 32 bits".to_string());
            }
        }
        Err("a number of the component is longer than 5 bytes".into())
    }
    fn sized(&mut self) -> Result<&'a [u8], String> {
        let size = self.number()?;
        self.take(size as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_a_person_would_say_them() {
        for (name, expected) in [
            ("_ZN14selvedge_guest4json6Reader5value17hddaba905da0a2f05E", "selvedge_guest::json::Reader::value"),
            (
                "_ZN61_$LT$upc_check..Work$u20$as$u20$selvedge_guest..kind..Map$GT$3map17h99e08bb23a4eea42E",
                "upc_check::Work::map",
            ),
            (
                "_ZN88_$LT$$LP$selvedge_guest..run..Wiring$C$T$RP$$u20$as$u20$selvedge_guest..run..Process$GT$7process17hd41bbc1a548b0346E",
                "selvedge_guest::run::Process::process",
            ),
            (
                "_ZN67_$LT$alloc..vec..Vec$LT$T$C$A$GT$$u20$as$u20$core..clone..Clone$GT$5clone17h79e4690ea7328bd2E",
                "alloc::vec::Vec::clone",
            ),
            ("_ZN4core3str21_$LT$impl$u20$str$GT$12trim_matches17hb6cf97fb47fc5651E", "core::str::trim_matches"),
            (
                "_ZN14selvedge_guest5error7nearest28_$u7b$$u7b$closure$u7d$$u7d$17h8851c6a825662359E",
                "selvedge_guest::error::nearest",
            ),
            ("_RNvXsd_NtNtNtCs9pv848UzQwQ_4core3fmt3num3impyNtB9_7Display3fmt", "core::fmt::Display::fmt"),
            ("_RNvMsa_NtCs9pv848UzQwQ_4core3fmtNtB5_9Formatter3pad", "core::fmt::Formatter::pad"),
            ("selvedge:plugin/transform-node@0.1.1#open", "selvedge:plugin/transform-node@0.1.1#open"),
            ("dlmalloc", "dlmalloc"),
        ] {
            assert_eq!(short(name), expected);
        }
        for (full, expected) in [
            ("a::f::<fn(b) -> c::D<e>>::g", "a::f::g"),
            ("<a::B<c::D as e::F> as g::H<i::J as k::L>>::m", "a::B::m"),
            ("<<a::B as c::D>::E as f::G>::h::{closure#0}", "f::G::h"),
            ("<&str as core::fmt::Display>::fmt", "core::fmt::Display::fmt"),
            ("<dyn a::B as c::D>::e", "c::D::e"),
        ] {
            assert_eq!(path(full), expected);
        }
    }

    /// A section: its number, and its content behind its size.
    fn part(id: u8, content: &[&[u8]]) -> Vec<u8> {
        let mut out = vec![];
        section(&mut out, id, &content.concat());
        out
    }

    #[test]
    fn only_names_change() {
        let module = |names: &[u8]| [&MODULE[..], &[1, 1, 0], names, &part(0, &[b"\x09producers", b"x"])].concat();
        let functions = |first: &[u8]| part(1, &[b"\x02\0", first, b"\x01\x03abc"]);
        let own = part(0, &[b"\x01m"]);
        let mangled = functions(b"\x1b_ZN1a1b17h0123456789abcdefE");
        let long = module(&part(0, &[b"\x04name", &own, &mangled, &part(7, &[b"\x01\0\x01g"])]));
        let short = module(&part(0, &[b"\x04name", &own, &functions(b"\x04a::b")]));
        let component = |module: &[u8], own: &[u8]| {
            let nested = [&COMPONENT[..], &part(1, &[module]), own].concat();
            [&COMPONENT[..], &part(1, &[module]), &part(4, &[&nested]), &[7, 2, 1, 2], own].concat()
        };
        let found = shorten(&component(&long, &part(0, &[b"\x0ecomponent-name", b"xyz"])));
        assert_eq!(found, Ok(component(&short, b"")));
    }

    #[test]
    fn what_is_no_component_is_an_error() {
        for (bytes, expected) in [
            (&b"hello"[..], "expected a WebAssembly component, found something else: build it for wasm32-wasip2"),
            (b"\0asm\x0d\0\x01\0\x01", "the component ends too early: is the file whole? build it again"),
            (b"\0asm\x0d\0\x01\0\x01\x05ab", "the component ends too early: is the file whole? build it again"),
            (b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\x7f", "a number of the component is beyond 32 bits"),
            (b"\0asm\x0d\0\x01\0\x01\x80\x80\x80\x80\x80\x01", "a number of the component is longer than 5 bytes"),
        ] {
            assert_eq!(shorten(bytes).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_shortened_plugin_is_whole() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/evil.wasm");
        let evil = std::fs::read(file).unwrap();
        let short = shorten(&evil).unwrap();
        assert_eq!(shorten(&short).unwrap(), short);
        let engine = wasmtime::Engine::default();
        wasmtime::component::Component::new(&engine, &short).unwrap();
        let has = |name: &[u8]| short.windows(name.len()).any(|w| w == name);
        assert!(has(b"evil::") && !has(b"_ZN"), "names are short, and there");
    }
}
