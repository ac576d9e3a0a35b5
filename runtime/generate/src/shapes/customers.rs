//! Customers: who they are stays, what they tell the shop changes; every version is a row.

use super::{Block, DAY, FIRST_DAY, Origin, field};
use crate::words::{DIRTY_DATE, DIRTY_TIME, FAMILY, GIVEN, PLACES};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use selvedge_node::Result;

pub fn fields() -> Vec<Field> {
    ["customer_id", "name", "email", "birth_date", "gender", "location", "signup_date", "updated_at"]
        .map(|name| field(name, DataType::Utf8))
        .into()
}

/// How many different people a table of that many versions is about.
pub fn people(versions: u64) -> u64 {
    (versions * 62 / 100).max(1)
}

const GENDERS: &[&str] =
    &["F", "F", "F", "F", "M", "M", "M", "M", "female", "Female", "male", "MALE", "f ", "m", "X", "N/A"];

pub fn columns(block: &Block) -> Result<Vec<ArrayRef>> {
    let origins = block.origins(30, 0);
    let people = people(block.total);
    let who = block.draws("customer_id");
    // A person's own draws are taken at the person, so that versions agree.
    let person = |o: &Origin| who.at(o.row).below(people);
    let (nulls, given, family) = (block.draws("null"), block.draws("given"), block.draws("family"));
    let (email, born, gender) = (block.draws("email"), block.draws("birth_date"), block.draws("gender"));
    let (place, signup, updated) = (block.draws("location"), block.draws("signup_date"), block.draws("updated_at"));
    let dirt = block.draws("dirt");
    Ok(vec![
        block.text(&origins, 9, |o, out| {
            if nulls.at(o.row).chance(10) {
                return out.null();
            }
            out.put("C");
            out.number(person(o), 8);
            out.end();
        })?,
        block.text(&origins, 16, |o, out| {
            let mut draw = dirt.at(o.row);
            let spaces = draw.below(20);
            out.put(if spaces == 0 { "  " } else { "" });
            let mut given = given.at(person(o)).pick(GIVEN);
            // The same name with its accent as a character of its own (NFD), as some clients send it.
            if draw.chance(300) && given == "Zoë" {
                given = "Zoe\u{308}";
            }
            out.put(given);
            out.put(if spaces == 1 { "   " } else { " " });
            out.put(family.at(person(o)).pick(FAMILY));
            out.end();
        })?,
        block.text(&origins, 22, |o, out| {
            let mut draw = email.at(o.row);
            if draw.chance(50) {
                return out.null();
            }
            let domain = draw.pick(&["example.com", "Example.com", "example.org", "mail.example.net"]);
            out.dirty(&mut draw, 50, &[" {} ", "unknown", "{} "], |out| {
                out.put("User");
                out.number(person(o), 1);
                out.put("@");
                out.put(domain);
            });
        })?,
        block.text(&origins, 10, |o, out| {
            let mut draw = born.at(person(o));
            let mut dirty = born.at(people + o.row);
            if dirty.chance(50) {
                return out.null();
            }
            // 1935 to 2009, and now and then somebody who is 150 years old or not yet born.
            let clean = if draw.chance(8) { 54_000 } else { draw.below(14_600) };
            out.dirty(&mut dirty, 40, DIRTY_DATE, |out| out.date(clean));
        })?,
        block.text(&origins, 3, |o, out| {
            let mut draw = gender.at(o.row);
            if draw.chance(50) {
                return out.null();
            }
            out.put(draw.pick(GENDERS));
            out.end();
        })?,
        block.text(&origins, 20, |o, out| {
            let mut draw = place.at(o.row);
            if draw.chance(40) {
                return out.null();
            }
            let (city, state, first, codes) = draw.pick(PLACES);
            let zip = first + draw.below(codes);
            let way = draw.below(20);
            out.put(city);
            match way {
                0 => {} // only the city
                1 => {
                    out.put(", ");
                    out.put(&state.to_lowercase());
                    out.put("  ");
                    out.number(zip, 5);
                }
                2 => {
                    out.put(", ");
                    out.put(state);
                }
                _ => {
                    out.put(", ");
                    out.put(state);
                    out.put(" ");
                    out.number(zip, 5);
                }
            }
            out.end();
        })?,
        block.text(&origins, 10, |o, out| {
            let mut draw = signup.at(o.row);
            if draw.chance(20) {
                return out.null();
            }
            let clean = FIRST_DAY - 1500 + signup.at(people + person(o)).below(1500);
            out.dirty(&mut draw, 20, DIRTY_DATE, |out| out.date(clean));
        })?,
        block.text(&origins, 19, |o, out| {
            let mut draw = updated.at(o.row);
            let clean = FIRST_DAY * DAY + draw.below(700 * DAY);
            out.dirty(&mut draw, 8, DIRTY_TIME, |out| out.time(clean));
        })?,
    ])
}
