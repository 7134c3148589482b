//! Golden files of every rendering of two fixed records, and what must hold of them whatever they look like.

use resvg::usvg;

use super::text::TextOptions;
use super::*;
use crate::analysis::assess;
use crate::record::Series;
use crate::results::fixture::{bad_day, kept};
use crate::results::{VariantSeries, interval_header, interval_record};

fn assessed(mut record: RunRecord) -> RunRecord {
    assess(&mut record);
    record
}

fn both() -> [(&'static str, RunRecord); 2] {
    [("kept", assessed(kept())), ("bad_day", assessed(bad_day()))]
}

#[test]
fn texts_are_as_agreed() {
    for (name, record) in both() {
        let options = TextOptions {
            folder: Some("results/work-queue/2026-11-24T03-59-39Z".into()),
            ..TextOptions::default()
        };
        insta::assert_snapshot!(format!("text_{name}"), text::report(&record, &options));
        insta::assert_snapshot!(format!("markdown_{name}"), markdown::report(&record));
        insta::assert_snapshot!(format!("json_{name}"), json::report(&record).unwrap());
        insta::assert_snapshot!(format!("junit_{name}"), junit::report(&record.run).unwrap());
        insta::assert_snapshot!(
            format!("summary_csv_{name}"),
            csv::summary(&record.run).unwrap()
        );
        insta::assert_snapshot!(format!("html_{name}"), html::page(&record, &[]).unwrap());
    }
}

#[test]
fn files_of_one_variant_are_as_agreed() {
    let record = assessed(kept());
    let (variant, series) = (&record.run.variants[0], &record.series[0]);
    let hgrm = hgrm::files(&variant.streams, series).unwrap();
    let (name, text) = &hgrm[0];
    assert_eq!(name, "delivery-response.hgrm");
    insta::assert_snapshot!("hgrm", text);
    let mut lines = vec![interval_header().join(",")];
    lines.extend(
        series
            .intervals
            .iter()
            .map(|row| interval_record(row).join(",")),
    );
    insta::assert_snapshot!("intervals_csv", lines.join("\n"));
}

#[test]
fn charts_are_as_agreed() {
    let [(_, kept), (_, bad_day)] = both();
    for chart in chart::charts(&kept).unwrap() {
        let name = chart.path.file_name().unwrap().to_str().unwrap().to_owned();
        insta::assert_snapshot!(format!("chart_{name}"), chart.svg);
    }
    let charts = chart::charts(&bad_day).unwrap();
    insta::assert_snapshot!("chart_variants", charts[0].svg);
    insta::assert_snapshot!("chart_curve_with_unanswered", charts[3].svg);
}

#[test]
fn no_word_of_a_user_becomes_markup_or_steers_a_terminal() {
    let record = assessed(bad_day());
    for (path, bytes) in files(&record).unwrap() {
        let Ok(text) = String::from_utf8(bytes) else {
            continue; // A PNG.
        };
        let ending = path.extension().unwrap().to_str().unwrap();
        if ending != "csv" {
            assert!(!text.contains('\u{1b}'), "{}", path.display());
        }
        if ["html", "svg", "xml", "md"].contains(&ending) {
            assert!(!text.contains("<script"), "{}", path.display());
        }
        if ["svg", "xml"].contains(&ending) {
            let parsed = usvg::roxmltree::Document::parse(&text);
            assert!(parsed.is_ok(), "{}: {:?}", path.display(), parsed.err());
        }
    }
    assert!(!text::report(&record, &TextOptions::default()).contains('\u{1b}'));
}

#[test]
fn every_rendering_says_loop_edge_and_validity() {
    let record = assessed(bad_day());
    let chart = chart::charts(&record).unwrap().remove(0);
    for text in [
        text::report(&record, &TextOptions::default()),
        markdown::report(&record),
        html::page(&record, &[]).unwrap(),
        chart.svg,
    ] {
        let text = text.replace('\n', " ");
        for word in [
            "windowed loop",
            "closed loop",
            "socket",
            "FAIL, valid",
            "unfinished",
        ] {
            assert!(text.contains(word), "{word} is missing in {text}");
        }
    }
    let summary = csv::summary(&record.run).unwrap();
    assert!(summary.contains(",windowed,amqp,socket,") && summary.contains(",INVALID,false,"));
}

#[test]
fn no_line_of_the_text_is_wider_than_asked() {
    for (_, record) in both() {
        for line in text::report(&record, &TextOptions::default()).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn runs_without_data_get_all_their_files_too() {
    let mut none = kept();
    none.series = vec![VariantSeries::default()];
    none.run.variants[0].measured = None;
    none.run.variants[0].totals = None;
    let mut one = kept();
    one.series[0].intervals.truncate(1);
    one.series[0].histograms.clear();
    let mut instant = kept();
    instant.series[0].intervals.truncate(1);
    instant.series[0].intervals[0].end_s = 0.0;
    for record in [none, one, instant] {
        let record = assessed(record);
        let files = files(&record).unwrap();
        let charts = files
            .iter()
            .filter(|(path, _)| path.starts_with("charts"))
            .count();
        assert_eq!(charts, 6);
        for (path, bytes) in files {
            assert!(!bytes.is_empty(), "{}", path.display());
        }
        text::report(&record, &TextOptions::default());
    }
}

#[test]
fn pictures_show_their_texts() {
    let record = assessed(kept());
    let chart = &chart::charts(&record).unwrap()[0];
    let mut wordless = chart.clone();
    wordless.svg = wordless
        .svg
        .replace("<text", "<desc")
        .replace("</text", "</desc");
    let dark = |chart| {
        let png = chart::png(chart).unwrap();
        let pixels = resvg::tiny_skia::Pixmap::decode_png(&png).unwrap();
        pixels
            .pixels()
            .iter()
            .filter(|p| u16::from(p.red()) + u16::from(p.blue()) < 160)
            .count()
    };
    assert!(
        dark(chart) > dark(&wordless) + 1000,
        "texts vanish without their font"
    );
}

#[test]
fn a_claim_that_is_invalid_is_an_error_and_a_broken_one_a_failure() {
    let xml = junit::report(&assessed(bad_day()).run).unwrap();
    let document = usvg::roxmltree::Document::parse(&xml).unwrap();
    let count = |name: &str| {
        document
            .descendants()
            .filter(|n| n.has_tag_name(name))
            .count()
    };
    assert_eq!(
        (count("testcase"), count("failure"), count("error")),
        (7, 3, 2)
    );
}

#[test]
fn every_field_and_column_is_documented() {
    let readme = include_str!("../../results/README.md");
    let mut record = bad_day();
    assess(&mut record);
    let mut names = interval_header();
    names.extend(csv::summary_header(&record.run));
    collect_names(&serde_json::to_value(&record.run).unwrap(), &mut names);
    names.extend(
        [
            "process",
            "process_start",
            "declared",
            "addresses",
            "topology",
        ]
        .map(str::to_owned),
    );
    names.sort();
    names.dedup();
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !name.starts_with("setting_"))
        .filter(|name| !mentioned(readme, name))
        .collect();
    assert!(
        missing.is_empty(),
        "results/README.md does not mention {missing:?}"
    );
}

/// As a word in backticks; `<series>` stands for any series in the names of columns.
fn mentioned(readme: &str, name: &str) -> bool {
    let series = Series::ALL.map(|series| series.tag().replace('-', "_"));
    let general = series
        .iter()
        .find_map(|word| name.strip_prefix(word.as_str()))
        .map_or_else(|| name.to_owned(), |rest| format!("<series>{rest}"));
    readme.contains(&format!("`{general}`")) || readme.contains(&format!("`{name}`"))
}

fn collect_names(value: &serde_json::Value, names: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                names.push(name.clone());
                collect_names(value, names);
            }
        }
        serde_json::Value::Array(values) => {
            values.iter().for_each(|value| collect_names(value, names));
        }
        _ => {}
    }
}
