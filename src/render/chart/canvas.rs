//! A page for one chart: title, what the numbers are worth, legend, axes; and the few shapes that charts are made of.
//!
//! plotters writes the SVG and measures texts; the layout is ours, so that nothing covers the data or is cut off.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use crate::record::Phase;
use crate::render::sheet::printable;

/// What went wrong while drawing.
pub(super) type DrawError = Box<dyn std::error::Error + Send + Sync>;

/// The name under which the built-in font is known.
pub(super) const FONT: &str = "sans-serif";

/// Okabe and Ito's palette, which colour-blind readers can tell apart.
pub(super) const GREY: RGBColor = RGBColor(0xBB, 0xBB, 0xBB);
pub(super) const ORANGE: RGBColor = RGBColor(0xE6, 0x9F, 0x00);
pub(super) const SKY: RGBColor = RGBColor(0x56, 0xB4, 0xE9);
pub(super) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
pub(super) const VERMILLION: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT: RGBColor = RGBColor(0x66, 0x66, 0x66);
const GRID: RGBColor = RGBColor(0xE4, 0xE4, 0xE4);
const SHADE: RGBColor = RGBColor(0xF1, 0xF1, 0xF1);
/// Behind the time after the load.
const SHADE_AFTER: RGBColor = RGBColor(0xE4, 0xED, 0xF5);

const TITLE_SIZE: i32 = 18;
pub(super) const TEXT_SIZE: i32 = 13;
const MARGIN: i32 = 16;

/// A line's name, colour and width in a legend and in the chart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink {
    pub(super) name: &'static str,
    pub(super) color: RGBColor,
    pub(super) width: u32,
}

/// Where in the picture something stands: left, top, right, bottom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: i32,
    pub(super) top: i32,
    pub(super) right: i32,
    pub(super) bottom: i32,
}

/// A page being drawn.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    width: i32,
    height: i32,
}

/// How a text is aligned with its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Center,
    Right,
}

impl<'a> Canvas<'a> {
    /// A white page of this size that will stand in `svg`.
    pub(super) fn new(svg: &'a mut String, size: (u32, u32)) -> Result<Self, DrawError> {
        let area = SVGBackend::with_string(svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(text_error)?;
        Ok(Self {
            area,
            width: size.0 as i32,
            height: size.1 as i32,
        })
    }

    /// Draws title, subtitle and legend; gives the room that is left.
    pub(super) fn head(
        &self,
        title: &str,
        subtitle: &str,
        legend: &[Ink],
    ) -> Result<Frame, DrawError> {
        let room = self.width - 2 * MARGIN;
        let mut y = MARGIN + TITLE_SIZE / 2;
        self.draw_text(
            title,
            (MARGIN, y),
            Align::Left,
            (TITLE_SIZE, FontStyle::Bold, INK),
        )?;
        y += TITLE_SIZE + 6;
        for line in self.wrap(subtitle, room)? {
            self.text(&line, (MARGIN, y), Align::Left)?;
            y += TEXT_SIZE + 5;
        }
        let mut x = MARGIN;
        for ink in legend {
            let middle = y + 3;
            self.line(&[(x, middle), (x + 24, middle)], ink)?;
            self.text(ink.name, (x + 30, middle), Align::Left)?;
            x += 30 + self.text_width(ink.name, TEXT_SIZE)? + 22;
        }
        if !legend.is_empty() {
            y += TEXT_SIZE + 12;
        }
        Ok(Frame {
            left: MARGIN,
            top: y,
            right: self.width - MARGIN,
            bottom: self.height - MARGIN,
        })
    }

    /// Draws both axes with their names into `room`; gives the frame in which the data stand. `shades` are stretches
    /// of the x axis with their names, drawn below everything.
    pub(super) fn axes(
        &self,
        room: Frame,
        x: &Axis,
        y: &Axis,
        shades: &[(f64, f64, &str)],
    ) -> Result<Frame, DrawError> {
        let mut label_width = 0;
        for (_, label) in &y.ticks {
            label_width = label_width.max(self.text_width(label, TEXT_SIZE)?);
        }
        let frame = Frame {
            left: room.left + label_width + 8,
            // Above the data: the axis' name and, where there are any, the names of the shades.
            top: room.top + TEXT_SIZE + if shades.is_empty() { 8 } else { 24 },
            // The last label stands in the middle under its mark: half of it must fit.
            right: room.right - 24,
            bottom: room.bottom - 2 * TEXT_SIZE - 16,
        };
        self.text(&y.name, (room.left, room.top + 2), Align::Left)?;
        for (from, to, name) in shades {
            let (left, right) = (frame.x(x, *from), frame.x(x, *to));
            let corners = [(left, frame.top), (right, frame.bottom)];
            self.area
                .draw(&Rectangle::new(corners, shade_of(name).filled()))
                .map_err(text_error)?;
            if self.text_width(name, TEXT_SIZE)? < right - left {
                self.faint(name, (left, frame.top - 9), Align::Left)?;
            } else if right >= frame.right {
                // Too narrow for its name, but with room on its left.
                self.faint(name, (right, frame.top - 9), Align::Right)?;
            }
        }
        for (tick, label) in &y.ticks {
            let at = frame.y(y, *tick);
            self.rule((frame.left, at), (frame.right, at), GRID)?;
            self.text(label, (frame.left - 6, at), Align::Right)?;
        }
        let mut free_from = i32::MIN;
        for (tick, label) in &x.ticks {
            let at = frame.x(x, *tick);
            self.rule((at, frame.top), (at, frame.bottom), GRID)?;
            let half = self.text_width(label, TEXT_SIZE)? / 2;
            if at - half > free_from {
                self.text(label, (at, frame.bottom + 12), Align::Center)?;
                free_from = at + half + 6;
            }
        }
        self.rule(
            (frame.left, frame.bottom),
            (frame.right, frame.bottom),
            FAINT,
        )?;
        let middle = i32::midpoint(frame.left, frame.right);
        self.text(&x.name, (middle, frame.bottom + 32), Align::Center)?;
        Ok(frame)
    }

    /// A line through points; a dot where there is one point only.
    pub(super) fn line(&self, points: &[(i32, i32)], ink: &Ink) -> Result<(), DrawError> {
        if let [only] = points {
            return self.dot(*only, ink.width as i32 / 2 + 3, ink.color);
        }
        let path = PathElement::new(points.to_vec(), ink.color.stroke_width(ink.width));
        self.area.draw(&path).map_err(text_error)
    }

    pub(super) fn rule(
        &self,
        from: (i32, i32),
        to: (i32, i32),
        color: RGBColor,
    ) -> Result<(), DrawError> {
        self.area
            .draw(&PathElement::new(vec![from, to], color))
            .map_err(text_error)
    }

    pub(super) fn dot(
        &self,
        at: (i32, i32),
        radius: i32,
        color: RGBColor,
    ) -> Result<(), DrawError> {
        self.area
            .draw(&Circle::new(at, radius, color.filled()))
            .map_err(text_error)
    }

    pub(super) fn bar(&self, frame: Frame, color: RGBColor) -> Result<(), DrawError> {
        let corners = [(frame.left, frame.top), (frame.right, frame.bottom)];
        self.area
            .draw(&Rectangle::new(corners, color.filled()))
            .map_err(text_error)
    }

    pub(super) fn text(&self, text: &str, at: (i32, i32), align: Align) -> Result<(), DrawError> {
        self.draw_text(text, at, align, (TEXT_SIZE, FontStyle::Normal, INK))
    }

    pub(super) fn faint(&self, text: &str, at: (i32, i32), align: Align) -> Result<(), DrawError> {
        self.draw_text(text, at, align, (TEXT_SIZE - 1, FontStyle::Normal, FAINT))
    }

    /// Says in the middle of a frame why there is nothing in it.
    pub(super) fn nothing(&self, room: Frame, why: &str) -> Result<(), DrawError> {
        let middle = (
            i32::midpoint(room.left, room.right),
            i32::midpoint(room.top, room.bottom),
        );
        self.faint(why, middle, Align::Center)
    }

    fn draw_text(
        &self,
        text: &str,
        at: (i32, i32),
        align: Align,
        (size, style, color): (i32, FontStyle, RGBColor),
    ) -> Result<(), DrawError> {
        let horizontal = match align {
            Align::Left => HPos::Left,
            Align::Center => HPos::Center,
            Align::Right => HPos::Right,
        };
        let font = FontDesc::new(FontFamily::Name(FONT), f64::from(size), style);
        let style = TextStyle::from(font)
            .color(&color)
            .pos(Pos::new(horizontal, VPos::Center));
        self.area
            .draw_text(&printable(text), &style, at)
            .map_err(text_error)
    }

    /// How wide a text of this size is, in pixels.
    pub(super) fn text_width(&self, text: &str, size: i32) -> Result<i32, DrawError> {
        let style = TextStyle::from((FONT, size));
        let (width, _) = self
            .area
            .estimate_text_size(&printable(text), &style)
            .map_err(text_error)?;
        Ok(width as i32)
    }

    /// Breaks a text at spaces into lines of at most this width, two at the most; the rest is cut with dots.
    pub(super) fn wrap(&self, text: &str, room: i32) -> Result<Vec<String>, DrawError> {
        let mut lines: Vec<String> = vec![String::new()];
        for word in text.split_whitespace() {
            let last = lines.len() - 1;
            let joined = if lines[last].is_empty() {
                word.to_owned()
            } else {
                format!("{} {word}", lines[last])
            };
            if self.text_width(&joined, TEXT_SIZE)? <= room || lines[last].is_empty() {
                lines[last] = joined;
            } else {
                lines.push(word.to_owned());
            }
        }
        if lines.len() > 2 {
            lines.truncate(2);
            lines[1].push_str(" ...");
        }
        for line in &mut lines {
            *line = self.cut(line, room)?;
        }
        Ok(lines)
    }

    /// The text, or as much of it as fits and dots.
    pub(super) fn cut(&self, text: &str, room: i32) -> Result<String, DrawError> {
        let mut shown = text.to_owned();
        while self.text_width(&shown, TEXT_SIZE)? > room && shown.chars().count() > 4 {
            let keep = shown.chars().count() - 4;
            shown = shown.chars().take(keep).collect::<String>() + "...";
        }
        Ok(shown)
    }

    pub(super) fn finish(self) -> Result<(), DrawError> {
        self.area.present().map_err(text_error)
    }
}

impl Frame {
    pub(super) fn x(&self, axis: &Axis, value: f64) -> i32 {
        self.left + (axis.place(value) * f64::from(self.right - self.left)).round() as i32
    }

    pub(super) fn y(&self, axis: &Axis, value: f64) -> i32 {
        self.bottom - (axis.place(value) * f64::from(self.bottom - self.top)).round() as i32
    }
}

/// Before and after the measured time look different, also where there is no room for a name.
fn shade_of(phase: &str) -> RGBColor {
    if phase == Phase::Drain.as_str() {
        SHADE_AFTER
    } else {
        SHADE
    }
}

fn text_error(error: impl std::fmt::Display) -> DrawError {
    error.to_string().into()
}
