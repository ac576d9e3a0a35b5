//! For `selvedge crawl`: which objects a folder holds, and what columns an object has.

use crate::compression::{Compression, Input};
use crate::files::{Checked, Config, Looked};
use crate::lake::{Found as File, find, root};
use crate::paths::Paths;
use crate::request::Request;
use crate::typed::OnError;
use crate::{csv, ndjson};
use arrow::array::RecordBatch;
use selvedge_connect::Connectors;
use selvedge_node::{
    Memory, Next, Out, Positions, Problem, Problems, Rejection, Result, Site, Source, Spanned, Task, Type, choice_name,
};
use selvedge_ron::Value;
use selvedge_schemas::{Extent, Found, FoundColumn};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Files that are looked at for a sample, spread evenly.
const FILES: usize = 100;

/// The columns of an object: `Files(path: "…", format: …)`, as a graph would write it. `None`: it has no files any more.
pub fn crawl<C: Connectors>(
    object: &Value,
    site: &Site,
    extent: Extent,
) -> std::result::Result<Option<Found>, Problems> {
    let config: Config = selvedge_ron::from_value(object)?;
    let Looked { format, files, compression, path_at } = config.look::<C>(site)?;
    if files.is_empty() {
        return Ok(None);
    }
    let request = |files| Request {
        files,
        path_at,
        compression,
        schema: None,
        exact: false,
        columns: None,
        file_name: None,
        row_number: None,
        on_error: OnError::Reject,
        split_bytes: u64::MAX,
    };
    // What the files' own metadata tells costs little; rows are looked at in some files only.
    let by_rows = matches!(format, Checked::Csv(_) | Checked::Ndjson(_));
    let step = if extent == Extent::Full || !by_rows { 1 } else { files.len().div_ceil(FILES).max(1) };
    let files: Vec<File> = files.into_iter().filter(|file| file.bytes > 0).step_by(step).collect();
    if files.is_empty() {
        return Err(Problem::error(path_at, "every file is empty, so there are no columns").into());
    }
    let (columns, notes) = match &format {
        Checked::Ndjson(_) => ndjson::crawl::crawl(&request(&files), extent)?,
        _ => {
            let (mut problems, mut merge) = (Problems::default(), Merge::default());
            for file in &files {
                let request = request(std::slice::from_ref(file));
                let found = match &format {
                    Checked::Csv(options) => csv::crawl::crawl(&request, options, extent),
                    other => other
                        .plan(&request)
                        .map(|plan| (plan.output.schema.fields().iter().map(|f| FoundColumn::of(f)).collect(), vec![])),
                };
                if let Some((columns, notes)) = problems.take(found) {
                    merge.add(&file.name, columns, by_rows);
                    merge.notes.extend(notes);
                }
            }
            problems.or(merge.done())?
        }
    };
    if columns.is_empty() {
        return Err(Problem::error(path_at, "no row has told a column").help("is it the right format?").into());
    }
    Ok(Some(Found { columns, notes }))
}

/// The columns of several files as those of one object.
#[derive(Default)]
struct Merge {
    columns: Vec<(FoundColumn, Vec<Type>)>,
    places: HashMap<String, usize>,
    files: Vec<(String, BTreeSet<String>)>,
    notes: Vec<String>,
}

impl Merge {
    /// `text`: values that differ in kind have their text in common.
    fn add(&mut self, file: &str, columns: Vec<FoundColumn>, text: bool) {
        self.files.push((file.to_string(), columns.iter().map(|c| c.name.clone()).collect()));
        for column in columns {
            let Some(&at) = self.places.get(&column.name) else {
                self.places.insert(column.name.clone(), self.columns.len());
                self.columns.push((column.clone(), vec![column.ty]));
                continue;
            };
            let (known, types) = &mut self.columns[at];
            known.nullable |= column.nullable;
            let name = choice_name(&column.ty.arrow());
            match types.iter().find(|ty| choice_name(&ty.arrow()) == name) {
                Some(same) if *same != column.ty => {
                    self.notes.push(format!("`{}` is another {name} in {file} than before", column.name));
                }
                Some(_) => {}
                None if !text => types.push(column.ty),
                None => match (&types[0], &column.ty) {
                    (Type::Int64, Type::Float64) | (Type::Float64, Type::Int64) => types[0] = Type::Float64,
                    (Type::Date, Type::Timestamp) | (Type::Timestamp, Type::Date) => types[0] = Type::Timestamp,
                    _ => types[0] = Type::Utf8,
                },
            }
        }
    }

    fn done(mut self) -> (Vec<FoundColumn>, Vec<String>) {
        let mut columns = vec![];
        for (mut column, mut types) in self.columns {
            let without = self.files.iter().find(|(_, names)| !names.contains(&column.name));
            if let Some((file, _)) = without {
                column.nullable = true;
                self.notes.push(format!("{file} has no column `{}`", column.name));
            }
            column.ty = match types.len() {
                1 => types.remove(0),
                _ => Type::Choice(types),
            };
            columns.push(column);
        }
        (columns, self.notes)
    }
}

/// Rows of a source that were looked at, and those among them that it rejected.
pub struct Rows {
    pub good: u64,
    pub bad: u64,
}

/// Shows the first rows of a source.
pub fn look(source: &dyn Source, most: u64, see: &mut dyn FnMut(&RecordBatch)) -> Result<Rows> {
    let task = Task {
        run: "crawl".into(),
        node: "crawl".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(64 << 20),
        scratch: std::env::temp_dir(),
        batch_rows: selvedge_node::BATCH_ROWS,
        batch_bytes: selvedge_node::BATCH_BYTES,
        wake: Default::default(),
    };
    let mut watcher = Watcher { left: most, rows: Rows { good: 0, bad: 0 }, see };
    for split in source.splits(&Positions::new())? {
        let mut reader = split.open(&task)?;
        while watcher.left > 0 && reader.read(&mut watcher)? == Next::More {}
    }
    Ok(watcher.rows)
}

struct Watcher<'a> {
    left: u64,
    rows: Rows,
    see: &'a mut dyn FnMut(&RecordBatch),
}

impl Out for Watcher<'_> {
    fn send(&mut self, _: usize, batch: RecordBatch) -> Result<()> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(batch.num_rows());
        self.left -= wanted as u64;
        self.rows.good += wanted as u64;
        (self.see)(&batch.slice(0, wanted));
        Ok(())
    }
    fn reject(&mut self, _: Rejection) -> Result<()> {
        self.rows.bad += u64::from(self.left > 0);
        Ok(())
    }
    fn drop_rows(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn altered(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn absorb(&mut self, _: &str, _: u64) {}
    fn create(&mut self, _: &str, _: u64) {}
    fn stopping(&self) -> bool {
        false
    }
}

/// The objects of a folder, by name: the files of one format in a folder are one, folders named `key=value` belong to the one
/// above, and each file at the top is one of its own. Other files are passed over.
pub fn objects<C: Connectors>(
    site: &Site,
    connection: &str,
) -> std::result::Result<BTreeMap<String, String>, Problems> {
    let root = root::<C>("crawl", Some(&Spanned::new(connection.to_string(), Default::default())), site)?;
    root.there()?;
    let root = &root;
    let everything = Paths(vec![Spanned::new(String::new(), Default::default())]);
    let files = find(root, &Spanned::new(everything, Default::default()), true)?;
    // By folder (or file, at the top) and format: the endings, whether there are folders below, a file.
    let mut groups: BTreeMap<(String, &str), (BTreeSet<&str>, bool, &File)> = BTreeMap::new();
    for file in &files {
        let (folder, name) = file.name.rsplit_once('/').unwrap_or(("", &file.name));
        let Some((format, stem, ending)) = format_of(name) else { continue };
        let own = folder.split('/').take_while(|part| !part.contains('=')).collect::<Vec<_>>().join("/");
        let key = if own.is_empty() && folder.is_empty() { format!("/{stem}") } else { own.clone() };
        let group = groups.entry((key, format)).or_insert((BTreeSet::new(), false, file));
        group.0.insert(ending);
        group.1 |= own != folder;
    }
    let mut named: BTreeMap<String, Vec<(&str, String)>> = BTreeMap::new();
    for ((key, format), (endings, deeper, file)) in &groups {
        let endings: Vec<&str> = endings.iter().copied().collect();
        let ending = match &endings[..] {
            [one] => one.to_string(),
            many => format!("{{{}}}", many.join(",")),
        };
        let path = match key.strip_prefix('/') {
            Some(stem) => format!("{}.{ending}", plain_glob(stem)),
            None if key.is_empty() => format!("**/*.{ending}"),
            None if *deeper => format!("{}/**/*.{ending}", plain_glob(key)),
            None => format!("{}/*.{ending}", plain_glob(key)),
        };
        let name = key.trim_matches('/').replace('/', "-");
        let name: String = name.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let name = if name.is_empty() { "files".to_string() } else { name };
        let format_text = match *format {
            "Csv" => csv_text(file),
            "Ndjson" => "Ndjson()".into(),
            plain => plain.into(),
        };
        let object = format!("Files(connection: {connection:?}, path: {path:?}, format: {format_text})");
        named.entry(name).or_default().push((format, object));
    }
    let mut objects = BTreeMap::new();
    for (name, mut same) in named {
        if same.len() == 1 {
            objects.extend(same.pop().map(|(_, object)| (name, object)));
            continue;
        }
        for (format, object) in same {
            let mut own = format!("{name}-{}", format.to_lowercase());
            while objects.contains_key(&own) {
                own.push('_');
            }
            objects.insert(own, object);
        }
    }
    Ok(objects)
}

/// Format, stem and ending of a file's name; `None`: it is no data that can be read.
fn format_of(name: &str) -> Option<(&'static str, &str, &str)> {
    const PACKED: [&str; 8] = ["gz", "gzip", "zst", "zstd", "bz2", "sz", "snappy", ""];
    let lower = name.to_ascii_lowercase();
    for packed in PACKED {
        let inner = match packed {
            "" => lower.as_str(),
            ending => match lower.strip_suffix(&format!(".{ending}")) {
                Some(inner) => inner,
                None => continue,
            },
        };
        let (stem, ending) = inner.rsplit_once('.')?;
        let format = match ending {
            "csv" | "tsv" | "psv" => "Csv",
            "ndjson" | "jsonl" | "json" => "Ndjson",
            "parquet" if packed.is_empty() => "Parquet",
            "orc" if packed.is_empty() => "Orc",
            "arrow" | "feather" | "ipc" if packed.is_empty() => "Arrow",
            _ => return None,
        };
        return Some((format, name.get(..stem.len())?, name.get(stem.len() + 1..)?));
    }
    None
}

/// A path in which nothing is a glob.
fn plain_glob(path: &str) -> String {
    path.chars().map(|c| if matches!(c, '*' | '?' | '[' | '{') { format!("[{c}]") } else { c.to_string() }).collect()
}

/// The CSV format, with the delimiter that the first line has most of.
fn csv_text(file: &File) -> String {
    let mut start = vec![0; 16 << 10];
    let read = Input::whole(file, Compression::Auto).and_then(|mut input| input.read_full(&mut start));
    // A file that cannot be read is told when its columns are looked for.
    start.truncate(read.unwrap_or_default());
    let line = start.split(|b| *b == b'\n').next().unwrap_or_default();
    let count = |delimiter: &u8| line.iter().filter(|b| *b == delimiter).count();
    // The first of the most frequent.
    match b"|\t;,".iter().max_by_key(|d| count(d)).filter(|d| **d != b',') {
        Some(other) => format!("Csv(delimiter: {:?})", *other as char),
        None => "Csv()".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_node::{Connection, Span};
    use selvedge_testkit::NoConnections;

    #[test]
    fn a_folder_s_objects() {
        let lake = tempfile::tempdir().unwrap();
        let body = selvedge_ron::parse(selvedge_ron::FileId(0), "(path: \".\")").unwrap();
        let base = lake.path().to_path_buf();
        let connection = Connection { name: "lake".into(), kind: "Folder".into(), span: Span::default(), body, base };
        let connections = NoConnections([("lake".to_string(), connection)].into());
        for (name, text) in [
            ("shops.csv", "id,name\n"),
            ("Stock.CSV.gz", ""),
            ("raw/orders/a.ndjson", ""),
            ("raw/orders/b.ndjson.gz", ""),
            ("raw/events/day=1/hour=2/a.json", ""),
            ("raw/events/day=2/a.json", ""),
            ("mixed/a.csv", "a;b;c,d\n"),
            ("mixed/a.tsv", "a\n"),
            ("mixed/b.parquet", ""),
            ("mixed/notes.txt", ""),
            ("mixed/b.parquet.gz", ""),
            ("day=1/a.arrow", ""),
            ("odd [x]/a.csv", "a|b"),
            ("_tmp/a.csv", ""),
        ] {
            let path = lake.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let objects =
            objects::<selvedge_connect::Embedded>(&selvedge_testkit::site(lake.path(), &connections), "lake").unwrap();
        let lines: Vec<String> = objects.iter().map(|(name, object)| format!("{name}: {object}")).collect();
        let files = |name: &str, path: &str, format: &str| {
            format!("{name}: Files(connection: \"lake\", path: \"{path}\", format: {format})")
        };
        assert_eq!(
            lines,
            [
                files("Stock", "Stock.CSV.gz", "Csv()"),
                files("files", "**/*.arrow", "Arrow"),
                files("mixed-csv", "mixed/*.{csv,tsv}", "Csv(delimiter: ';')"),
                files("mixed-parquet", "mixed/*.parquet", "Parquet"),
                files("odd__x_", "odd [[]x]/*.csv", "Csv(delimiter: '|')"),
                files("raw-events", "raw/events/**/*.json", "Ndjson()"),
                files("raw-orders", "raw/orders/*.{ndjson,ndjson.gz}", "Ndjson()"),
                files("shops", "shops.csv", "Csv()"),
            ]
        );
    }
}
