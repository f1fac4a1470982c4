//! A drawing as shapes on a plane, before it is a file. [`crate::night::report::svg`] and
//! [`crate::night::report::png`] write it.

/// A drawing. Lengths are in units that a screen shows as about a pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    pub width: f64,
    pub height: f64,
    /// Name for those who do not see it.
    pub title: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// In the order in which they are painted.
    pub marks: Vec<Mark>,
}

/// A shape and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub shape: Shape,
    pub ink: Ink,
    /// The trial that it stands for.
    pub trial: Option<u64>,
    /// Words that appear when a pointer rests on it; empty for none. Untrusted.
    pub tip: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A path in the notation of SVG.
    Path(String),
    Circle {
        x: f64,
        y: f64,
        radius: f64,
    },
    /// One line of text; `y` is its base line. The words are untrusted.
    Text {
        x: f64,
        y: f64,
        anchor: Anchor,
        words: String,
    },
}

/// Which part of a text stands at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A colour for light and one for dark surroundings, as red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    pub light: u32,
    pub dark: u32,
}

/// How a shape is painted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Paint {
    pub fill: Option<Colour>,
    /// From 0 to 1; 0 stands for opaque too, where there is a fill.
    pub fill_opacity: f64,
    pub stroke: Option<Colour>,
    pub stroke_width: f64,
    /// Lengths of dash and gap; none for a whole line.
    pub dash: Option<[f64; 2]>,
    /// Height of letters, for text.
    pub letters: f64,
    pub is_bold: bool,
}

const fn colour(light: u32, dark: u32) -> Colour {
    Colour { light, dark }
}

const PAPER: Colour = colour(0x00ff_ffff, 0x000d_1117);
const EDGE: Colour = colour(0x00d8_dee4, 0x003d_444d);
const WORDS: Colour = colour(0x001f_2328, 0x00f0_f6fc);
const MUTED: Colour = colour(0x0057_606a, 0x0091_98a1);
const GREEN: Colour = colour(0x001a_7f37, 0x003f_b950);
const BLUE: Colour = colour(0x0009_69da, 0x0044_93f8);
const PURPLE: Colour = colour(0x0082_50df, 0x00ab_7df8);
const GREY: Colour = colour(0x008c_959f, 0x007d_8590);
const RED: Colour = colour(0x00cf_222e, 0x00f8_5149);
const GRID: Colour = colour(0x00ea_eef2, 0x0021_262d);
const BASE: Colour = colour(0x00af_b8c1, 0x003d_444d);

macro_rules! inks {
    ($($(#[doc = $doc:literal])* $ink:ident $class:literal { $($field:ident: $value:expr),+ })+) => {
        /// What a shape means. The class is its name in style sheets.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Ink { $($(#[doc = $doc])* $ink,)+ }

        impl Ink {
            pub const ALL: &[Self] = &[$(Self::$ink),+];

            pub const fn class(self) -> &'static str {
                match self { $(Self::$ink => $class,)+ }
            }

            pub fn paint(self) -> Paint {
                match self { $(Self::$ink => Paint { $($field: $value,)+ ..Paint::default() },)+ }
            }
        }
    };
}

inks! {
    /// The background.
    Card "card" { fill: Some(PAPER), stroke: Some(EDGE), stroke_width: 1.0 }
    /// The heading.
    Title "title" { fill: Some(WORDS), letters: 22.0, is_bold: true }
    /// The gain of the night, beside the heading.
    Gain "gain" { fill: Some(GREEN), letters: 22.0, is_bold: true }
    /// Words of axes and legends.
    Words "words" { fill: Some(MUTED), letters: 13.0 }
    /// A change, in the author's words.
    Name "name" { fill: Some(WORDS), letters: 13.0 }
    /// What is better.
    Better "better" { fill: Some(GREEN), letters: 13.0, is_bold: true }
    /// The level of the baseline, in words.
    LevelWords "level" { fill: Some(BLUE), letters: 13.0 }
    Grid "grid" { stroke: Some(GRID), stroke_width: 1.0 }
    /// The axis.
    Base "base" { stroke: Some(BASE), stroke_width: 1.0 }
    /// What chance does to a score of the champion.
    Band "band" { fill: Some(GREEN), fill_opacity: 0.13 }
    Baseline "baseline" { stroke: Some(BLUE), stroke_width: 1.0, dash: Some([5.0, 4.0]) }
    /// The champion's level.
    Best "best" { stroke: Some(GREEN), stroke_width: 2.5 }
    /// The same for the second of two nights.
    OtherBest "other-best" { stroke: Some(PURPLE), stroke_width: 2.5 }
    OtherBand "other-band" { fill: Some(PURPLE), fill_opacity: 0.13 }
    OtherWords "other-words" { fill: Some(PURPLE), letters: 13.0, is_bold: true }
    Keep "keep" { fill: Some(GREEN), stroke: Some(PAPER), stroke_width: 2.0 }
    OtherKeep "other-keep" { fill: Some(PURPLE), stroke: Some(PAPER), stroke_width: 2.0 }
    Noise "noise" { fill: Some(PAPER), stroke: Some(GREY), stroke_width: 1.5 }
    OtherNoise "other-noise" { fill: Some(PAPER), stroke: Some(PURPLE), stroke_width: 1.5 }
    Discard "discard" { fill: Some(GREY) }
    Fault "fault" { stroke: Some(RED), stroke_width: 1.5 }
    Same "same" { stroke: Some(GREY), stroke_width: 1.5 }
    /// A curve of losses.
    Train "train" { stroke: Some(BLUE), stroke_width: 1.5 }
    /// The held-out score beside it.
    HeldOut "held-out" { fill: Some(GREEN), stroke: Some(PAPER), stroke_width: 2.0 }
}

impl Drawing {
    pub fn new(width: f64, height: f64, title: String, about: String) -> Self {
        Self { width, height, title, about, marks: Vec::new() }
    }

    pub fn path(&mut self, ink: Ink, path: String) {
        self.add(ink, Shape::Path(path));
    }

    pub fn text(&mut self, ink: Ink, (x, y): (f64, f64), anchor: Anchor, words: impl Into<String>) {
        self.add(ink, Shape::Text { x, y, anchor, words: words.into() });
    }

    pub fn add(&mut self, ink: Ink, shape: Shape) {
        self.marks.push(Mark { shape, ink, trial: None, tip: String::new() });
    }
}

/// A point of a path. One decimal is enough on screens and keeps files small.
pub fn point(x: f64, y: f64) -> String {
    format!("{x:.1} {y:.1}")
}
