//! The edits as a graph writes them.

use crate::literal::Literal;
use crate::one_or_many::OneOrMany;
use crate::ordered::Ordered;
use schemars::JsonSchema;
use selvedge_node::{Column, Spanned, Type};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Done in this order: each edit sees the columns as the ones before it left them. The fields of an edit may be given by
    /// position, by name, or first by position and then by name.
    pub edits: Vec<Spanned<Edit>>,
    /// What happens to a value that cannot be cast or parsed, where its edit does not say.
    #[serde(default)]
    pub on_error: OnError,
}

/// What happens to a value that cannot be cast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum OnError {
    /// It becomes null, and its row is reported as altered.
    #[default]
    Null,
    /// Its row goes to `errors`.
    Reject,
    /// The run stops.
    Fail,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) enum Edit {
    /// Removes columns: `Drop(["a", "b"])`.
    Drop { columns: Vec<Column> },
    /// Removes all columns but these; they stay in their places: `Keep(["a", "b"])`.
    Keep { columns: Vec<Column> },
    /// Keeps exactly these columns, in this order: `Select(["c", "a"])`.
    Select { columns: Vec<Column> },
    /// `Rename("qty", "quantity")`.
    Rename { column: Column, to: Column },
    /// `Renames({"qty": "quantity", "st": "store"})`, all at once, so that two names can be swapped.
    Renames { columns: Ordered<Column> },
    /// Puts these columns first, in this order; the others follow: `Reorder(["id", "name"])`.
    Reorder { columns: Vec<Column> },
    /// `Cast("quantity", Int32)`, `Cast("sold_on", Date, format: "%d/%m/%Y", on_error: Reject)`.
    Cast {
        column: Column,
        to: Spanned<Type>,
        #[serde(default)]
        on_error: Option<OnError>,
        /// How text is to be read as a date or timestamp, as in `ParseDate`.
        #[serde(default)]
        format: Option<Spanned<OneOrMany>>,
    },
    /// Several casts: `Casts({"quantity": Int32, "price": Decimal(10, 2)}, on_error: Reject)`.
    Casts {
        columns: Ordered<Spanned<Type>>,
        #[serde(default)]
        on_error: Option<OnError>,
    },
    /// Makes one type of a choice, or several columns: `ResolveChoice("price", Cast(Float64))`. The column may be a path into
    /// structs and the items of lists: `ResolveChoice("items[].price", Project(Int64), on_error: Reject)`.
    ResolveChoice {
        column: Column,
        how: Spanned<Resolve>,
        #[serde(default)]
        on_error: Option<OnError>,
    },
    /// As `ResolveChoice`, for all choices wherever they are: `ResolveChoices(MatchCatalog("schemas/orders.ron"))`.
    ResolveChoices {
        how: Spanned<Resolve>,
        #[serde(default)]
        on_error: Option<OnError>,
    },
    /// A new last column that holds one value: `Add("feed", "iri")`, `Add("rate", 1, Decimal(4, 2))`. The texts `"now()"` and
    /// `"today()"` are the time (in UTC) and the day when the run came to its first row.
    Add {
        column: Column,
        value: Spanned<Literal>,
        #[serde(default)]
        to: Option<Spanned<Type>>,
    },
    /// Puts a value where the column is null: `Default("quantity", 0)`.
    Default { column: Column, value: Spanned<Literal> },
    /// Takes a struct column apart, to the last level, into columns `user_name`, `user_address_city`; a null struct gives null
    /// columns: `Flatten("user", separator: ".")`.
    Flatten {
        column: Column,
        #[serde(default = "underscore")]
        separator: String,
        /// What the names start with, the separator included; the column's name and the separator if left out.
        #[serde(default)]
        prefix: Option<String>,
    },
    /// Reads text as dates or times; the first format that fits a value counts:
    /// `ParseDate("sold_on", ["%d/%m/%Y", "yyyy-MM-dd"], to: Date)`.
    ParseDate {
        column: Column,
        /// With `%`: as strftime (`%Y %y %m %d %e %j %b %B %a %A %H %I %M %S %f %p %z %Z %T %D %F %R %%`). Without: as Spark
        /// and Java (`yyyy yy MM M dd d MMM MMMM EEE EEEE HH H hh h mm m ss s SSS a XXX Z 'text'`).
        #[serde(alias = "formats")]
        format: Spanned<OneOrMany>,
        #[serde(default)]
        to: Option<Spanned<Type>>,
        #[serde(default)]
        on_error: Option<OnError>,
    },
    /// Reads text as people write numbers: `ParseNumber("amount", Decimal(12, 2), decimal: ",", thousands: ".")` takes
    /// `1.234,50 €`, `-5`, `(5,00)` (an accountant's minus).
    ParseNumber {
        column: Column,
        #[serde(default)]
        to: Option<Spanned<Type>>,
        /// The decimal separator.
        #[serde(default = "point")]
        decimal: Spanned<char>,
        /// The thousands separator. It may be left out of a value, but where it stands it must part groups of three digits:
        /// `1,5` is refused, as it probably means 1.5. A blank takes all kinds of blanks.
        #[serde(default = "comma")]
        thousands: Spanned<char>,
        /// Signs and codes to ignore before or after the number.
        #[serde(default = "currencies")]
        currency: Vec<String>,
        /// Whether `12 %` is read, as 0.12.
        #[serde(default)]
        percent: bool,
        #[serde(default)]
        on_error: Option<OnError>,
    },
}

/// What becomes of a choice.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub(crate) enum Resolve {
    /// All values are cast to this type.
    Cast(Type),
    /// A column for each type: `price` becomes `price_int64` and `price_utf8`.
    MakeCols,
    /// A struct with a field for each type; which is what a choice is, so that nothing is done.
    MakeStruct,
    /// As `Cast`, to one of the types of the choice.
    Project(Type),
    /// As `Cast`, to the type that this schema file has; the path is relative to the graph.
    MatchCatalog(String),
}

fn underscore() -> String {
    "_".into()
}

fn point() -> Spanned<char> {
    Spanned::new('.', Default::default())
}

fn comma() -> Spanned<char> {
    Spanned::new(',', Default::default())
}

fn currencies() -> Vec<String> {
    ["$", "€", "£", "¥", "₹", "USD", "EUR", "GBP"].map(String::from).to_vec()
}
