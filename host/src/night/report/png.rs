//! Paints a drawing as PNG, in the light theme, for places that show no SVG. The letters are bitmaps of one font; what
//! it lacks is written in other letters. Pure: equal drawings give equal bytes.

use crate::night::report::drawing::{Anchor, Drawing, Paint, Shape};
use crate::system::sanitize;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster};
use std::io::Write as _;
use zeno::{Mask, Placement, Stroke, Transform};

/// Pixels for a unit of the drawing.
const SCALE: f64 = 1.5;
/// Largest picture in pixels on a side.
const MOST_PIXELS: f64 = 4000.0;
const CHANNELS: usize = 3;
/// Letters above this height are headings.
const HEADING: f64 = 16.0;
const MOST_CHARS: usize = 200;

/// The bytes of a file.
pub fn file(drawing: &Drawing) -> Vec<u8> {
    let mut canvas = Canvas::new(drawing);
    for mark in &drawing.marks {
        let paint = mark.ink.paint();
        match &mark.shape {
            Shape::Path(path) => canvas.path(path, &paint),
            Shape::Circle { x, y, radius } => {
                let d = 2.0 * radius;
                let arc = format!("a{radius} {radius} 0 1 0");
                canvas.path(&format!("M{} {y}{arc} {d} 0{arc} -{d} 0z", x - radius), &paint);
            }
            Shape::Text { x, y, anchor, words } => canvas.text((*x, *y), *anchor, words, &paint),
        }
    }
    encoded(&canvas)
}

struct Canvas {
    width: usize,
    height: usize,
    /// Red, green and blue of each pixel, in rows.
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(drawing: &Drawing) -> Self {
        let side = |length: f64| (length * SCALE).clamp(1.0, MOST_PIXELS) as usize;
        let (width, height) = (side(drawing.width), side(drawing.height));
        Self { width, height, pixels: vec![0xff; width * height * CHANNELS] }
    }

    fn path(&mut self, path: &str, paint: &Paint) {
        let scale = SCALE as f32;
        let transform = Some(Transform::scale(scale, scale));
        if let Some(fill) = paint.fill {
            let opacity = if paint.fill_opacity > 0.0 { paint.fill_opacity } else { 1.0 };
            let (mask, place) = Mask::new(path).transform(transform).render();
            self.cover(&mask, place, fill.light, opacity);
        }
        if let Some(stroke) = paint.stroke {
            let dash = paint.dash.map(|lengths| lengths.map(|length| length as f32));
            let mut style = Stroke::new(paint.stroke_width as f32);
            if let Some(dash) = &dash {
                style.dash(dash, 0.0);
            }
            let (mask, place) = Mask::new(path).style(style).transform(transform).render();
            self.cover(&mask, place, stroke.light, 1.0);
        }
    }

    /// Lays a colour over what is there, as much as the mask says.
    fn cover(&mut self, mask: &[u8], place: Placement, colour: u32, opacity: f64) {
        let width = place.width as usize;
        for (at, coverage) in mask.iter().enumerate().filter(|(_, coverage)| **coverage > 0) {
            let (column, row) = ((at % width) as i64, (at / width) as i64);
            self.blend(
                i64::from(place.left) + column,
                i64::from(place.top) + row,
                colour,
                f64::from(*coverage) / 255.0 * opacity,
            );
        }
    }

    fn blend(&mut self, x: i64, y: i64, colour: u32, share: f64) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.width || y >= self.height {
            return;
        }
        let [_, new @ ..] = colour.to_be_bytes();
        let at = (y * self.width + x) * CHANNELS;
        for (channel, new) in self.pixels.iter_mut().skip(at).zip(new) {
            *channel = (f64::from(*channel) * (1.0 - share) + f64::from(new) * share).round() as u8;
        }
    }

    fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, words: &str, paint: &Paint) {
        let Some(colour) = paint.fill else { return };
        let weight = if paint.is_bold { FontWeight::Bold } else { FontWeight::Regular };
        let height = if paint.letters > HEADING { RasterHeight::Size32 } else { RasterHeight::Size24 };
        let letters: Vec<RasterizedChar> =
            spelled(&sanitize::line(words, MOST_CHARS)).chars().filter_map(|c| get_raster(c, weight, height)).collect();
        let Some(advance) = letters.first().map(RasterizedChar::width) else { return };
        let length = (advance * letters.len()) as f64;
        let left = match anchor {
            Anchor::Start => x * SCALE,
            Anchor::Middle => x * SCALE - length / 2.0,
            Anchor::End => x * SCALE - length,
        };
        let (left, top) = (left.round() as i64, (y * SCALE).round() as i64 - baseline(weight, height));
        for (i, letter) in letters.iter().enumerate() {
            for (row, pixels) in letter.rows().enumerate() {
                for (column, coverage) in pixels.iter().enumerate().filter(|(_, coverage)| **coverage > 0) {
                    let x = left + (i * advance + column) as i64;
                    self.blend(x, top + row as i64, colour.light, f64::from(*coverage) / 255.0);
                }
            }
        }
    }
}

/// Rows of a letter above its base line.
fn baseline(weight: FontWeight, height: RasterHeight) -> i64 {
    let letter = get_raster('H', weight, height);
    let rows =
        letter.map_or(0, |letter| letter.rows().rposition(|row| row.iter().any(|pixel| *pixel > 127)).unwrap_or(0));
    rows as i64 + 1
}

/// A text in letters that the font has.
fn spelled(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '−' | '–' | '—' => out.push('-'),
            '→' => out.push_str("->"),
            '…' => out.push_str("..."),
            'Δ' => out.push('d'),
            '“' | '”' => out.push('"'),
            '‘' | '’' => out.push('\''),
            c if get_raster(c, FontWeight::Regular, RasterHeight::Size24).is_some() => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

/// The file format: a signature, then chunks of length, name, bytes and checksum.
fn encoded(canvas: &Canvas) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut head = Vec::new();
    head.extend((canvas.width as u32).to_be_bytes());
    head.extend((canvas.height as u32).to_be_bytes());
    // Eight bits a channel, colours without transparency, and the only methods of compression and order.
    head.extend([8, 2, 0, 0, 0]);
    chunk(&mut out, *b"IHDR", &head);
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in canvas.pixels.chunks(canvas.width * CHANNELS) {
        // Each row names its filter: none. Writing to a Vec does not fail.
        let _ = rows.write_all(&[0]).and_then(|()| rows.write_all(row));
    }
    chunk(&mut out, *b"IDAT", &rows.finish().unwrap_or_default());
    chunk(&mut out, *b"IEND", &[]);
    out
}

fn chunk(out: &mut Vec<u8>, name: [u8; 4], bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(name);
    out.extend(bytes);
    let mut sum = crc32fast::Hasher::new();
    sum.update(&name);
    sum.update(bytes);
    out.extend(sum.finalize().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::night::report::drawing::Ink;

    /// The rows of a picture, read as a reader of the format does.
    fn pixels(png: &[u8]) -> Vec<u8> {
        use std::io::Read;
        let (mut at, mut packed) = (8, Vec::new());
        while at < png.len() {
            let length = u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
            let (name, bytes) = (&png[at + 4..at + 8], &png[at + 8..at + 8 + length]);
            let sum = u32::from_be_bytes(png[at + 8 + length..at + 12 + length].try_into().unwrap());
            assert_eq!(sum, crc32fast::hash(&png[at + 4..at + 8 + length]));
            if name == b"IDAT" {
                packed.extend(bytes);
            }
            at += length + 12;
        }
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut rows).unwrap();
        rows
    }

    #[test]
    fn shapes_and_letters_are_painted() {
        let mut drawing = Drawing::new(40.0, 20.0, "t".into(), "a".into());
        drawing.path(Ink::Keep, "M2 2h10v10h-10z".into());
        drawing.text(Ink::Better, (20.0, 14.0), Anchor::Start, "−→ü\u{1b}数");
        drawing.add(Ink::Noise, Shape::Circle { x: 1e9, y: -1e9, radius: 4.0 });
        let png = file(&drawing);
        assert_eq!(png, file(&drawing));
        assert_eq!((&png[16..20], &png[20..24]), (&60u32.to_be_bytes()[..], &30u32.to_be_bytes()[..]));
        let rows = pixels(&png);
        assert_eq!(rows.len(), 30 * (1 + 60 * 3));
        let pixel = |x: usize, y: usize| <[u8; 3]>::try_from(&rows[y * 181 + 1 + x * 3..][..3]).unwrap();
        assert_eq!((pixel(10, 10), pixel(25, 2)), ([0x1a, 0x7f, 0x37], [0xff; 3]));
        let letters = (30..60).flat_map(|x| (0..30).map(move |y| (x, y))).filter(|(x, y)| pixel(*x, *y) != [0xff; 3]);
        assert!(letters.count() > 30);
        assert_eq!(spelled("a−b → ü…数"), "a-b -> ü...?");
    }
}
