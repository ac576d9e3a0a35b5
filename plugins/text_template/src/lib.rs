//! `TextTemplate`: a sink that writes each row as a piece of text: price labels for a printer (ZPL), XML, letters.
#![deny(unsafe_code)]

mod template;

use selvedge_guest::prelude::*;
use std::fs::File;
use std::io::{BufWriter, Write};
use template::{Escape, Template};

/// The kind.
pub struct TextTemplate;

/// The settings.
pub struct Config {
    file: String,
    header: String,
    row: Template,
    footer: String,
}

/// A file being written.
pub struct Work {
    config: Config,
    part: String,
    file: Option<BufWriter<File>>,
}

impl Kind for TextTemplate {
    const NAME: &'static str = "TextTemplate";
    const ABOUT: &'static str = "writes each row as a piece of text, by a template";
    const DOCS: &'static str = "\
Settings: `file` (`/out/labels.zpl`: grant its folder as `files: {\"/out\": Write(\"…\")}`), `row` (the text of a row: `{sku}` stands for the column, \
`{{` for a brace), `header` and `footer` (once), `escape` of values (`none`, `xml`, `json`).

Text, whole numbers, numbers and booleans are written as they are, null as nothing; cast other types to text first. The file is written beside and \
renamed when the run is done; it replaces one of the same name.";
    const EXAMPLE: &'static str =
        r#"{"file": "/out/labels.zpl", "row": "^XA^FO50,50^FD{name}^FS^FO50,90^FD{price}^FS^XZ\n"}"#;
    const WISHES: &'static [selvedge_guest::Wish] = &[selvedge_guest::Wish {
        capability: selvedge_guest::Capability::Files("/out"),
        reason: "the file to write",
        needed: false,
    }];
    type Config = Config;
    type Work = Work;

    fn config(settings: &mut Settings) -> Result<Config> {
        let words = [("none", Escape::None), ("xml", Escape::Xml), ("json", Escape::Json)];
        let escape = settings.choice("escape", &words)?.unwrap_or(Escape::None);
        let (at, row) = (settings.at("row"), settings.required::<String>("row")?);
        Ok(Config {
            file: settings.required("file")?,
            header: settings.or("header", String::new())?,
            row: Template::read(&row, escape).map_err(|e| Error::graph(e).at(at))?,
            footer: settings.or("footer", String::new())?,
        })
    }

    fn build(mut config: Config, inputs: &[Input]) -> Result<Built<Work>> {
        let mut reads = vec![];
        if let Some(input) = inputs.first() {
            let fits = |t: &Type| t.is_text() || t.is_integer() || t.is_float() || *t == Type::Bool;
            config.row.bind(|name| {
                let column = input.schema.column_of_type(name, "row", "text, a number or a boolean", fits)?;
                reads.push(column);
                Ok(column)
            })?;
        }
        let target = format!("the file {}", config.file);
        let work = Work { config, part: String::new(), file: None };
        Ok(Built::sink(Partitioning::InOrder, work).reads(reads).target(target))
    }
}

fn failed(doing: &str, what: &str, error: &std::io::Error) -> Error {
    let error = Error::world(format!("{doing} {what}: {error}"));
    error.help("is its folder granted, by this name? `grant: (files: {\"/out\": Write(\"…\")})`")
}

impl Work {
    fn put(&mut self, text: &str) -> Result<()> {
        let Some(file) = &mut self.file else { return Err(Error::bug("no file is open")) };
        file.write_all(text.as_bytes()).map_err(|e| failed("writing", &self.part, &e))
    }
}

impl Writer for Work {
    fn open(&mut self, task: &Task) -> Result<()> {
        self.part = format!("{}.{}.part", self.config.file, task.run);
        let file = File::create(&self.part).map_err(|e| failed("making", &self.part, &e))?;
        self.file = Some(BufWriter::new(file));
        let header = self.config.header.clone();
        self.put(&header)
    }

    fn write(&mut self, _: usize, batch: &Batch, out: &mut Out) -> Result<()> {
        let text = self.config.row.rows(batch)?;
        self.put(&text)?;
        out.absorb("written", batch.rows() as u64);
        Ok(())
    }

    fn flush(&mut self, _: u64) -> Result<String> {
        let footer = self.config.footer.clone();
        self.put(&footer)?;
        let Some(file) = self.file.take() else { return Err(Error::bug("no file is open")) };
        let file = file.into_inner().map_err(|e| failed("writing", &self.part, e.error()))?;
        file.sync_all().map_err(|e| failed("writing", &self.part, &e))?;
        Ok(self.part.clone())
    }
}

impl Sink for TextTemplate {
    fn commit(config: &Config, _: &Commit, pending: &[String]) -> Result<()> {
        for part in pending {
            match std::fs::rename(part, &config.file) {
                // An earlier try got this far.
                Err(e)
                    if e.kind() == std::io::ErrorKind::NotFound && std::fs::exists(&config.file).unwrap_or(false) => {}
                Err(e) => return Err(failed("publishing", &config.file, &e)),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn abort(_: &Config, pending: &[String]) -> Result<()> {
        for part in pending {
            std::fs::remove_file(part).map_err(|e| failed("removing", part, &e))?;
        }
        Ok(())
    }
}

selvedge_guest::export_sink!(TextTemplate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_text_once_they_are_committed() {
        let file = std::env::temp_dir().join(format!("text-template-{}.xml", std::process::id()));
        let config = format!(
            r#"{{"file": "{}", "header": "<stock>", "row": "<i sku=\"{{sku}}\" n=\"{{n}}\"/>", "footer": "</stock>", "escape": "xml"}}"#,
            file.display()
        );
        let done = selvedge_guest::test::sink::<TextTemplate>(&config, "sku | n:Int64\n a<b | 1\n null | 2");
        assert_eq!(done.absorbed["written"], 2);
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            r#"<stock><i sku="a&lt;b" n="1"/><i sku="" n="2"/></stock>"#
        );
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn wrong_templates_are_told() {
        let wrong = |row: &str| {
            let config = format!(r#"{{"file": "/out/x", "row": "{row}"}}"#);
            selvedge_guest::test::problem::<TextTemplate>(&config, "sku | n:Int64\n a | 1").message
        };
        assert_eq!(wrong("{skuu}"), "no column named `skuu`");
        assert_eq!(wrong("{sku"), "a brace is opened and not closed");
        assert_eq!(wrong("a } b"), "a brace is closed and was not opened");
    }
}
