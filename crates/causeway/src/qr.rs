//! Links as pictures, for a phone's camera.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Draws a link on standard output, where that is a terminal and the link short enough for a picture that fits.
pub(crate) fn draw(link: &str) -> Result<()> {
    let mut stdout = io::stdout();
    if let Some(picture) = picture(link).filter(|_| stdout.is_terminal()) {
        writeln!(stdout, "{picture}").context("standard output")?;
    }
    Ok(())
}

/// Two rows of the picture are a line of text. Terminals are dark: what is printed is the light part.
fn picture(link: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    if code.width() > WIDEST {
        return None;
    }
    let mut drawing = code.render::<Dense1x2>();
    drawing.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
    Some(drawing.build())
}

/// In modules, each of which is as wide as a letter: what an ordinary terminal has, less the quiet zone.
const WIDEST: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_drawn_as_long_as_it_fits_on_a_terminal() {
        let magnet = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567";
        let picture = picture(magnet).expect("short enough");
        let width = picture.lines().map(|line| line.chars().count()).max();
        assert!(width.is_some_and(|width| width <= 80), "{picture}");
        assert!(super::picture(&"x".repeat(1_000)).is_none());
    }
}
