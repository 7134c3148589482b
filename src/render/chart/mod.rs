//! Charts as SVG, and as PNG from that very SVG. Drawn with a font of our own, so that they look the same everywhere.
//!
//! Empty and short runs get a chart too, with a sentence where the data would be.

mod axis;
mod canvas;
mod curve;
mod over_time;
mod variants;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use resvg::{tiny_skia, usvg};

use super::RenderError;
use super::ends::end_word;
use super::sheet::{loops, spaced, standing};
use crate::results::{Edge, Run, RunRecord, VariantRun};

const REGULAR: &[u8] = include_bytes!("../../../assets/font/Roboto-Regular.ttf");
const BOLD: &[u8] = include_bytes!("../../../assets/font/Roboto-Bold.ttf");

/// PNGs have so many pixels for each of the SVG's.
const PNG_SCALE: f32 = 2.0;

/// One chart.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// Path below the results folder, without the ending.
    pub(super) path: PathBuf,
    /// Index of its variant; none where it shows all of them.
    pub(super) variant: Option<usize>,
    /// The picture.
    pub(super) svg: String,
}

impl Chart {
    /// Its path with an ending. Names of variants may hold dots, so none of them is taken for an ending.
    pub(super) fn path_with(&self, ending: &str) -> PathBuf {
        PathBuf::from(format!("{}.{ending}", self.path.display()))
    }
}

/// All charts of a run: variants side by side where there are several, then three for each variant.
pub(super) fn charts(record: &RunRecord) -> Result<Vec<Chart>, RenderError> {
    register_fonts()?;
    let run = &record.run;
    let mut charts = Vec::new();
    let mut add = |name: &str, variant: Option<usize>, svg: Result<String, canvas::DrawError>| {
        let folder = variant.map_or("", |index| run.variants[index].folder.as_str());
        let name = if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}-{name}")
        };
        let svg = svg.map_err(|error| RenderError {
            file: format!("charts/{name}.svg"),
            reason: error.to_string(),
        })?;
        charts.push(Chart {
            path: PathBuf::from("charts").join(name),
            variant,
            svg,
        });
        Ok(())
    };
    if run.variants.len() > 1 {
        add("variants", None, variants::draw(run))?;
    }
    for (index, (variant, series)) in run.variants.iter().zip(&record.series).enumerate() {
        let below = subtitle(run, variant);
        add("rates", Some(index), over_time::rates(&below, series))?;
        add(
            "times",
            Some(index),
            over_time::times(&below, variant, series),
        )?;
        add("curve", Some(index), curve::draw(&below, variant, series))?;
    }
    Ok(charts)
}

/// What a number never travels without: which variant, which loop, where the times were taken, and whether it is valid.
fn subtitle(run: &Run, variant: &VariantRun) -> String {
    format!(
        "{}: {}; {}; {}",
        spaced(&variant.name),
        loops(variant),
        edge(run),
        outcome(variant)
    )
}

/// Verdict, validity, and how it ended where it did not end as planned.
fn outcome(variant: &VariantRun) -> String {
    match end_word(&variant.stop) {
        "" | "unfinished" => standing(variant),
        end => format!("{}, {end}", standing(variant)),
    }
}

fn edge(run: &Run) -> String {
    let place = match run.harness.capabilities.edge {
        Edge::Socket => "at the socket",
        Edge::Api => "at the client's interface",
    };
    format!("{} driver, times taken {place}", run.harness.driver)
}

fn register_fonts() -> Result<(), RenderError> {
    use plotters::style::{FontStyle, register_font};
    static DONE: OnceLock<bool> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        register_font(canvas::FONT, FontStyle::Normal, REGULAR).is_ok()
            && register_font(canvas::FONT, FontStyle::Bold, BOLD).is_ok()
    });
    done.then_some(()).ok_or_else(|| RenderError {
        file: "charts".into(),
        reason: "the built-in font cannot be read".into(),
    })
}

/// The same picture in pixels, with the same font.
pub(super) fn png(chart: &Chart) -> Result<Vec<u8>, RenderError> {
    let error = |reason: String| RenderError {
        file: chart.path_with("png").display().to_string(),
        reason,
    };
    static FONTS: OnceLock<Arc<usvg::fontdb::Database>> = OnceLock::new();
    let fontdb = FONTS.get_or_init(|| {
        let mut fonts = usvg::fontdb::Database::new();
        fonts.load_font_data(REGULAR.to_vec());
        fonts.load_font_data(BOLD.to_vec());
        fonts.set_sans_serif_family("Roboto");
        Arc::new(fonts)
    });
    let options = usvg::Options {
        fontdb: Arc::clone(fontdb),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(&chart.svg, &options).map_err(|e| error(e.to_string()))?;
    let size = tree.size().to_int_size();
    let scaled = |side: u32| (side as f32 * PNG_SCALE) as u32;
    let mut pixels = tiny_skia::Pixmap::new(scaled(size.width()), scaled(size.height()))
        .ok_or_else(|| error("the picture has no size".into()))?;
    let transform = tiny_skia::Transform::from_scale(PNG_SCALE, PNG_SCALE);
    resvg::render(&tree, transform, &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| error(e.to_string()))
}
