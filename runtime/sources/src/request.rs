//! What a graph asks of a format, and what the format answers: the words between `files.rs` and the formats.

use crate::compression::Compression;
use crate::lake::Found;
use crate::output::Output;
use crate::typed::OnError;
use arrow::datatypes::{DataType, Field, Schema};
use selvedge_node::{Column, Error, Fields, Problem, Problems, Source, Span, Type, columns};
use selvedge_schemas::type_of;
use std::collections::{HashMap, HashSet};

/// Files to read and how, whatever their format.
pub struct Request<'a> {
    /// In the order of their names.
    pub files: &'a [Found],
    /// The place to blame for the files.
    pub path_at: Span,
    pub compression: Compression,
    pub schema: Option<&'a Fields>,
    /// The schema was found and not declared: whole numbers are read as nothing else, as where they are guessed.
    pub exact: bool,
    pub columns: Option<&'a [Column]>,
    pub file_name: Option<&'a Column>,
    pub row_number: Option<&'a Column>,
    pub on_error: OnError,
    /// Parts of one file are about this long.
    pub split_bytes: u64,
}

/// Columns that differ between files: this many are told.
const DIFFERENCES: usize = 20;

fn fields_by_name(schema: &Schema) -> HashMap<&str, &Field> {
    // The first one of a name, as everywhere.
    schema.fields().iter().rev().map(|f| (f.name().as_str(), f.as_ref())).collect()
}

/// Whether a file's column can be read as declared: as the same type, whatever the file calls the items of lists, or as one
/// of a choice.
fn fits(found: &DataType, declared: &Type) -> bool {
    let found = type_of(found);
    let plain = type_of(&declared.arrow());
    found == plain || matches!(&plain, Type::Choice(types) if types.contains(&found))
}

/// How the files will be read.
pub struct Plan {
    pub output: Output,
    pub source: Box<dyn Source>,
    pub may_reject: bool,
    pub notes: Vec<String>,
    pub warnings: Vec<Problem>,
}

impl Request<'_> {
    /// Indices of the wanted columns, and what is sent.
    pub fn project(&self, all: &Schema) -> Result<(Vec<usize>, Output), Problems> {
        let wanted = match self.columns {
            Some(names) => {
                let mut problems = Problems::default();
                let mut seen = HashSet::new();
                for name in names {
                    if !seen.insert(name.as_str()) {
                        problems.push(Problem::error(name.span, format!("column `{name}` is named twice")));
                    }
                }
                let wanted = problems.take(columns(all, names)).unwrap_or_default();
                problems.or(wanted)?
            }
            None => (0..all.fields().len()).collect(),
        };
        let fields: Vec<Field> = wanted.iter().map(|&i| all.field(i).clone()).collect();
        let output = Output::new(&Schema::new(fields), self.file_name, self.row_number)?;
        Ok((wanted, output))
    }

    /// No file has told what the columns are.
    pub fn no_schema(&self) -> Problems {
        let what = if self.files.is_empty() { "there is no file" } else { "every file is empty" };
        Problem::error(self.path_at, format!("{what}, so the columns are not known"))
            .help("declare them: schema: { \"name\": Utf8, … }")
            .into()
    }

    /// What reading a file at plan time has met.
    pub fn problem(&self, e: Error) -> Problem {
        let problem = Problem::error(self.path_at, e.message);
        match e.help {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    /// The columns of several files as one schema: the same names and types in each, in the order of the first; a column may
    /// be null if it may be in any. The declared schema, if there is one, picks columns and must agree.
    pub fn merge(&self, schemas: &[(&str, Schema)]) -> Result<Schema, Problems> {
        let mut problems = Problems::default();
        let Some((first_name, first)) = schemas.first() else {
            return match self.schema {
                Some(declared) => Ok(declared.schema().as_ref().clone()),
                None => Err(self.no_schema()),
            };
        };
        let by_name: Vec<HashMap<&str, &Field>> = schemas.iter().map(|(_, schema)| fields_by_name(schema)).collect();
        if let Some(declared) = self.schema {
            for (name, ty) in &declared.0 {
                for ((file, schema), fields) in schemas.iter().zip(&by_name) {
                    match fields.get(name.as_str()) {
                        None => {
                            let known = schema.fields().iter().map(|f| f.name().as_str());
                            let mut problem = Problem::unknown(name.span, "column", name, known);
                            problem.message = format!("{} in {file}", problem.message);
                            problems.push(problem);
                        }
                        Some(field) if !fits(field.data_type(), ty) => problems.push(
                            Problem::error(
                                ty.span,
                                format!(
                                    "column `{name}` is declared as {}, but is {} in {file}",
                                    ty.arrow(),
                                    field.data_type()
                                ),
                            )
                            .help(
                                "declare it as it is, or leave the schema out, and cast it afterwards with SchemaEdit",
                            ),
                        ),
                        Some(_) => {}
                    }
                }
            }
            return problems.or(declared.schema().as_ref().clone());
        }
        let mut merged: Vec<Field> = first.fields().iter().map(|f| f.as_ref().clone()).collect();
        for ((file, schema), fields) in schemas.iter().zip(&by_name).skip(1) {
            for field in &mut merged {
                match fields.get(field.name().as_str()) {
                    None => problems
                        .push(self.differs(format!("{file} has no column `{}`, but {first_name} has", field.name()))),
                    Some(other) if other.data_type() != field.data_type() => problems.push(self.differs(format!(
                        "column `{}` is {} in {file}, but {} in {first_name}",
                        field.name(),
                        other.data_type(),
                        field.data_type()
                    ))),
                    Some(other) => *field = field.clone().with_nullable(field.is_nullable() || other.is_nullable()),
                }
            }
            for field in schema.fields() {
                if !by_name[0].contains_key(field.name().as_str()) {
                    problems.push(
                        self.differs(format!("{file} has a column `{}` that {first_name} has not", field.name())),
                    );
                }
            }
            // Files of other kinds among them would fill pages.
            if problems.0.len() > DIFFERENCES {
                problems.0.truncate(DIFFERENCES);
                problems.push(self.differs("there are more such differences".into()));
                break;
            }
        }
        problems.or(Schema::new(merged))
    }

    fn differs(&self, what: String) -> Problem {
        Problem::error(self.path_at, what)
            .help("read files of different shape by nodes of their own, and join them with Union")
    }
}
