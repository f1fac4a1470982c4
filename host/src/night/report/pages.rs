//! Writes pages and pictures of nights into a folder. Each file is written completely and then renamed.

use crate::night::report::chart;
use crate::night::report::files::{ReportError, replace};
use crate::night::report::page::{self, Page};
use crate::night::report::picture::Picture;
use crate::night::report::{png, svg};
use std::path::{Path, PathBuf};

const REPORT: &str = "report.html";
const COMPARISON: &str = "compare.html";
/// Names of a picture, as SVG and as PNG.
const PICTURE: [&str; 2] = ["progress.svg", "progress.png"];
const PICTURE_OF_BOTH: [&str; 2] = ["compare.svg", "compare.png"];

/// The files that [`write()`] writes.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    [REPORT].iter().chain(&PICTURE).map(|name| folder.join(name)).collect()
}

/// Writes the report of a night, and its picture.
pub fn write(folder: &Path, page: &Page) -> Result<Vec<PathBuf>, ReportError> {
    let html = page::report(page)?;
    put(folder, (REPORT, &html), (PICTURE, std::slice::from_ref(&page.picture)))
}

/// Writes two nights side by side, and their picture.
pub fn write_comparison(folder: &Path, nights: &[Page; 2]) -> Result<Vec<PathBuf>, ReportError> {
    let html = page::compared(nights, &page::Served::default())?;
    let pictures = nights.each_ref().map(|page| page.picture.clone());
    put(folder, (COMPARISON, &html), (PICTURE_OF_BOTH, &pictures))
}

fn put(
    folder: &Path,
    (page, html): (&str, &str),
    ([svg_name, png_name], nights): ([&str; 2], &[Picture]),
) -> Result<Vec<PathBuf>, ReportError> {
    std::fs::create_dir_all(folder).map_err(|source| ReportError::Write { path: folder.to_owned(), source })?;
    let (page, vectors, pixels) = (folder.join(page), folder.join(svg_name), folder.join(png_name));
    replace(&page, html.as_bytes())?;
    let drawing = chart::alone(nights);
    replace(&vectors, svg::file(&drawing).as_bytes())?;
    replace(&pixels, &png::file(&drawing))?;
    Ok(vec![page, vectors, pixels])
}
