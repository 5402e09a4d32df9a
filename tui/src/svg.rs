//! A screen as a picture.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;

/// Columns and rows of a character, in pixels.
const CELL: (f64, f64) = (8.4, 18.0);

/// Draws a screen; `light` as on a light ground.
#[must_use]
pub fn svg(buffer: &Buffer, light: bool) -> String {
    let (ground, ink) = if light {
        ("#ffffff", "#24292e")
    } else {
        ("#16181d", "#d6d9de")
    };
    let width = f64::from(buffer.area.width) * CELL.0 + 16.0;
    let height = f64::from(buffer.area.height) * CELL.1 + 16.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{ground}\"/>\n"
    );
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let cell = &buffer[(x, y)];
            let mut end = x + 1;
            let mut text = cell.symbol().to_owned();
            let wide = |symbol: &str| ratatui::text::Span::raw(symbol).width() > 1;
            let mut last_wide = wide(cell.symbol());
            while end < buffer.area.width && same(cell, &buffer[(end, y)]) {
                if !last_wide {
                    text.push_str(buffer[(end, y)].symbol());
                    last_wide = wide(buffer[(end, y)].symbol());
                } else {
                    last_wide = false;
                }
                end += 1;
            }
            run(&mut out, cell, &text, (x, y, end), (ground, ink));
            x = end;
        }
    }
    out.push_str("</svg>\n");
    out
}

fn same(a: &Cell, b: &Cell) -> bool {
    (a.fg, a.bg, a.modifier) == (b.fg, b.bg, b.modifier)
}

fn run(
    out: &mut String,
    cell: &Cell,
    text: &str,
    (x, y, end): (u16, u16, u16),
    (ground, ink): (&str, &str),
) {
    let reversed = cell.modifier.contains(Modifier::REVERSED);
    let mut front = colour(cell.fg).unwrap_or_else(|| ink.to_owned());
    let mut back = colour(cell.bg);
    if reversed {
        let old = back.unwrap_or_else(|| ground.to_owned());
        back = Some(std::mem::replace(&mut front, old));
    }
    let (left, top) = (f64::from(x) * CELL.0 + 8.0, f64::from(y) * CELL.1 + 8.0);
    let wide = f64::from(end - x) * CELL.0;
    if let Some(back) = back {
        let height = CELL.1;
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{height}\" fill=\"{back}\"/>"
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let bold = match cell.modifier.contains(Modifier::BOLD) {
        true => " font-weight=\"bold\"",
        false => "",
    };
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let base = top + 13.5;
    let _ = writeln!(
        out,
        "<text x=\"{left:.1}\" y=\"{base:.1}\" fill=\"{front}\"{bold} xml:space=\"preserve\" \
         textLength=\"{wide:.1}\" lengthAdjust=\"spacingAndGlyphs\">{text}</text>"
    );
}

/// As xterm shows it.
fn colour(colour: Color) -> Option<String> {
    let named = match colour {
        Color::Reset => return None,
        Color::Black => "#000000",
        Color::Red | Color::LightRed => "#e5534b",
        Color::Green | Color::LightGreen => "#57ab5a",
        Color::Yellow | Color::LightYellow => "#c69026",
        Color::Blue | Color::LightBlue => "#539bf5",
        Color::Magenta | Color::LightMagenta => "#b083f0",
        Color::Cyan | Color::LightCyan => "#39c5cf",
        Color::Gray | Color::White => "#d6d9de",
        Color::DarkGray => "#768390",
        Color::Rgb(r, g, b) => return Some(format!("#{r:02x}{g:02x}{b:02x}")),
        Color::Indexed(n @ 232..) => {
            let grey = 8 + 10 * (n - 232);
            return Some(format!("#{grey:02x}{grey:02x}{grey:02x}"));
        }
        Color::Indexed(n @ 16..) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let n = n - 16;
            let (r, g, b) = (level(n / 36), level(n / 6 % 6), level(n % 6));
            return Some(format!("#{r:02x}{g:02x}{b:02x}"));
        }
        Color::Indexed(_) => "#d6d9de",
    };
    Some(named.to_owned())
}
