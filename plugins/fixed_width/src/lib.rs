//! `FixedWidth`: a source for the files of mainframes and older point-of-sale systems, in which a column is a place in the line.
#![deny(unsafe_code)]

use selvedge_guest::prelude::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Lines sent at once.
const LINES: usize = 4096;
/// Bytes of a line; a longer one is no record.
const LONGEST: u64 = 1 << 20;

/// The kind.
pub struct FixedWidth;

/// A column's place in the line, in characters from 0.
#[derive(Debug, Clone)]
pub struct Place {
    name: String,
    start: usize,
    length: usize,
}

/// The settings.
pub struct Config {
    folder: String,
    skip: u64,
    columns: Vec<Place>,
}

impl Kind for FixedWidth {
    const NAME: &'static str = "FixedWidth";
    const ABOUT: &'static str = "reads files in which a column is a place in the line";
    const DOCS: &'static str = "\
Settings: `folder` (`/in`: grant it as `files: {\"/in\": Read(\"…\")}`), `skip` (lines before the first record of a file; 0), `columns`: a list of \
`(name: \"sku\", start: 1, length: 10)`, where `start` counts characters from 1.

All columns are text, without the spaces around it; nothing but spaces is null. Cast them with SchemaEdit. Each file is read by a thread of its own.

Reject codes: `fixed_width.short` (the line ends before its last column begins), `fixed_width.utf8`, `fixed_width.long` (a line above 1 MiB).";
    const EXAMPLE: &'static str = r#"{"folder": "/in", "columns": [{"name": "sku", "start": 1, "length": 10}, {"name": "qty", "start": 11, "length": 5}]}"#;
    const WISHES: &'static [selvedge_guest::Wish] = &[selvedge_guest::Wish {
        capability: selvedge_guest::Capability::Files("/in"),
        reason: "the files to read",
        needed: false,
    }];
    type Config = Config;
    type Work = Config;

    fn config(settings: &mut Settings) -> Result<Config> {
        let folder = settings.or("folder", "/in".to_string())?;
        let skip = settings.or("skip", 0)?;
        let at = settings.at("columns");
        let columns = settings.parts("columns", |part| {
            let place = Place {
                name: part.required("name")?,
                start: part.required::<u32>("start")? as usize,
                length: part.required::<u32>("length")? as usize,
            };
            match (place.start, place.length) {
                (0, _) => Err(Error::graph("`start` counts from 1").at(part.at("start"))),
                (_, 0) => Err(Error::graph("a column has at least one character").at(part.at("length"))),
                _ => Ok(Place { start: place.start - 1, ..place }),
            }
        })?;
        if columns.is_empty() {
            return Err(Error::graph("needs `columns`: at least one").at(at));
        }
        Ok(Config { folder, skip, columns })
    }

    fn build(config: Config, _: &[Input]) -> Result<Built<Config>> {
        let schema = Schema::new(config.columns.iter().map(|c| Field::new(&c.name, Type::Utf8)));
        Ok(Built::source(schema, config).may_reject(true))
    }
}

fn failed(doing: &str, what: &str, error: &std::io::Error) -> Error {
    let error = Error::world(format!("{doing} {what}: {error}"));
    error.help("is the folder granted, by this name? `grant: (files: {\"/in\": Read(\"…\")})`")
}

impl Source for Config {
    type Reader = Lines;

    fn splits(&self, _: &Positions) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.folder).map_err(|e| failed("listing", &self.folder, &e))?;
        let files = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_file()));
        let mut names: Vec<String> = files.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        Ok(names)
    }

    fn open(&self, _: &Task, split: &str, position: Option<&str>) -> Result<Lines> {
        let path = PathBuf::from(&self.folder).join(split);
        let failed = |e: std::io::Error| failed("reading", &path.display().to_string(), &e);
        let mut file = BufReader::new(File::open(&path).map_err(failed)?);
        let at: u64 = position.and_then(|p| p.parse().ok()).unwrap_or(0);
        let mut lines = Lines { columns: self.columns.clone(), at: 0, file };
        match at {
            0 => (0..self.skip).try_for_each(|_| lines.line().map(drop))?,
            _ => {
                file = lines.file;
                file.seek(SeekFrom::Start(at)).map_err(failed)?;
                lines = Lines { columns: lines.columns, at, file };
            }
        }
        Ok(lines)
    }
}

/// The rest of a file.
pub struct Lines {
    columns: Vec<Place>,
    /// Bytes read so far.
    at: u64,
    file: BufReader<File>,
}

/// A line without its end, `None` after the last one; `Err`: longer than a line may be, its beginning.
type Line = Option<std::result::Result<Vec<u8>, Vec<u8>>>;

impl Lines {
    fn line(&mut self) -> Result<Line> {
        let mut line = vec![];
        let failed = |e: std::io::Error| failed("reading", "a line", &e);
        let read = self.file.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(failed)?;
        self.at += read as u64;
        if line.last() == Some(&b'\n') {
            line.pop();
            line.pop_if(|c| *c == b'\r');
            return Ok(Some(Ok(line)));
        }
        if (read as u64) < LONGEST {
            return Ok((read > 0).then_some(Ok(line)));
        }
        loop {
            let mut more = vec![];
            let read = self.file.by_ref().take(LONGEST).read_until(b'\n', &mut more).map_err(failed)?;
            self.at += read as u64;
            if read == 0 || more.last() == Some(&b'\n') {
                line.truncate(200);
                return Ok(Some(Err(line)));
            }
        }
    }

    /// The cells of a line; `None` where it is too short.
    fn cells(&self, line: &str) -> Option<Vec<Option<String>>> {
        let cell = |place: &Place| {
            let mut ends = line.char_indices().map(|(i, _)| i).chain([line.len()]);
            let from = ends.nth(place.start).filter(|from| *from < line.len())?;
            let to = ends.nth(place.length - 1).unwrap_or(line.len());
            let cell = line[from..to].trim();
            Some((!cell.is_empty()).then(|| cell.to_string()))
        };
        self.columns.iter().map(cell).collect()
    }
}

impl Reader for Lines {
    fn read(&mut self, out: &mut Out) -> Result<Next> {
        let mut columns: Vec<Vec<Option<String>>> = vec![vec![]; self.columns.len()];
        let (mut read, mut next) = (0, Next::More);
        for _ in 0..LINES {
            let Some(line) = self.line()? else {
                next = Next::Done;
                break;
            };
            read += 1;
            let bytes = match line {
                Ok(bytes) => bytes,
                Err(start) => {
                    let raw = String::from_utf8_lossy(&start);
                    out.reject_raw("fixed_width.long", "a line of more than 1 MiB", &format!("{raw}…"));
                    continue;
                }
            };
            let Ok(text) = std::str::from_utf8(&bytes) else {
                out.reject_raw("fixed_width.utf8", "the line is not UTF-8", &String::from_utf8_lossy(&bytes));
                continue;
            };
            match self.cells(text) {
                Some(cells) => columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell)),
                None => out.reject_raw("fixed_width.short", "the line ends before its last column begins", text),
            }
        }
        out.create("read", read);
        let mut rows = Rows::fresh(columns.first().map_or(0, Vec::len));
        for (number, column) in columns.into_iter().enumerate() {
            rows = rows.with(number, Column::utf8(column));
        }
        out.send(0, rows)?;
        Ok(next)
    }

    fn position(&self) -> Result<Option<String>> {
        Ok(Some(self.at.to_string()))
    }
}

selvedge_guest::export_source!(FixedWidth);

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &std::path::Path, skip: u32) -> String {
        let columns = r#"[{"name": "sku", "start": 1, "length": 4}, {"name": "qty", "start": 6, "length": 3}]"#;
        format!(r#"{{"folder": "{}", "skip": {skip}, "columns": {columns}}}"#, folder.display())
    }

    #[test]
    fn places_become_columns_and_odd_lines_are_rejected() {
        let folder = std::env::temp_dir().join(format!("fixed-width-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join("a.txt"),
            b"HEAD\nAB12  10\r\nA\xc3\x9c     7\nshort\n\xff\xff\xff\xff\xff\xff\xff\nlast 999",
        )
        .unwrap();
        let done = selvedge_guest::test::source::<FixedWidth>(&config(&folder, 1));
        std::fs::remove_dir_all(&folder).unwrap();
        done.expect("sku | qty\n AB12 | 10\n AÜ | 7\n last | 999");
        let mut codes: Vec<&str> = done.rejected.iter().map(|r| r.code.as_str()).collect();
        codes.sort_unstable();
        assert_eq!(codes, ["fixed_width.short", "fixed_width.utf8"]);
    }

    #[test]
    fn wrong_places_are_told_with_theirs() {
        let wrong = |config: &str| {
            let e = selvedge_guest::test::problem::<FixedWidth>(config, "");
            format!("{}: {}", e.at.clone().unwrap_or_default(), e.message)
        };
        assert_eq!(wrong(r#"{"columns": []}"#), "columns: needs `columns`: at least one");
        let zero = r#"{"columns": [{"name": "a", "start": 0, "length": 1}]}"#;
        assert_eq!(wrong(zero), "columns.0.start: `start` counts from 1");
    }
}
