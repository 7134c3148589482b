//! The report for merge requests and wikis: GitHub-flavoured Markdown, every word of users' escaped.

use super::sheet::{Grid, Side, compose, printable};
use crate::results::RunRecord;

/// The report as Markdown, ending in a line's end.
pub fn report(record: &RunRecord) -> String {
    let sheet = compose(record);
    let (word, sentence) = &sheet.verdict;
    let mut text = format!(
        "# {word}: {}\n\n{}.\n\n",
        escaped(&printable(&record.run.title)),
        escaped(sentence)
    );
    for end in &sheet.ends {
        text.push_str(&format!("> {}\n\n", escaped(end)));
    }
    for (name, value) in sheet.facts.iter().skip(1) {
        let name = if name.is_empty() { "Origin" } else { name };
        text.push_str(&format!("- **{name}**: {}\n", escaped(value)));
    }
    let grids = [
        &sheet.claims,
        &sheet.variants,
        &sheet.ledger,
        &sheet.health,
        &sheet.failed_gates,
    ];
    for grid in grids
        .into_iter()
        .chain(sheet.times.iter().flatten())
        .filter(|grid| !grid.rows.is_empty())
    {
        push_grid(&mut text, grid);
    }
    if !sheet.notes.is_empty() {
        text.push_str("\n## Notes\n\n");
        for note in &sheet.notes {
            text.push_str(&format!("- {}\n", escaped(note)));
        }
    }
    text
}

fn push_grid(text: &mut String, grid: &Grid) {
    text.push_str(&format!("\n## {}\n\n", escaped(&grid.title)));
    let names: Vec<String> = grid
        .columns
        .iter()
        .map(|column| escaped(&column.name.replace('\n', " ")))
        .collect();
    text.push_str(&format!("| {} |\n", names.join(" | ")));
    for column in &grid.columns {
        text.push_str(match column.side {
            Side::Left => "| --- ",
            Side::Right => "| ---: ",
        });
    }
    text.push_str("|\n");
    for row in &grid.rows {
        let cells: Vec<String> = row
            .iter()
            .map(|cell| {
                cell.trim()
                    .split('\n')
                    .map(escaped)
                    .collect::<Vec<_>>()
                    .join("<br>")
            })
            .collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    if !grid.caption.is_empty() {
        text.push_str(&format!("\n{}\n", escaped(&grid.caption)));
    }
}

/// Nothing in it is markup: neither Markdown's nor HTML's.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}
