//! A drawing as a file.

use std::path::{Path, PathBuf};
use std::sync::Once;

use plotters::prelude::*;
use plotters::style::register_font;
use secondo::Error;

use super::marks::{Area, Drawn, FAMILY, FONT, SCALE};
use crate::exit::Failure;
use crate::files::{self, Kind, PNG_MARK, SVG_MARK};
use crate::output::has_extension;

/// A drawing that any backend can make.
pub trait Drawing {
    /// Width and height, as they are shown.
    fn size(&self) -> (i32, i32);

    /// Draws it.
    fn draw<B: DrawingBackend>(&self, root: &Area<B>) -> Drawn<B, ()>;
}

/// Writes the drawing to every path, in the format of its extension.
///
/// # Errors
/// A file that cannot be written.
pub fn write(paths: &[PathBuf], drawing: &impl Drawing) -> Result<(), Failure> {
    register();
    for path in paths {
        let bytes = bytes(drawing, path).map_err(|reason| Error::Io {
            path: path.clone(),
            action: "draw",
            reason,
        })?;
        files::write(Kind::Plot, path, |out| out.write_all(&bytes))?;
    }
    Ok(())
}

/// Makes the font known with which the texts of a PNG are drawn, and those of an SVG measured.
pub fn register() {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // Without it drawing fails, and says so.
        let _ = register_font(FAMILY, FontStyle::Normal, FONT);
    });
}

/// The file, in the format of the path's extension.
fn bytes(drawing: &impl Drawing, path: &Path) -> Result<Vec<u8>, String> {
    let shown = drawing.size();
    let size = ((shown.0 * SCALE) as u32, (shown.1 * SCALE) as u32);
    if has_extension(path, "svg") {
        let mut text = String::new();
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        drawing.draw(&root).map_err(|e| e.to_string())?;
        drop(root);
        // The view box stays; what is shown has its length.
        let drawn = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
        let shown = format!("width=\"{}\" height=\"{}\" {SVG_MARK}", shown.0, shown.1);
        return Ok(text.replacen(&drawn, &shown, 1).into_bytes());
    }
    let mut pixels = vec![0; 3 * size.0 as usize * size.1 as usize];
    let root = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
    drawing.draw(&root).map_err(|e| e.to_string())?;
    drop(root);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    (encoder.add_text_chunk(PNG_MARK.0.into(), PNG_MARK.1.into()))
        .and_then(|()| encoder.write_header())
        .and_then(|mut image| image.write_image_data(&pixels))
        .map_err(|e| e.to_string())?;
    Ok(bytes)
}
