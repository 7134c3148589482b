//! The report for a terminal: the verdict in words first, then tables. No colours; plain ASCII but for what users wrote.

use std::path::PathBuf;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use super::sheet::{Grid, Sheet, Side, compose};
use crate::results::RunRecord;

/// How the text is laid out.
#[derive(Debug, Clone)]
pub struct TextOptions {
    /// Most characters in a line.
    pub width: u16,
    /// Where the results stand; named at the end.
    pub folder: Option<PathBuf>,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            width: 100,
            folder: None,
        }
    }
}

/// The report as text, ending in a line's end. Of several variants only the first is told in detail, and those others
/// that lost messages or whose gates did not hold.
pub fn report(record: &RunRecord, options: &TextOptions) -> String {
    let mut sheet = compose(record);
    let several = record.run.variants.len() > 1;
    if several {
        shorten(&mut sheet, record);
    }
    let Sheet {
        verdict: (word, sentence),
        ends,
        facts,
        claims,
        variants,
        times,
        ledger,
        health,
        failed_gates,
        notes,
    } = sheet;
    let mut text = format!("{word}: {sentence}.\n");
    for end in &ends {
        push_wrapped(&mut text, "! ", end, options.width);
    }
    text.push('\n');
    for (name, value) in &facts {
        push_wrapped(&mut text, &format!("{name:<10} "), value, options.width);
    }
    let mut grids = vec![&claims, &variants];
    grids.extend(times.first().and_then(Option::as_ref));
    grids.extend([&ledger, &health, &failed_gates]);
    for grid in grids.into_iter().filter(|grid| !grid.rows.is_empty()) {
        push_grid(&mut text, grid, options.width);
    }
    if !notes.is_empty() {
        text.push_str("\nNotes\n");
        for note in &notes {
            push_wrapped(&mut text, "- ", note, options.width);
        }
    }
    if let Some(folder) = &options.folder {
        text.push_str(&format!(
            "\nReport: {}\n",
            folder.join("report.html").display()
        ));
    }
    text
}

/// Leaves out what is as it should be in all variants but the first.
fn shorten(sheet: &mut Sheet, record: &RunRecord) {
    let is_told = |index: usize| {
        let variant = &record.run.variants[index];
        let missing = variant.totals.is_none_or(|t| {
            t.undelivered + t.lost_confirmed + t.lost_unconfirmed + t.duplicated + t.corrupt > 0
        });
        index == 0 || missing
    };
    let is_healthy = |index: usize| record.run.variants[index].gates.iter().all(|g| g.held);
    let all = sheet.ledger.rows.len();
    keep(&mut sheet.ledger, is_told);
    keep(&mut sheet.health, |index| index == 0 || !is_healthy(index));
    if sheet.ledger.rows.len() < all {
        sheet.ledger.caption.push_str(
            " Not shown: variants of which every message that was sent came, once. They stand in report.html.",
        );
    }
}

fn keep(grid: &mut Grid, is_kept: impl Fn(usize) -> bool) {
    let mut index = 0;
    grid.rows.retain(|_| {
        index += 1;
        is_kept(index - 1)
    });
}

fn push_grid(text: &mut String, grid: &Grid, width: u16) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(grid.columns.iter().map(|column| column.name.as_ref()))
        .add_rows(grid.rows.clone());
    let gap = if grid.columns.len() > 9 { 1 } else { 2 };
    for (column, spec) in table.column_iter_mut().zip(&grid.columns) {
        column.set_padding((0, gap));
        // A claim reads badly when it is broken into lines.
        if spec.name == "Claim" {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        if spec.side == Side::Right {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    text.push_str(&format!("\n{}\n", grid.title));
    for line in table.trim_fmt().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if !grid.caption.is_empty() {
        push_wrapped(text, "", &grid.caption, width);
    }
}

/// Breaks at spaces; continued lines are indented as far as the lead is wide.
fn push_wrapped(text: &mut String, lead: &str, content: &str, width: u16) {
    let indent = lead.chars().count();
    let room = usize::from(width).saturating_sub(indent).max(20);
    let mut line = String::new();
    let mut lead = lead.to_owned();
    for word in content.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            text.push_str(format!("{lead}{line}").trim_end());
            text.push('\n');
            lead = " ".repeat(indent);
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    text.push_str(format!("{lead}{line}").trim_end());
    text.push('\n');
}
